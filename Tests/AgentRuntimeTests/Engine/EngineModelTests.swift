import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("What the engine asks of models, and what it does when they refuse", .paced)
struct EngineModelTests {
    private static func thinking(_ text: String, _ rest: String, reason: String) -> FakeGateway.ModelAnswer {
        .chunked(
            ModelScript.start()
                + ModelScript.event(["type": "content_block_start", "index": 0, "content_block": ["type": "thinking", "thinking": ""]])
                + ModelScript.event(["type": "content_block_delta", "index": 0, "delta": ["type": "thinking_delta", "thinking": .string(text)]])
                + ModelScript.event(["type": "content_block_delta", "index": 0, "delta": ["type": "signature_delta", "signature": "sig"]])
                + ModelScript.event(["type": "content_block_stop", "index": 0]) + rest + ModelScript.end(reason))
    }
    private func blocks(_ body: Value?, _ type: String) -> [Value] {
        (body?["messages"]?.array ?? []).flatMap { $0["content"]?.array ?? [] }.flatMap { [$0] + ($0["content"]?.array ?? []) }.filter { $0["type"]?.string == type }
    }

    @Test(
        "thinking is asked for in the form that the model takes",
        arguments: [
            ("claude-sonnet-4-5-20250929", Provider.Kind.anthropicCompatible, Thinking.budget(8000)), ("claude-3-7-sonnet-20250219", .anthropicCompatible, .budget(8000)),
            ("us.anthropic.claude-opus-4-20250514-v1:0", .bedrock, .budget(8000)), ("claude-opus-4-6", .anthropicCompatible, .adaptive),
            ("claude-sonnet-5", .anthropicCompatible, .adaptive), ("claude-3-5-haiku-20241022", .anthropicCompatible, .off), ("claude-sonnet-4-5", .openAICompatible, .off),
            ("gpt-5", .anthropicCompatible, .off), ("claude-2.1", .anthropicCompatible, .off), ("claude-instant", .anthropicCompatible, .off),
        ])
    func forms(_ model: String, _ provider: Provider.Kind, _ expected: Thinking) {
        #expect(Thinking.suiting(model, at: provider) == expected)
    }

