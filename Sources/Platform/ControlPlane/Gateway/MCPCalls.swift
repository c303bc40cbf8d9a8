import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform

/// Carries requests to remote MCP servers, over connections that were vetted for the purpose (SEC-40..45): resolves once, refuses
/// addresses that are not public, connects to the address that was looked at, follows no redirect.
public protocol MCPUpstream: Sendable {
    /// - Parameter timeout: until the answer's end.
    /// - Throws: ``MCPUpstreamRefusal`` when the address may not be reached; else what the client throws.
    func execute<Answer: Sendable>(
        _ request: HTTPClientRequest, timeout: Duration, _ body: @Sendable (HTTPClientResponse) async throws -> Answer
    ) async throws -> Answer
}
public struct MCPUpstreamRefusal: Error, Sendable { public init() {} }

/// What the gateway needs for `/agent/v1/mcp`.
public struct MCPRelay: Sendable {
    let selection: MCPSelection
    let upstream: any MCPUpstream
    public init(records: any RecordStore, secrets: any SecretStore, stage: String, upstream: any MCPUpstream) {
        selection = MCPSelection(records: records, secrets: secrets, stage: stage)
        self.upstream = upstream
    }
}

/// One request of an agent to a remote server.
public struct MCPRequest: Sendable {
    public enum Method: String, Sendable { case get = "GET", post = "POST", delete = "DELETE" }
    public var method: Method
    public var headers: [(name: String, value: String)]
    public var body: ByteBuffer
    /// Where a legacy server told to post to, relative to its URL.
    public var endpoint: String?
    public init(method: Method, headers: [(name: String, value: String)], body: ByteBuffer, endpoint: String?) {
        self.method = method; self.headers = headers; self.body = body; self.endpoint = endpoint
    }
}

/// `ANY /agent/v1/mcp/{serverId}` (SEC-83, SEC-87, SEC-92).
extension AgentGateway {
    /// Largest request to a server, in bytes.
    public static let maxMCPRequestBytes = 8 << 20
    /// Headers of the agent that go on; all others stay here (SEC-78).
    private static let passedIn: Set = [
        "accept", "content-type", "mcp-session-id", "mcp-protocol-version", "last-event-id", "mcp-method", "mcp-name",
    ]
    private static let passedOut: Set = ["content-type", "mcp-session-id", "mcp-protocol-version", "retry-after", "allow"]

    /// Passes a request on and streams the answer back.
    /// - Throws: ``GatewayError``
    public func mcp(_ run: AuthorizedRun, server id: MCPServerID, _ call: MCPRequest) async throws -> ModelResponse {
        guard let relay = hooks.mcp, let server = try await relay.selection.server(id, of: run.grant.botId), server.definition.type != .stdio,
            let base = server.definition.url
        else { throw GatewayError.notFound }
        guard run.run.toolWhitelist.mayAllow(server: server.slug) else {
            await deny(run, "mcp__\(server.slug)__*")
            throw GatewayError.forbidden("The server \(server.slug) is not allowed for this bot.")
        }
        if call.method == .post { try await checkTools(call.body, server.slug, run) }
        let stored = try await relay.selection.secrets(of: server)
        var request = HTTPClientRequest(url: try Self.target(base, call.endpoint))
        request.method = HTTPMethod(rawValue: call.method.rawValue)
        for (name, value) in call.headers where Self.passedIn.contains(name.lowercased()) { request.headers.add(name: name.lowercased(), value: value) }
        for (name, template) in server.definition.headers ?? [:] {
            guard let value = SecretTemplate.fill(template, from: stored), !value.utf8.contains(where: { $0 < 0x20 && $0 != 0x09 || $0 == 0x7f }) else {
                throw GatewayError.invalidState("The server \(server.slug) lacks a secret.")
            }
            request.headers.replaceOrAdd(name: name, value: value)
        }
        request.headers.replaceOrAdd(name: "user-agent", value: "clawbot")
        request.headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        if call.method == .post { request.body = .bytes(call.body) }
        return try await answer(request, relay, run)
    }

