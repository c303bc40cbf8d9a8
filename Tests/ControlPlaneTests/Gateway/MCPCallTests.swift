import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

/// Notes what is sent, answers from a script.
private final class ScriptedUpstream: MCPUpstream {
    struct Seen: Sendable { var url: String; var method: String; var headers: HTTPHeaders }
    let seen = Mutex<[Seen]>([])
    let status = Mutex<HTTPResponseStatus>(.ok)
    let headers = Mutex<HTTPHeaders>(["content-type": "application/json", "set-cookie": "a=b", "mcp-session-id": "s1"])
    let refuses = Mutex(false)

    func execute<Answer: Sendable>(
        _ request: HTTPClientRequest, timeout: Duration, _ body: @Sendable (HTTPClientResponse) async throws -> Answer
    ) async throws -> Answer {
        seen.withLock { $0.append(Seen(url: request.url, method: request.method.rawValue, headers: request.headers)) }
        if refuses.withLock({ $0 }) { throw MCPUpstreamRefusal() }
        return try await body(
            HTTPClientResponse(version: .http1_1, status: status.withLock { $0 }, headers: headers.withLock { $0 }, body: .bytes(ByteBuffer(string: "{}"))))
    }
}

@Suite("Remote MCP servers through the gateway", .paced)
struct MCPCallTests {
    private let upstream = ScriptedUpstream()

