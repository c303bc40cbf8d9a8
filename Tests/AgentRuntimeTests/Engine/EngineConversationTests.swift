import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("A conversation with the native engine", .paced)
struct EngineConversationTests {
    @Test("an answer is streamed as deltas and posted once as the final reply under the same message id")
    func streaming() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("Hello dear Ann"))
            let final = try await world.ask("hi")
            #expect(final["kind"] == "final")
            #expect(final["text"] == "Hello dear Ann")
            #expect(final["sequence"] == 0)
            #expect(final["newSessionId"]?.string?.isEmpty == false)
            try await world.gateway.wait("deltas") { state in
                let deltas = state.events.filter { $0["type"] == "delta" }
                return deltas.compactMap { $0["text"]?.string }.joined() == "Hello dear Ann"
            }
            let deltas = world.gateway.read(\.events).filter { $0["type"] == "delta" }
            #expect(deltas.map { $0["index"]?.int } == Array(0..<deltas.count))
            #expect(Set(deltas.map { $0["messageId"]?.string }) == [final["messageId"]?.string])
            #expect(world.gateway.replies.count == 1)
        }
    }

    @Test("the next message resumes the session, and the second request has the first as its prefix, cache markers aside")
    func resume() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("One"), .says("Two"))
            let first = try await world.ask("first")
            try await world.ask("second") { $0.resumeSessionId = first["newSessionId"]?.string }
            let bodies = world.gateway.read(\.modelBodies).map { String(decoding: $0, as: UTF8.self) }
            #expect(bodies.count == 2)
            let marker = #","cache_control":{"type":"ephemeral"}"#
            #expect(bodies.allSatisfy { $0.components(separatedBy: marker).count - 1 <= 4 })
            let plain = bodies.map { $0.replacingOccurrences(of: marker, with: "") }
            let prefix = String(plain[0].dropLast(2))
            #expect(plain[1].hasPrefix(prefix))
            let messages = world.gateway.modelBodies[1]["messages"]?.array ?? []
            #expect(messages.map { $0["role"]?.string } == ["user", "assistant", "user"])
            // System, last tool, and both user turns carry a marker.
            #expect(messages[0]["content"]?.array?.last?["cache_control"] != nil)
            #expect(messages[2]["content"]?.array?.last?["cache_control"] != nil)
            #expect(world.gateway.modelBodies[1]["tools"]?.array?.last?["cache_control"] != nil)
            #expect(world.gateway.modelBodies[1]["system"]?.array?.last?["cache_control"] != nil)
        }
    }

    @Test("tool calls run over several turns, their activity shows without input or output, and only the last text is the reply")
    func toolLoop() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(
                .calls([("t1", "mcp__clawbot__send_message", ["text": "working"])], text: "Let me see."),
                .calls([("t2", "mcp__clawbot__list_tasks", [:])]),
                .says("All done"))
            let final = try await world.ask()
            #expect(final["text"] == "All done")
            #expect(final["numTurns"] == 3)
            #expect(world.gateway.replies.map { $0["kind"]?.string } == ["message", "final"])
            #expect(world.gateway.replies.map { $0["sequence"]?.int } == [0, 1])
            let second = world.gateway.modelBodies[1]["messages"]?.array?.last
            #expect(second?["content"]?.array?.first?["type"] == "tool_result")
            #expect(second?["content"]?.array?.first?["tool_use_id"] == "t1")
            try await world.gateway.wait("tool events") { $0.events.filter { $0["type"] == "tool" }.count == 4 }
            let tools = world.gateway.read(\.events).filter { $0["type"] == "tool" }
            #expect(tools.map { $0["phase"]?.string } == ["start", "end", "start", "end"])
            #expect(!(try JSON.text(Value.array(tools)).contains("working")))
        }
    }

    @Test("a second user of the same process cannot be answered with the first one's session: a stale id starts a new session once")
    func staleSession() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("Fresh"))
            let final = try await world.ask { $0.resumeSessionId = "01ARZ3NDEKTSV4RRFFQ69G5FAV" }
            #expect(final["text"] == "Fresh")
            #expect(final["newSessionId"] != "01ARZ3NDEKTSV4RRFFQ69G5FAV")
            #expect(world.gateway.modelBodies[0]["messages"]?.array?.count == 1)
        }
    }

    @Test("forceNewSession forgets the conversation and keeps the old transcript")
    func forcedNew() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("One"), .says("Two"))
            let first = try await world.ask("first")
            let second = try await world.ask("second") { $0.forceNewSession = true }
            #expect(second["newSessionId"] != first["newSessionId"])
            #expect(world.gateway.modelBodies[1]["messages"]?.array?.count == 1)
        }
    }

    @Test("thinking blocks go back unchanged with their signature inside the tool loop")
    func thinking() async throws {
        try await AgentWorld.with { world async throws in
            let stream =
                ModelScript.start()
                + ModelScript.event(["type": "content_block_start", "index": 0, "content_block": ["type": "thinking", "thinking": ""]])
                + ModelScript.event(["type": "content_block_delta", "index": 0, "delta": ["type": "thinking_delta", "thinking": "hm"]])
                + ModelScript.event(["type": "content_block_delta", "index": 0, "delta": ["type": "signature_delta", "signature": "sig=="]])
                + ModelScript.event(["type": "content_block_stop", "index": 0])
                + ModelScript.tool("t1", "mcp__clawbot__list_tasks", [:], index: 1) + ModelScript.end("tool_use")
            world.gateway.script(.chunked(stream), .says("ok"))
            try await world.ask()
            let assistant = world.gateway.modelBodies[1]["messages"]?.array?[1]["content"]?.array
            #expect(assistant?.first == ["type": "thinking", "thinking": "hm", "signature": "sig=="])
        }
    }

    @Test("a refusal is answered with a fixed sentence and leaves nothing in the conversation")
    func refusal() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("Hello"), .says("I would", reason: "refusal"), .says("Sure"))
            let first = try await world.ask("one")
            let id = first["newSessionId"]?.string
            let refused = try await world.ask("bad") { $0.resumeSessionId = id }
            #expect(refused["kind"] == "final")
            #expect(refused["text"] == "I can't help with that request.")
            try await world.ask("good") { $0.resumeSessionId = id }
            #expect(!String(decoding: world.gateway.read(\.modelBodies)[2], as: UTF8.self).contains("bad"))
        }
    }

    @Test("a reply cut at the output limit is continued, and the pieces are one answer")
    func maxTokens() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("one two", reason: "max_tokens"), .says(" three"))
            #expect(try await world.ask()["text"] == "one two three")
        }
    }

    @Test("the turn limit ends the run with an explanation and a valid transcript")
    func maxTurns() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.calls([("t1", "mcp__clawbot__list_tasks", [:])]), .calls([("t2", "mcp__clawbot__list_tasks", [:])], text: "Half way"), .says("next"))
            let final = try await world.ask { $0.maxTurns = 2 }
            #expect(final["kind"] == "final")
            #expect(final["text"]?.string?.contains("Half way") == true)
            #expect(final["text"]?.string?.contains("2 steps") == true)
            try await world.ask("go on") { $0.resumeSessionId = final["newSessionId"]?.string }
            let roles = world.gateway.modelBodies[2]["messages"]?.array?.map { $0["role"]?.string ?? "" } ?? []
            #expect(zip(roles, roles.dropFirst()).allSatisfy { $0 != $1 })
        }
    }

    @Test("SEC-114 a turn without any text is asked for once, then it is a failure")
    func SEC_114_emptySuccess() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says(""), .says(""))
            let final = try await world.ask()
            #expect(final["kind"] == "error")
            #expect(final["errorCode"] == "agent-failed")
        }
    }

    @Test("a scheduled run may end without text")
    func silentTask() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says(""))
            let final = try await world.ask { $0.isScheduledTask = true }
            #expect(final["kind"] == "final")
            #expect(final["text"] == "")
        }
    }

    @Test("a text over 100 000 bytes goes as several replies, in order, the last one final")
    func longText() async throws {
        try await AgentWorld.with { world async throws in
            let text = Array(repeating: "äöü word", count: 30_000).joined(separator: " ")
            let stream = ModelScript.start() + ModelScript.event(["type": "content_block_start", "index": 0, "content_block": ["type": "text", "text": .string(text)]])
                + ModelScript.end("end_turn")
            world.gateway.script(.chunked(stream))
            try await world.ask()
            let texts = world.gateway.replies.compactMap { $0["text"]?.string }
            #expect(texts.joined() == text)
            #expect(texts.allSatisfy { $0.utf8.count <= 100_000 })
            #expect(world.gateway.replies.map { $0["kind"]?.string }.last == "final")
            #expect(Set(world.gateway.replies.map { $0["messageId"]?.string }).count == texts.count)
        }
    }

    @Test("/context reports tokens by part without a model call, and changes nothing")
    func contextCommand() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("One", input: 1234), .says("Two"))
            let first = try await world.ask("first")
            let id = first["newSessionId"]?.string
            let report = try await world.ask("/context") { $0.sdkCommand = .context; $0.resumeSessionId = id }
            #expect(report["text"]?.string?.contains("1.2k of 200.0k") == true)
            #expect(world.gateway.modelBodies.count == 1)
            try await world.ask("second") { $0.resumeSessionId = id }
            #expect(world.gateway.modelBodies[1]["messages"]?.array?.count == 3)
        }
    }

    @Test("/compact puts a summary in the place of the conversation and archives the full text")
    func compactCommand() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("the secret word is plum"), .says("SUMMARY: plum"), .says("still plum"))
            let first = try await world.ask("tell me")
            let compacted = try await world.ask("/compact") { $0.sdkCommand = .compact; $0.resumeSessionId = first["newSessionId"]?.string }
            #expect(compacted["text"]?.string?.hasPrefix("Compacted the conversation") == true)
            try await world.ask("what was it?") { $0.resumeSessionId = compacted["newSessionId"]?.string }
            let messages = world.gateway.modelBodies[2]["messages"]?.array ?? []
            #expect(messages.count == 3)
            #expect(messages.first?["content"]?.array?.first?["text"]?.string?.contains("SUMMARY: plum") == true)
            let archive = try FileManager.default.contentsOfDirectory(atPath: world.groupDirectory.path + "/conversations")
            #expect(archive.count == 1)
        }
    }

    @Test("at 80 % of the window the conversation is compacted by itself, and the message is still answered")
    func automaticCompaction() async throws {
        var setup = AgentWorld.Setup()
        setup.options.contextWindow = 50_000
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(.says("big", input: 45_000), .says("SUMMARY of it"), .says("answered"))
            let first = try await world.ask("first")
            let final = try await world.ask("the second question") { $0.resumeSessionId = first["newSessionId"]?.string }
            #expect(final["text"] == "answered")
            let last = String(decoding: world.gateway.read(\.modelBodies)[2], as: UTF8.self)
            #expect(last.contains("SUMMARY of it"))
            #expect(last.contains("the second question"))
        }
    }

    @Test("memory stands in the system prompt, a changed file from the next message on, also after /clear")
    func memory() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(
                .calls([("t1", "Write", ["file_path": .string(world.groupDirectory.path + "/CLAUDE.md"), "content": "Ann likes plums."])]), .says("noted"), .says("plums"))
            try await world.ask("remember: I like plums")
            try await world.ask("what do I like?") { $0.forceNewSession = true }
            let system = world.gateway.modelBodies.map { $0["system"]?.array?.first?["text"]?.string ?? "" }
            #expect(system[0].contains("Manual of Clawd"))
            #expect(system[0] == system[1])
            #expect(!system[0].contains("Ann likes plums."))
            #expect(system[2].contains("Ann likes plums."))
        }
    }

    @Test("an image is sent as an image block, another file is named with its path")
    func attachments() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("seen"))
            let folder = world.workspace.appendingPathComponent("attachments/m1")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data([0x89, 0x50, 0x4e, 0x47]).write(to: folder.appendingPathComponent("a.png"))
            try Data("x".utf8).write(to: folder.appendingPathComponent("b.csv"))
            let root = ObjectLayout(userId: world.user, botId: world.bot).attachments(world.group)
            try await world.ask {
                $0.attachments = [
                    .init(type: .image, fileName: "a.png", mimeType: "image/png", size: 4, objectKey: try! ObjectKey(checking: root + "m1/a.png")),
                    .init(type: .document, fileName: "b.csv", mimeType: "text/csv", size: 1, objectKey: try! ObjectKey(checking: root + "m1/b.csv")),
                ]
            }
            let content = world.gateway.modelBodies[0]["messages"]?.array?.first?["content"]?.array ?? []
            #expect(content.first?["type"] == "image")
            #expect(content.last?["text"]?.string?.contains("attachments/m1/b.csv, read it with your tools") == true)
        }
    }
}

extension Value: ExpressibleByArrayLiteral {
    public init(arrayLiteral elements: Value...) { self = .array(elements) }
}
