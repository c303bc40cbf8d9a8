import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("Trouble of the model, the gateway and the clock", .paced)
struct EngineFailureTests {
    @Test("429 is tried again after what retry-after says")
    func rateLimit() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.failure(429, "rate_limit_error", headers: ["retry-after": "0.3"]), .says("ok"))
            let start = ContinuousClock.now
            #expect(try await world.ask()["text"] == "ok")
            #expect(ContinuousClock.now - start >= .milliseconds(300))
        }
    }

    @Test("529 and 503 are tried again; without end they are provider-unavailable", arguments: [529, 503])
    func overloaded(status: Int) async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.failure(status, "overloaded_error"), .failure(status, "overloaded_error"), .says("ok"))
            #expect(try await world.ask()["text"] == "ok")
            for _ in 0..<6 { world.gateway.script(.failure(status, "overloaded_error", "internal canary-7")) }
            let failed = try await world.ask()
            #expect(failed["errorCode"] == "provider-unavailable")
            #expect(failed["text"]?.string?.contains("canary") == false)
        }
    }

    @Test("a connection cut in mid-stream starts the turn again; the broken try's text is not in the reply nor in the transcript")
    func cutConnection() async throws {
        try await AgentWorld.with { world async throws in
            let half = ModelScript.start() + ModelScript.text("half an ans").replacingOccurrences(of: "content_block_stop", with: "ping")
            world.gateway.script(.stream([half], cut: true), .says("whole answer"), .says("next"))
            let final = try await world.ask()
            #expect(final["text"] == "whole answer")
            try await world.ask("more") { $0.resumeSessionId = final["newSessionId"]?.string }
            #expect(!String(decoding: world.gateway.read(\.modelBodies)[2], as: UTF8.self).contains("half an"))
            let ids = Set(world.gateway.read(\.events).filter { $0["type"] == "delta" }.compactMap { $0["messageId"]?.string })
            #expect(ids.contains(final["messageId"]?.string ?? ""))
        }
    }

    @Test("malformed events, an error event and a stream without end are tried again", arguments: [
        "event: x\ndata: {not json\n\n", "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"\"}}\n\n", "",
    ])
    func malformed(stream: String) async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.stream([ModelScript.start() + stream], cut: false), .says("ok"))
            #expect(try await world.ask()["text"] == "ok")
        }
    }

    @Test("pings, unknown events and unknown blocks do no harm")
    func unknownEvents() async throws {
        try await AgentWorld.with { world async throws in
            let stream = ModelScript.start() + ": comment\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: later\ndata: {\"type\":\"later\",\"x\":[1]}\n\n"
                + ModelScript.text("fine") + ModelScript.end("end_turn")
            world.gateway.script(.chunked(stream))
            #expect(try await world.ask()["text"] == "fine")
        }
    }

    @Test("403 quota-exceeded is told as such, also in mid-stream")
    func quota() async throws {
        try await AgentWorld.with { world async throws in
            let error = #"{"type":"error","error":{"type":"permission_error","code":"quota-exceeded","message":"used up"}}"#
            world.gateway.script(.status(403, headers: [:], body: error))
            #expect(try await world.ask()["errorCode"] == "quota-exceeded")
            world.gateway.script(.stream([ModelScript.start() + "event: error\ndata: \(error)\n\n"], cut: false))
            #expect(try await world.ask()["errorCode"] == "quota-exceeded")
        }
    }

    @Test("a model that writes less than asked for gets a lower max_tokens")
    func outputLimit() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.failure(400, "invalid_request_error", "max_tokens: 16000 > 4096, which is the maximum allowed"), .says("ok"))
            #expect(try await world.ask()["text"] == "ok")
            #expect(world.gateway.modelBodies[1]["max_tokens"] == 4096)
        }
    }

    @Test("a conversation that is too long for the model is compacted, and the message still answered")
    func tooLong() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.failure(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"), .says("SUMMARY"), .says("ok"))
            #expect(try await world.ask("the question")["text"] == "ok")
            #expect(String(decoding: world.gateway.read(\.modelBodies)[2], as: UTF8.self).contains("the question"))
        }
    }

    @Test("SEC-113 a refusal of the provider is a fixed sentence and a reference")
    func SEC_113_fixedSentence() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.failure(400, "invalid_request_error", "canary /etc/secret arn:aws:x"))
            let final = try await world.ask()
            #expect(final["errorCode"] == "provider-unavailable")
            #expect(final["text"]?.string?.contains("canary") == false)
            #expect(final["text"]?.string?.contains("Reference: ") == true)
        }
    }

    @Test("the deadline ends the run with agent-timeout")
    func deadline() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.hang([ModelScript.start()]))
            let final = try await world.ask { $0.deadline = Date() + 0.5 }
            #expect(final["kind"] == "error")
            #expect(final["errorCode"] == "agent-timeout")
        }
    }

    @Test("a stop ends the run at once, nothing is said, and the conversation goes on")
    func stop() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("one"), .hang([ModelScript.start() + ModelScript.text("thinking about")]), .says("back"))
            let first = try await world.ask("first")
            let payload = try world.payload("second") { $0.resumeSessionId = first["newSessionId"]?.string }
            world.gateway.change { $0.accepted = [:] }
            try await world.invoke(payload)
            try await world.gateway.wait("the model call") { $0.modelBodies.count == 2 }
            let start = ContinuousClock.now
            let answer = try await world.post("/stop", Data(#"{"invocationId":"\#(payload.invocationId)"}"#.utf8))
            #expect(answer.status == 200)
            try await world.whenIdle()
            // Promised is one second; the test leaves room for a machine that is busy otherwise.
            #expect(ContinuousClock.now - start < .seconds(60))
            #expect(world.gateway.replies.count == 1)
            let third = try await world.ask("third") { $0.resumeSessionId = first["newSessionId"]?.string }
            #expect(third["text"] == "back")
            let roles = world.gateway.modelBodies[2]["messages"]?.array?.map { $0["role"]?.string ?? "" } ?? []
            #expect(zip(roles, roles.dropFirst()).allSatisfy { $0 != $1 })
            #expect(String(decoding: world.gateway.read(\.modelBodies)[2], as: UTF8.self).contains("second"))
        }
    }

    @Test("SEC-73 a dead grant ends the run at once, and nothing is posted")
    func SEC_73_deadGrant() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("never"))
            world.gateway.change { $0.grantAlive = false }
            try await world.invoke(world.payload())
            try await world.whenIdle()
            #expect(world.gateway.replies.isEmpty)
        }
    }

    @Test("a final reply survives 5xx answers of the gateway and is accepted once")
    func replyRetry() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("ok"))
            world.gateway.change { $0.replyTrouble = [502, 503] }
            #expect(try await world.ask()["text"] == "ok")
            #expect(world.gateway.replies.count == 1)
        }
    }

    @Test("tool calls with broken arguments go back to the model as errors")
    func brokenArguments() async throws {
        try await AgentWorld.with { world async throws in
            let stream = ModelScript.start()
                + ModelScript.event(["type": "content_block_start", "index": 0, "content_block": ["type": "tool_use", "id": "t1", "name": "mcp__clawbot__send_message", "input": [:]]])
                + ModelScript.event(["type": "content_block_delta", "index": 0, "delta": ["type": "input_json_delta", "partial_json": "{\"text\": \"x"]])
                + ModelScript.event(["type": "content_block_stop", "index": 0]) + ModelScript.end("tool_use")
            world.gateway.script(.chunked(stream), .calls([("t2", "no_such_tool", [:])]), .says("ok"))
            #expect(try await world.ask()["text"] == "ok")
            let result = world.gateway.modelBodies[1]["messages"]?.array?.last?["content"]?.array?.first
            #expect(result?["is_error"] == true)
            #expect(world.gateway.modelBodies[2]["messages"]?.array?.last?["content"]?.array?.first?["is_error"] == true)
            #expect(world.gateway.replies.count == 1)
        }
    }

    @Test("SEC-86 SEC-87 a tool that the whitelist does not have is neither offered nor run, and its denial shows")
    func SEC_87_whitelist() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.calls([("t1", "mcp__clawbot__send_message", ["text": "leak"])]), .says("ok"))
            try await world.ask { $0.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__clawbot__list_tasks"]) }
            let names = world.gateway.modelBodies[0]["tools"]?.array?.compactMap { $0["name"]?.string } ?? []
            #expect(names.filter { $0.hasPrefix("mcp__") } == ["mcp__clawbot__list_tasks"])
            #expect(world.gateway.replies.count == 1)
            try await world.gateway.wait("the denial") { $0.events.contains { $0["phase"] == "denied" } }
            #expect(world.gateway.modelBodies[1]["messages"]?.array?.last?["content"]?.array?.first?["is_error"] == true)
        }
    }
}
