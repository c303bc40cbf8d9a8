import AsyncHTTPClient
import Foundation
import NIOCore
import Pace
import Platform
import Synchronization
import Testing

@testable import AgentRuntime

/// What surrounds the claude CLI; the CLI itself is driven in `Tests/EndToEnd/test_claude_code.py`.
@Suite("The engine claude-code without its CLI", .paced)
struct ClaudeCodeTests {
    private let old = "11111111-1111-4111-8111-111111111111"

    @Test("an agent that was given no CLI fails the run and says so in the log only")
    func noCLI() async throws {
        try await AgentWorld.with { world async throws in
            let failed = try await world.ask { $0.engine = .claudeCode }
            #expect(failed["errorCode"] == "agent-failed")
            #expect(failed["text"]?.string?.contains("claudeCLI") == false)
        }
    }

    @Test("a try without an answer is cut off the transcript before the next try of the same message, and only then")
    func cutBack() async throws {
        try await AgentWorld.with { world async throws in
            let home = world.directory.appendingPathComponent("cli-home").path
            let folder = home + "/transcripts/claude-code/-workspace-group", file = folder + "/\(old).jsonl"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try Data("{\"settled\":1}\n".utf8).write(to: URL(filePath: file))
            func text() throws -> String { try String(contentsOfFile: file, encoding: .utf8) }
            func add(_ line: String) throws { try Data((try text() + line + "\n").utf8).write(to: URL(filePath: file)) }

            let payload = try world.payload("one") { $0.resumeSessionId = old }
            let first = try CLISession(payload, sessionFiles: home)
            #expect(first.id == old && first.isResumed && !first.wasStale)
            try add("{\"unfinished\":1}")
            var again = payload
            again.invocationId = InvocationID(ULID.make())
            let second = try CLISession(again, sessionFiles: home)
            #expect(try text() == "{\"settled\":1}\n")
            try add("{\"answered\":1}")
            second.commit()
            _ = try CLISession(again, sessionFiles: home)
            #expect(try text().contains("answered"), "an accepted turn was taken back")
            // A stopped run is followed by another message: what it did stays.
            try add("{\"stopped\":1}")
            _ = try CLISession(try world.payload("two") { $0.resumeSessionId = old }, sessionFiles: home)
            #expect(try text().contains("stopped"))
        }
    }

    @Test("a session that is gone, or of the other engine, is a new one", arguments: ["11111111-1111-4111-8111-111111111112", "01M89Y9MWDNNBPDD4K8W0DP86M", "../../x"])
    func stale(id: String) async throws {
        try await AgentWorld.with { world async throws in
            let session = try CLISession(try world.payload { $0.resumeSessionId = id }, sessionFiles: world.directory.appendingPathComponent("cli-home").path)
            #expect(session.wasStale && !session.isResumed && UUID(uuidString: session.id) != nil && session.id != id)
        }
    }

    @Test("SEC-68 a link planted in the place of the transcripts is not followed")
    func plantedLink() async throws {
        try await AgentWorld.with { world async throws in
            let home = world.directory.appendingPathComponent("cli-home").path, elsewhere = world.directory.appendingPathComponent("elsewhere").path
            for folder in [home + "/transcripts", elsewhere] { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }
            try FileManager.default.createSymbolicLink(atPath: home + "/transcripts/claude-code", withDestinationPath: elsewhere)
            let session = try CLISession(try world.payload(), sessionFiles: home)
            #expect(FileAccess.status(session.projects, followingLinks: false)?.kind == .folder)
        }
    }

    @Test("the door takes its own key and the two calls of the Messages API, and adds the grant")
    func door() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("ok"))
            let payload = try world.payload()
            let gateway = GatewayClient(
                address: try #require(GatewayAddress(world.gateway.url)), grant: Secret(payload.grant), http: .shared, deadline: Date() + 60, logger: quietLogger)
            let door = ModelDoor(gateway: gateway, key: Secret("door-key"), logger: quietLogger)
            let statuses = try await door.serving { port in
                var statuses: [Int] = []
                for (key, path) in [("door-key", "/v1/messages"), (payload.grant, "/v1/messages"), ("door-key", "/v1/files"), ("door-key", "/agent/v1/tasks")] {
                    var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
                    request.method = .POST
                    request.headers.add(name: "authorization", value: "Bearer \(key)")
                    request.body = .bytes(ByteBuffer(string: #"{"model":"test-model","max_tokens":10,"messages":[],"stream":true}"#))
                    let answer = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
                    _ = try await answer.body.collect(upTo: 1 << 20)
                    statuses.append(Int(answer.status.code))
                }
                return statuses
            }
            #expect(statuses == [200, 401, 404, 404])
            #expect(world.gateway.read(\.modelBodies).count == 1)
        }
    }

    @Test("SEC-87 the bridge serves what the whitelist has, under the names of its servers, and answers notifications at once")
    func bridge() async {
        let tools: [any AgentTool] = ["mcp__clawbot__say", "mcp__clawbot__hide", "mcp__other__say"].map { EchoTool(name: $0) }
        let whitelist = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__clawbot__say"])
        let bridge = ToolBridge(tools: tools, whitelist: whitelist, context: ToolContext(workspace: "/tmp"))
        #expect(bridge.servers == ["clawbot"])
        let answers = Mutex<[String: Value]>([:])
        let serving = Task { await bridge.serve { request, response in answers.withLock { $0[request] = response } } }
        #expect(bridge.take(["jsonrpc": "2.0", "method": "notifications/initialized"], server: "clawbot", request: "a") != nil)
        #expect(bridge.take(["jsonrpc": "2.0", "id": 1, "method": "tools/list"], server: "clawbot", request: "b") == nil)
        #expect(bridge.take(["jsonrpc": "2.0", "id": 1, "method": "tools/list"], server: "other", request: "c")?["mcp_response"]?["error"] != nil)
        let call: Value = ["jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": ["name": "hide", "arguments": ["text": "x"]]]
        #expect(bridge.take(call, server: "clawbot", request: "d") == nil)
        try? await eventually("both answers", seconds: 20) { answers.withLock { $0.count } >= 2 }
        bridge.finish()
        await serving.value
        let got = answers.withLock { $0 }
        #expect(got["b"]?["mcp_response"]?["result"]?["tools"]?.array?.map { $0["name"] } == ["say"])
        #expect(got["d"]?["mcp_response"]?["error"] != nil)
    }
}