    private func world(enabled: Bool = true, change: (inout MCPDefinition) -> Void = { _ in }) async throws -> GatewayWorld {
        let upstream = upstream
        let world = try await GatewayWorld { records, secrets in MCPRelay(records: records, secrets: secrets, stage: "test", upstream: upstream) }
        var definition = MCPDefinition(name: "weather", type: .http)
        definition.url = "https://mcp.example.com/mcp"
        definition.headers = ["Authorization": "Bearer ${secret:TOKEN}", "X-Plain": "yes"]
        definition.envVars = [.init(name: "TOKEN", required: true)]
        change(&definition)
        var use = BotMCPServer(botId: world.botId, mcpServerId: MCPServerID("S1"), definition: definition, enabled: enabled, at: world.time.now())
        use.configuredSecrets = ["TOKEN"]
        try await world.records.put(use)
        try await world.secrets.put(BotMCPServer.secretName("test", world.botId, MCPServerID("S1")), Secret(#"{"TOKEN":"hush"}"#))
        return world
    }
    private func send(
        _ world: GatewayWorld, _ token: String, _ body: String = #"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, method: MCPRequest.Method = .post,
        headers: [(name: String, value: String)] = [], endpoint: String? = nil, server: String = "S1"
    ) async throws -> (ModelResponse, String) {
        let run = try await world.run(token, .proxy)
        let answer = try await world.gateway.mcp(
            run, server: MCPServerID(server), MCPRequest(method: method, headers: headers, body: ByteBuffer(string: body), endpoint: endpoint))
        var whole = ""
        try await answer.body { whole += String(buffer: $0) }
        return (answer, whole)
    }

    @Test("SEC-78 SEC-92 headers are filled here and rebuilt: nothing of the agent's but what the protocol needs goes on")
    func SEC_78_headers() async throws {
        let world = try await self.world(), token = try await world.start().token
        let (answer, body) = try await send(
            world, token,
            headers: [
                ("authorization", "Bearer grant"), ("Authorization", "x"), ("cookie", "c"), ("x-forwarded-for", "1.2.3.4"), ("host", "evil"), ("connection", "x-plain"),
                ("accept", "application/json"), ("mcp-session-id", "s0"), ("x-plain", "no"), ("te", "trailers"),
            ])
        let seen = upstream.seen.withLock { $0[0] }
        #expect(seen.url == "https://mcp.example.com/mcp")
        #expect(seen.headers["authorization"] == ["Bearer hush"])
        #expect(seen.headers["x-plain"] == ["yes"])
        #expect(seen.headers["mcp-session-id"] == ["s0"])
        for name in ["cookie", "x-forwarded-for", "host", "connection", "te"] { #expect(!seen.headers.contains(name: name)) }
        #expect(body == "{}")
        #expect(answer.headers.contains { $0.name == "mcp-session-id" } && !answer.headers.contains { $0.name == "set-cookie" })
    }

    @Test("SEC-87 tools/call is checked against the run's whitelist, in batches too, and a refusal is recorded")
    func SEC_87_whitelist() async throws {
        let world = try await self.world()
        let token = try await world.start { $0.run?.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__weather__now"]) }.token
        func call(_ tool: String) -> String { #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\#(tool)"}}"# }
        _ = try await send(world, token, call("now"))
        for body in [call("Now"), call("now "), call("delete"), "[\(call("now")),\(call("delete"))]", call("n\\u200dow")] {
            await #expect(throws: GatewayError.self, "\(body)") { _ = try await send(world, token, body) }
        }
        // Two readings of one body are one too many.
        let twice = #"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"now","name":"delete"}}"#
        for body in [twice, "{", "7", #"[1]"#] { await #expect(throws: GatewayError.self, "\(body)") { _ = try await send(world, token, body) } }
        #expect(upstream.seen.withLock { $0.count } == 1)
        #expect(try await world.denials().contains { $0.target == "mcp__weather__delete" })
    }

    @Test("SEC-87 a server that is disabled, unlisted, of another bot or of stdio is not routed to")
    func SEC_87_routing() async throws {
        let world = try await self.world(enabled: false), token = try await world.start().token
        await #expect(throws: GatewayError.self) { _ = try await send(world, token) }
        await #expect(throws: GatewayError.self) { _ = try await send(world, token, server: "S2") }
        let other = try await self.world { $0.type = .stdio }, otherToken = try await other.start().token
        await #expect(throws: GatewayError.self) { _ = try await send(other, otherToken) }
        let listed = try await self.world()
        let none = try await listed.start { $0.run?.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__weather_evil__*"]) }.token
        await #expect(throws: GatewayError.self) { _ = try await send(listed, none) }
        #expect(upstream.seen.withLock { $0.isEmpty })
    }

    @Test("SEC-42 a redirect is not handed on, and a refused address looks like a broken one")
    func SEC_42_redirect() async throws {
        let world = try await self.world(), token = try await world.start().token
        upstream.status.withLock { $0 = .found }
        await #expect(throws: GatewayError.self) { _ = try await send(world, token) }
        upstream.status.withLock { $0 = .ok }
        upstream.refuses.withLock { $0 = true }
        await #expect { _ = try await send(world, token) } throws: { if case GatewayError.upstreamFailed = $0 { true } else { false } }
    }

    @Test("SEC-50 a legacy server's endpoint may lie beside its URL, nowhere else")
    func SEC_50_endpoint() async throws {
        let world = try await self.world { $0.type = .sse; $0.url = "https://mcp.example.com/sse" }, token = try await world.start().token
        _ = try await send(world, token, endpoint: "/messages/?session_id=1")
        #expect(upstream.seen.withLock { $0.last?.url } == "https://mcp.example.com/messages/?session_id=1")
        for bad in ["https://evil.example/x", "//evil.example/x", "http://mcp.example.com/x", "https://mcp.example.com:8443/x", "https://u@mcp.example.com/x", "\\\\evil/x"] {
            await #expect(throws: GatewayError.self, "\(bad)") { _ = try await send(world, token, endpoint: bad) }
        }
        #expect(upstream.seen.withLock { $0.count } == 1)
    }

    @Test("SEC-92 payloads hold literals and what the owner made visible; what is missing is said")
    func SEC_92_payload() async throws {
        let world = try await self.world()
        func selection() -> MCPSelection { MCPSelection(records: world.records, secrets: world.secrets, stage: "test") }
        let bot = try #require(try await world.records.get(Bot.self, Bot.key(world.userId, world.botId)))
        let remote = try await selection().configs(for: bot)
        #expect(remote.map(\.url) == ["/agent/v1/mcp/S1"])
        #expect(try !JSON.text(remote).contains("hush"))
        var definition = MCPDefinition(name: "notes", type: .stdio)
        definition.command = "notes"
        definition.envVars = [.init(name: "KEY", required: true), .init(name: "MODE", template: "quiet"), .init(name: "ALIAS", template: "${secret:KEY}"), .init(name: "EXTRA")]
        var use = BotMCPServer(botId: world.botId, mcpServerId: MCPServerID("S2"), definition: definition, enabled: true, at: world.time.now())
        try await world.records.put(use)
        #expect(try await selection().configs(for: bot)[0].unavailable?.contains("has not given it KEY") == true)
        use.configuredSecrets = ["KEY"]
        try await world.records.put(use)
        try await world.secrets.put(BotMCPServer.secretName("test", world.botId, MCPServerID("S2")), Secret(#"{"KEY":"${secret:MODE}"}"#))
        let hidden = try await selection().configs(for: bot)[0]
        #expect(hidden.unavailable?.contains("has not made KEY visible") == true && hidden.envVars == nil && hidden.command != nil)
        use.agentVisible = ["KEY"]
        try await world.records.put(use)
        let visible = try await selection().configs(for: bot)[0]
        #expect(visible.envVars == ["KEY": "${secret:MODE}", "MODE": "quiet", "ALIAS": "${secret:MODE}"])
        var listed = bot
        listed.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__weather__*"])
        #expect(try await selection().configs(for: listed).map(\.name) == ["weather"])
    }
}
