import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("Sub-agents", .paced)
struct SubagentTests {
    private static func task(_ id: String, _ prompt: String, _ kind: String? = nil) -> (String, String, Value) {
        var input: [String: Value] = ["description": "a task", "prompt": .string(prompt)]
        if let kind { input["subagent_type"] = .string(kind) }
        return (id, "Task", .object(input))
    }
    /// Answers by what the request's first words are: the conversation, or a sub-agent's task.
    private static func answer(_ answers: [String: FakeGateway.ModelAnswer]) -> FakeGateway.ModelAnswer {
        .decide { body in
            let words = body["messages"]?.array?.first?["content"]?.array?.first?["text"]?.string ?? ""
            return answers.first { words.hasPrefix($0.key) }?.value ?? .says("?")
        }
    }
    private func results(_ body: Value?) -> [Value] { body?["messages"]?.array?.last?["content"]?.array?.filter { $0["type"] == "tool_result" } ?? [] }

    @Test("a sub-agent works in a context of its own, with fewer tools, and its report is the result")
    func work() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(
                .calls([Self.task("t1", "count the files")]), .calls([("s1", "Bash", ["command": "pwd"]), ("s2", "mcp__clawbot__send_message", ["text": "hi"])]),
                .says("there are two"), .says("Two files."))
            let final = try await world.ask("how many?")
            #expect(final["text"] == "Two files." && world.gateway.replies.count == 1)
            let bodies = world.gateway.modelBodies
            #expect(results(bodies[3]).first?["content"]?.array?.first?["text"] == "there are two")
            #expect(bodies[1]["messages"]?.array?.count == 1 && bodies[1]["messages"]?.array?.first?["content"]?.array?.first?["text"] == "count the files")
            let names = (bodies[1]["tools"]?.array ?? []).compactMap { $0["name"]?.string }
            #expect(names.contains("Bash") && names.contains("mcp__clawbot__search_history"))
            #expect(!names.contains("Task") && !names.contains { $0.hasPrefix("mcp__clawbot__") && $0 != "mcp__clawbot__search_history" })
            // What it must not use it does not get either, offered or not.
            #expect(results(bodies[2]).last?["content"]?.array?.first?["text"] == "There is no tool mcp__clawbot__send_message.")
            #expect(results(bodies[2]).first?["content"]?.array?.first?["text"]?.string == world.groupDirectory.resolvingSymlinksInPath().path)
            #expect(bodies[1]["system"]?.array?.first?["text"]?.string?.contains("Manual of Clawd") == false)
        }
    }

    @Test("an explorer has only what reads")
    func explore() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.calls([Self.task("t1", "look", "Explore"), Self.task("t2", "look", "nobody")]), .says("seen"), .says("ok"))
            try await world.ask()
            let names = Set((world.gateway.modelBodies[1]["tools"]?.array ?? []).compactMap { $0["name"]?.string })
            #expect(names == ["BashOutput", "Read", "Glob", "Grep", "WebFetch", "mcp__clawbot__search_history"])
            #expect(results(world.gateway.modelBodies[2]).last?["content"]?.array?.first?["text"]?.string?.contains("general-purpose, Explore") == true)
        }
    }

    @Test("several run at the same time, each with its own working directory, and their reports keep the order of the calls")
    func parallel() async throws {
        try await AgentWorld.with { world async throws in
            for name in ["a", "b"] { try FileManager.default.createDirectory(at: world.groupDirectory.appendingPathComponent(name), withIntermediateDirectories: true) }
            // Each waits until the other has come: one after the other they would never end.
            @Sendable func command(_ own: String, _ other: String) -> Value { .object(["command": .string("cd \(own); touch here; while [ ! -e ../\(other)/here ]; do sleep 0.02; done")]) }
            let answer = Self.answer([
                "<messages>": .decide { body in
                    (body["messages"]?.array?.count ?? 0) > 1 ? .says("done") : .calls([Self.task("t1", "A"), Self.task("t2", "B")])
                },
                "A": .decide { body in
                    switch body["messages"]?.array?.count ?? 0 {
                    case 1: .calls([("a1", "Bash", command("a", "b"))])
                    case 3: .calls([("a2", "Bash", ["command": "basename $PWD"])])
                    default: .says("A was in \(body["messages"]?.array?.last?["content"]?.array?.last?["content"]?.array?.first?["text"]?.string ?? "")")
                    }
                },
                "B": .decide { body in (body["messages"]?.array?.count ?? 0) > 1 ? .says("B report") : .calls([("b1", "Bash", command("b", "a"))]) },
            ])
            world.gateway.change { $0.script = Array(repeating: answer, count: 12) }
            #expect(try await world.ask()["text"] == "done")
            let last = world.gateway.modelBodies.last
            #expect(results(last).map { $0["content"]?.array?.first?["text"] } == ["A was in a", "B report"])
        }
    }

    @Test("its turns are bounded, its failures are the agent's to know, and the whitelist holds for it")
    func bounds() async throws {
        try await AgentWorld.with { world async throws in
            let answer = Self.answer([
                "<messages>": .decide { body in
                    (body["messages"]?.array?.count ?? 0) > 1 ? .says("done") : .calls([Self.task("t1", "loop"), Self.task("t2", "fail"), Self.task("t3", "refuse"), Self.task("t4", " ")])
                },
                "loop": .calls([("x", "mcp__clawbot__search_history", [:])], text: "so far"), "fail": .failure(400, "invalid_request_error", "nothing known"),
                "refuse": .says("no", reason: "refusal"),
            ])
            world.gateway.change { $0.script = Array(repeating: answer, count: 40) }
            try await world.ask {
                $0.maxTurns = 3
                $0.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true)
            }
            let texts = results(world.gateway.modelBodies.last).map { $0["content"]?.array?.first?["text"]?.string ?? "" }
            #expect(texts.count == 4)
            #expect(texts[0] == "so far\n\n(It stopped after 3 steps, its limit, and was not done.)")
            #expect(texts[1] == "The sub-agent could not finish: the model does not take the request.")
            #expect(texts[2] == "The sub-agent refused the task.")
            #expect(texts[3].contains("1 to 100 000 bytes"))
            let denied = world.gateway.modelBodies.first { $0["messages"]?.array?.first?["content"]?.array?.first?["text"] == "loop" && $0["messages"]?.array?.count == 3 }
            #expect(results(denied).first?["content"]?.array?.first?["text"]?.string?.contains("not allowed for this bot") == true)
        }
    }

    @Test("a stop ends a sub-agent in the middle of its command")
    func stop() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.calls([Self.task("t1", "wait")]), .calls([("s1", "Bash", ["command": "touch started; sleep 600"])]), .says("later"))
            let payload = try world.payload("go")
            try await world.invoke(payload)
            try await eventually("the command runs") { FileManager.default.fileExists(atPath: world.groupDirectory.path + "/started") }
            _ = try await world.post("/stop", JSON.encode(["invocationId": payload.invocationId.rawValue]))
            try await world.whenIdle()
            #expect(world.gateway.final == nil && world.gateway.modelBodies.count == 2)
        }
    }
}
