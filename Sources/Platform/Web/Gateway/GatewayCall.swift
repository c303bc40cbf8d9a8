import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Platform

/// One request to the gateway, taken apart: path segments and query decoded once, the grant from its header only.
struct GatewayCall: Sendable {
    let request: Request
    let socketSession: SessionKey?
    /// Decoded segments after the prefix; an undecodable path has none.
    let path: [String]
    /// Everything after `objects/`, decoded once.
    let objectKey: String
    private let query: [String: String]

    /// Default limit of a JSON body, in bytes.
    static let maxJSON = 256 * 1024

    init(_ request: Request, socketSession: SessionKey?) {
        self.request = request
        self.socketSession = socketSession
        let rest = request.uri.path.dropFirst(GatewayRoutes.prefix.count)
        let segments = rest.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        let decoded = segments.compactMap { $0.removingPercentEncoding }
        path = decoded.count == segments.count ? decoded : []
        objectKey = rest.hasPrefix("/objects/") ? rest.dropFirst("/objects/".count).removingPercentEncoding ?? "" : ""
        var query: [String: String] = [:]
        for pair in (request.uri.query ?? "").split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = parts.first?.removingPercentEncoding, let value = (parts.count > 1 ? String(parts[1]) : "").removingPercentEncoding
            else { continue }
            query[name] = value
        }
        self.query = query
    }

    var method: HTTPRequest.Method { request.method }
    func query(_ name: String) -> String? { query[name] }

    /// The grant: `Authorization: Bearer …`, never a query or cookie (SEC-72). Anthropic SDKs may send it as `x-api-key`.
    var token: String? {
        if let header = request.headers[.authorization] {
            guard header.count > 7, header.prefix(7).lowercased() == "bearer " else { return nil }
            return String(header.dropFirst(7))
        }
        return path.first == "model" ? request.headers[HTTPField.Name("x-api-key")!] : nil
    }

    /// What every request must be: a bounded URL and a body that is not compressed (SEC-112).
    func checkHead() throws {
        if (request.head.path ?? "").utf8.count > 8192 { throw GatewayError.notFound }
        if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" { throw UnsupportedMedia.compressed }
    }
    enum UnsupportedMedia: Error { case compressed, notJSON }

    func authorized(_ gateway: AgentGateway, _ scope: Grant.Scope) async throws -> AuthorizedRun {
        try await gateway.authorize(token: token, socketSession: socketSession, scope: scope)
    }

    /// The body in memory; refused by its declared length before it is read, and while it is read.
    func body(limit: Int) async throws -> ByteBuffer {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limit { throw GatewayError.tooLarge(limit: limit) }
        var whole = ByteBuffer()
        for try await chunk in request.body {
            guard whole.readableBytes + chunk.readableBytes <= limit else { throw GatewayError.tooLarge(limit: limit) }
            if whole.readableBytes == 0 { whole = chunk } else { whole.writeImmutableBuffer(chunk) }
        }
        return whole
    }

    func json() async throws -> Data {
        let type = request.headers[.contentType]?.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
        guard type == "application/json" else { throw UnsupportedMedia.notJSON }
        return Data(try await body(limit: Self.maxJSON).readableBytesView)
    }

    /// `?limit=`: 1..200, 50 by default.
    func limit() throws(GatewayError) -> Int {
        guard let text = query("limit") else { return 50 }
        guard let limit = Int(text), (1...200).contains(limit) else {
            throw .invalid([FieldProblem("query.limit", "limit must be an integer from 1 to 200.")])
        }
        return limit
    }
}