    @Test("with thinking on, its blocks go back inside the loop, and come back in later turns byte for byte")
    func thinkingLoop() async throws {
        var setup = AgentWorld.Setup()
        setup.options.thinking = .budget(2000)
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(
                Self.thinking("hm", ModelScript.tool("t1", "mcp__clawbot__list_tasks", [:], index: 1), reason: "tool_use"),
                Self.thinking("aha", ModelScript.text("One", index: 1), reason: "end_turn"), .says("Two"))
            let id = try await world.ask("first")["newSessionId"]?.string
            try await world.ask("second") { $0.resumeSessionId = id }
            let bodies = world.gateway.modelBodies
            #expect(bodies.allSatisfy { $0["thinking"] == ["type": "enabled", "budget_tokens": 2000] })
            #expect(blocks(bodies[2], "thinking") == [["type": "thinking", "thinking": "hm", "signature": "sig"], ["type": "thinking", "thinking": "aha", "signature": "sig"]])
        }
    }

    @Test("in a loop whose answer did not think, thinking is not asked for")
    func loopWithout() async throws {
        var setup = AgentWorld.Setup()
        setup.options.thinking = .budget(2000)
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(.calls([("t1", "mcp__clawbot__list_tasks", [:])]), .says("One"), .says("Two"))
            let id = try await world.ask("first")["newSessionId"]?.string
            try await world.ask("second") { $0.resumeSessionId = id }
            #expect(world.gateway.modelBodies.map { $0["thinking"] != nil } == [true, false, true])
        }
    }

    @Test("blocks of another model are left out once they are refused, and the answer comes all the same")
    func foreignThinking() async throws {
        var setup = AgentWorld.Setup()
        setup.options.thinking = .budget(2000)
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(
                Self.thinking("hm", ModelScript.text("One", index: 1), reason: "end_turn"),
                .failure(400, "invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block"), .says("Two"))
            let id = try await world.ask("first")["newSessionId"]?.string
            #expect(try await world.ask("second") { $0.resumeSessionId = id }["text"] == "Two")
            #expect(blocks(world.gateway.modelBodies[2], "thinking").isEmpty && world.gateway.modelBodies[2]["thinking"] == nil)
        }
    }

    @Test("an endpoint that does not know thinking is asked with it once")
    func unknownThinking() async throws {
        var setup = AgentWorld.Setup()
        setup.options.thinking = .adaptive
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(.failure(400, "invalid_request_error", "thinking: Extra inputs are not permitted"), .says("One"), .says("Two"))
            let id = try await world.ask("first")["newSessionId"]?.string
            try await world.ask("second") { $0.resumeSessionId = id }
            #expect(world.gateway.modelBodies.map { $0["thinking"] != nil } == [true, false, false])
        }
    }

    @Test("an image that the model cannot read costs that image, not the conversation")
    func brokenImage() async throws {
        try await AgentWorld.with { world async throws in
            try Data([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]).write(to: world.groupDirectory.appendingPathComponent("a.png"))
            world.gateway.script(
                .calls([("t1", "Read", ["file_path": "a.png"])]), .failure(400, "invalid_request_error", "messages.2.content.0: Could not process image"), .says("I cannot see it"), .says("Two"))
            let first = try await world.ask("look")
            #expect(first["text"] == "I cannot see it")
            try await world.ask("and now?") { $0.resumeSessionId = first["newSessionId"]?.string }
            #expect(blocks(world.gateway.modelBodies[1], "image").count == 1)
            for body in world.gateway.modelBodies[2...] {
                #expect(blocks(body, "image").isEmpty)
                #expect(try JSON.text(body).contains("An image was here that could not be read."))
            }
        }
    }

    @Test("a run that has used up its tokens says so, with what it has", arguments: [true, false])
    func budget(inStream: Bool) async throws {
        try await AgentWorld.with { world async throws in
            let refusal = #"{"type":"error","error":{"type":"permission_error","message":"This run has used its limit of 1000 tokens.","code":"run-tokens-exceeded"}}"#
            let end: FakeGateway.ModelAnswer =
                inStream
                ? .stream([ModelScript.start() + "event: error\ndata: \(refusal)\n\n"], cut: false) : .status(403, headers: [:], body: refusal)
            world.gateway.script(.calls([("t1", "mcp__clawbot__list_tasks", [:])], text: "Half of it"), end, .says("rest"))
            let final = try await world.ask()
            #expect(final["kind"] == "final")
            #expect(final["text"]?.string?.hasPrefix("Half of it\n\n(I stopped because the token budget") == true)
            let again = try await world.ask("go on") { $0.resumeSessionId = final["newSessionId"]?.string }
            #expect(again["text"] == "rest")
        }
    }

    @Test("a large picture does not count by its bytes: it is answered, not compacted away")
    func largePicture() async throws {
        try await AgentWorld.with { world async throws in
            let folder = world.workspace.appendingPathComponent("attachments/m1")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try (Data([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]) + Data(repeating: 7, count: 1_500_000)).write(to: folder.appendingPathComponent("a.png"))
            world.gateway.script(.says("hello", input: 500), .says("a cat"))
            let id = try await world.ask()["newSessionId"]?.string
            let key = ObjectLayout(userId: world.user, botId: world.bot).attachments(world.group) + "m1/a.png"
            let final = try await world.ask("what is it?") {
                $0.resumeSessionId = id
                $0.attachments = [.init(type: .image, fileName: "a.png", mimeType: "image/png", size: 1_500_008, objectKey: try! ObjectKey(checking: key))]
            }
            #expect(final["text"] == "a cat" && world.gateway.modelBodies.count == 2)
        }
    }

    @Test("results are bounded one by one and together, and the whole is in a file")
    func largeResults() async throws {
        var limits = ToolLimits()
        limits.outputDirectory = FileManager.default.temporaryDirectory.path + "/clawbot-bounds-\(ULID.make())"
        defer { try? FileManager.default.removeItem(atPath: limits.outputDirectory) }
        limits.resultBytes = 2000
        limits.turnBytes = 3000
        limits.turnMediaBytes = 100
        func result(_ id: String, _ bytes: Int) -> ToolResultContent { ToolResultContent(toolUseID: id, content: [.text(String(repeating: "x", count: bytes))]) }
        let image = ContentBlock.image(.base64(mediaType: "image/png", data: String(repeating: "A", count: 60)))
        let bounded = await ResultBounds(limits: limits).applied(to: [
            result("a", 100), result("b", 9000), result("c", 5000), ToolResultContent(toolUseID: "d", content: [image, image]),
        ])
        let sizes = bounded.map { $0.content.reduce(0) { $0 + ($1.text?.utf8.count ?? 0) } }
        #expect(sizes[0] == 100 && sizes[1] < 1800 && sizes[2] < 1800)
        let path = try #require(bounded[1].content.first?.text?.firstMatch(of: /is in (\S+?)\]/)?.1)
        #expect(try Data(contentsOf: URL(filePath: String(path))).count == 9000)
        #expect(bounded[3].content.first == image && bounded[3].content.last?.text?.contains("More images") == true)
        #expect(ResultBounds.share(of: 100, [10, 10, 200, 300]) == 40 && ResultBounds.share(of: 100, [1, 2]) == 100)
    }

    @Test("a call under an older name is understood; the search of the platform is offered where there is one")
    func aliases() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.calls([("t1", "KillBash", ["shell_id": "bash_1"]), ("t2", "WebSearch", ["query": "plums"])]), .says("ok"), .says("ok"))
            world.gateway.change { $0.searchResults = [["title": "Plum", "url": "https://e.org/plum", "snippet": "a fruit"]] }
            try await world.ask { $0.webSearch = .platform }
            let texts = (world.gateway.modelBodies[1]["messages"]?.array?.last?["content"]?.array ?? []).map { $0["content"]?.array?.first?["text"]?.string ?? "" }
            #expect(texts == ["There is no background command bash_1.", "Results for “plums”:\n- Plum: https://e.org/plum\n  a fruit"])
            try await world.ask { $0.forceNewSession = true }
            func offers(_ body: Value) -> Bool { body["tools"]?.array?.contains { $0["name"] == "WebSearch" } == true }
            #expect(world.gateway.modelBodies.map(offers) == [true, true, false])
        }
    }

    @Test("the provider's search runs in a call of its own, and its links and words are the result")
    func providerSearch() async throws {
        try await AgentWorld.with { world async throws in
            let found = ModelScript.event([
                "type": "content_block_start", "index": 1,
                "content_block": [
                    "type": "web_search_tool_result", "tool_use_id": "srv1",
                    "content": [["type": "web_search_result", "title": "Plum", "url": "https://e.org/plum", "page_age": "May 1", "encrypted_content": "xx"]],
                ],
            ])
            let call = ModelScript.event(["type": "content_block_start", "index": 0, "content_block": ["type": "server_tool_use", "id": "srv1", "name": "web_search", "input": [:]]])
            world.gateway.script(
                .calls([("t1", "WebSearch", ["query": "plums", "allowed_domains": ["e.org"]])]), .chunked(ModelScript.start() + call + ModelScript.end("pause_turn")),
                .chunked(ModelScript.start() + found + ModelScript.text("Plums are fruit.", index: 2) + ModelScript.end("end_turn")), .says("done"))
            try await world.ask { $0.webSearch = .provider }
            let bodies = world.gateway.modelBodies
            let tool = bodies[1]["tools"]?.array?.first
            #expect(tool?["type"] == "web_search_20250305" && tool?["allowed_domains"] == ["e.org"] && bodies[1]["tools"]?.array?.count == 1)
            #expect(bodies[2]["messages"]?.array?.last?["content"]?.array?.first?["type"] == "server_tool_use")
            let text = bodies[3]["messages"]?.array?.last?["content"]?.array?.first?["content"]?.array?.first?["text"]
            #expect(text == "Results for “plums”:\n- Plum (May 1): https://e.org/plum\n\nPlums are fruit.")
        }
    }

    @Test("messages that bring files are left to a run of their own, and so is what came after them")
    func inboxFiles() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.change {
                $0.inbox = [
                    ["messageId": "m-1", "sender": "1", "text": "also this", "attachments": []], ["messageId": "m-2", "sender": "1", "text": "", "attachments": [["fileName": "a.png"]]],
                    ["messageId": "m-3", "sender": "1", "text": "what is on it?", "attachments": []],
                ]
            }
            world.gateway.script(.calls([("t1", "mcp__clawbot__list_tasks", [:])]), .says("ok"))
            #expect(try await world.ask()["alsoAnswers"] == ["m-1"])
        }
    }

    @Test("skills stand in the prompt by name, and their text comes on use")
    func skills() async throws {
        try await AgentWorld.with { world async throws in
            let folder = world.home.appendingPathComponent(".claude/skills/tea")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data("---\nname: tea\ndescription: Makes tea\n---\nBoil water first.".utf8).write(to: folder.appendingPathComponent("SKILL.md"))
            world.gateway.script(.calls([("t1", "Skill", ["skill": "tea"])]), .says("done"))
            try await world.ask()
            let system = world.gateway.modelBodies[0]["system"]?.array?.first?["text"]?.string ?? ""
            #expect(system.contains("- tea: Makes tea") && !system.contains("Boil water"))
            #expect(try JSON.text(world.gateway.modelBodies[1]).contains("Boil water first."))
        }
    }
}