    /// Starts the exchange and returns with the head; the body is the exchange's rest, and ends with the run.
    private func answer(_ request: HTTPClientRequest, _ relay: MCPRelay, _ run: AuthorizedRun) async throws -> ModelResponse {
        let head = Handoff<(Int, [(name: String, value: String)])>(), chunks = Handoff<ByteBuffer>()
        let registration = run.live.end.onFire { head.end(GatewayError.unauthenticated); chunks.end(GatewayError.unauthenticated) }
        // Owned by the answer's body, or ended below: it lives no longer than one of the two.
        let exchange = Task { [logger] in
            do {
                // Streams last as long as their run; how long an answer may take is for the agent to say.
                try await relay.upstream.execute(request, timeout: .seconds(8 * 3600)) { response in
                    try await head.send((Int(response.status.code), Self.passed(response.headers)))
                    for try await chunk in response.body { try await chunks.send(chunk) }
                }
                chunks.end()
            } catch {
                if !(error is CancellationError) { logger.debug("a call to an MCP server failed", metadata: ["cause": "\(type(of: error))"]) }
                // Refused and unreachable look alike to the caller (SEC-45).
                head.end(GatewayError.upstreamFailed)
                chunks.end(GatewayError.upstreamFailed)
            }
        }
        let owner = Owner { exchange.cancel(); run.live.end.forget(registration) }
        guard let (status, headers) = try await head.next() else { throw GatewayError.upstreamFailed }
        // A redirect is not followed and leads nowhere (SEC-42).
        guard !(300..<400).contains(status) else { throw GatewayError.upstreamFailed }
        return ModelResponse(status: status, headers: headers) { write in
            defer { owner.release() }
            while let chunk = try await chunks.next() { try await write(chunk) }
        }
    }

    /// Ends the exchange when its answer is dropped unread, too.
    private final class Owner: Sendable {
        let release: @Sendable () -> Void
        init(_ release: @escaping @Sendable () -> Void) { self.release = release }
        deinit { release() }
    }

    private static func passed(_ headers: HTTPHeaders) -> [(name: String, value: String)] {
        headers.compactMap { passedOut.contains($0.name.lowercased()) ? (name: $0.name.lowercased(), value: $0.value) : nil }
    }

    /// The server's URL, or what a legacy server told of it: the same scheme, host and port (SEC-50).
    static func target(_ base: String, _ endpoint: String?) throws(GatewayError) -> String {
        guard let endpoint else { return base }
        guard let from = URL(string: base), endpoint.utf8.count <= 2048, endpoint.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }),
            let to = URL(string: endpoint, relativeTo: from)?.absoluteURL, to.scheme == from.scheme, to.host == from.host, to.port == from.port, to.user == nil,
            to.password == nil
        else { throw .forbidden("The server's endpoint lies elsewhere.") }
        var text = to.absoluteString
        if let mark = text.firstIndex(of: "#") { text = String(text[..<mark]) }
        return text
    }

    /// Every `tools/call` in the body must be allowed; a body that could be read in two ways is refused.
    private func checkTools(_ body: ByteBuffer, _ slug: String, _ run: AuthorizedRun) async throws {
        guard let value = try? JSON.strictValue(Data(body.readableBytesView), maxDepth: 64) else { throw GatewayError.malformedJSON }
        for message in value.array ?? [value] {
            guard message.object != nil else { throw GatewayError.malformedJSON }
            guard message["method"]?.string == "tools/call" else { continue }
            let tool = message["params"]?["name"]?.string ?? ""
            let name = MCPToolName.full(slug: slug, tool: tool)
            guard let name, run.run.toolWhitelist.allows(tool: name) else {
                await deny(run, name ?? "mcp__\(slug)__")
                throw GatewayError.forbidden("The tool \(name ?? slug) is not allowed for this bot.")
            }
        }
    }
}
