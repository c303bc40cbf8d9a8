import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform
import Synchronization

/// How requests to one remote server are made: over the gateway, with the grant of the run that is on (`/agent/v1/mcp/{serverId}`).
/// The server's address and its secrets stay there.
final class MCPDoor: Sendable {
    typealias Make = @Sendable (HTTPMethod, _ endpoint: String?) -> HTTPClientRequest
    let http: HTTPClient
    private let make: Mutex<Make>

    init(http: HTTPClient, make: @escaping Make) { self.http = http; self.make = Mutex(make) }

    static func make(_ gateway: GatewayClient, _ server: MCPServerID) -> Make {
        { method, endpoint in
            gateway.request(method, "/mcp/" + GatewayAddress.percentEncoded(server.rawValue) + GatewayClient.query([("endpoint", endpoint)]))
        }
    }
    convenience init(_ gateway: GatewayClient, _ server: MCPServerID) { self.init(http: gateway.http, make: Self.make(gateway, server)) }

    /// A new run has a new grant.
    func renew(_ gateway: GatewayClient, _ server: MCPServerID) { make.withLock { $0 = Self.make(gateway, server) } }

    /// - Parameter endpoint: where a legacy server told to post to, as it told it.
    func request(_ method: HTTPMethod, endpoint: String? = nil) -> HTTPClientRequest {
        let make = make.withLock { $0 }
        return make(method, endpoint)
    }
}
