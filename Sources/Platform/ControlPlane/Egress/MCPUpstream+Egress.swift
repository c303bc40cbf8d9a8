import AsyncHTTPClient
import Foundation
import Platform

/// Remote MCP servers over the platform's guarded connections.
public struct GuardedMCPUpstream: MCPUpstream {
    private let egress: EgressGuard
    private let client: EgressClient
    public init(egress: EgressGuard, client: EgressClient) { self.egress = egress; self.client = client }

    public func execute<Answer: Sendable>(
        _ request: HTTPClientRequest, timeout: Duration, _ body: @Sendable (HTTPClientResponse) async throws -> Answer
    ) async throws -> Answer {
        guard let url = WebAddress(request.url) else { throw MCPUpstreamRefusal() }
        let target: EgressGuard.Target
        do { target = try await egress.vet(url, for: .mcpServer) } catch { throw MCPUpstreamRefusal() }
        var request = request
        // As the guard understood it: what it vetted and what is asked for cannot differ.
        request.url = url.description
        return try await client.execute(request, to: target, timeout: timeout, body)
    }
}
