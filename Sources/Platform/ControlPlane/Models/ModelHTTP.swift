import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Platform

/// What providers behind an HTTP API of their own share: the client, how its failures are named, how error bodies are read.
///
/// Nothing here tries again: the run does, with its own backoff and deadline.
enum ModelHTTP {
    /// How much of an error body is read.
    private static let maxErrorBytes = 64 * 1024

    /// A client with the settings that model endpoints need. The caller shuts it down.
    static func makeClient(on group: any EventLoopGroup, connectTimeout: Duration, readTimeout: Duration) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(
            connect: .milliseconds(Int64(connectTimeout.milliseconds)), read: .milliseconds(Int64(readTimeout.milliseconds)))
        // Each call holds a connection for as long as its answer streams: more than agents that one node runs, so that none waits here.
        configuration.connectionPool = .init(idleTimeout: .seconds(60), concurrentHTTP1ConnectionsPerHostSoftLimit: 1000)
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.decompression = .disabled
        return HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
    }

    /// Hands out a body chunk by chunk, its failures named.
    static func chunks(_ body: HTTPClientResponse.Body, _ take: (ByteBuffer) async throws -> Void) async throws {
        var chunks = body.makeAsyncIterator()
        while true {
            let chunk: ByteBuffer?
            do { chunk = try await chunks.next() } catch { throw failure(error) }
            guard let chunk else { return }
            try await take(chunk)
        }
    }

    /// The beginning of an error body, as JSON where it is that.
    static func errorBody(_ response: HTTPClientResponse) async -> Value? {
        var body = ByteBuffer()
        do {
            for try await chunk in response.body {
                body.writeImmutableBuffer(chunk)
                if body.readableBytes > maxErrorBytes { break }
            }
        } catch { return nil }
        return try? JSON.value(Data(body.readableBytesView))
    }

    static func failure(_ error: any Error) -> ModelFailure {
        if let error = error as? HTTPClientError {
            if [.readTimeout, .writeTimeout, .deadlineExceeded, .connectTimeout].contains(error) { return .timedOut }
            return error == .tlsHandshakeTimeout ? .notSecure : .unreachable
        }
        if let error = error as? NIOConnectionError {
            return error.connectionErrors.isEmpty && (error.dnsAError != nil || error.dnsAAAAError != nil) ? .nameNotFound : .unreachable
        }
        // NIOSSL and BoringSSL errors by the name of their type: AsyncHTTPClient hands them through, and nothing else here needs that module.
        return String(reflecting: Swift.type(of: error)).contains("NIOSSL") ? .notSecure : .unreachable
    }

    /// `Retry-After` in whole seconds, at most an hour; dates are not used by model endpoints.
    static func retryAfter(_ headers: HTTPHeaders) -> Int? {
        headers.first(name: "retry-after").flatMap { Double($0) }.map { Int(max(0, min($0, 3600)).rounded(.up)) }
    }

    /// Set by us or by the transport, never by a provider record.
    static let reservedHeaders: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "x-api-key", "api-key", "authorization", "cookie", "accept-encoding",
    ]

    /// The headers of the record, and those that every request has.
    static func headers(_ call: ModelCall) throws(ModelFailure) -> HTTPHeaders {
        if call.key == nil, call.provider.hasApiKey { throw .misconfigured("The provider's key is missing from the secret store.") }
        var headers = HTTPHeaders()
        for (name, value) in call.provider.headers where !reservedHeaders.contains(name.lowercased()) { headers.replaceOrAdd(name: name, value: value) }
        headers.replaceOrAdd(name: "content-type", value: "application/json")
        headers.replaceOrAdd(name: "accept", value: call.streams ? "text/event-stream" : "application/json")
        headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        headers.replaceOrAdd(name: "user-agent", value: "clawbot")
        return headers
    }

    /// The record's base URL without trailing slashes.
    static func baseURL(_ provider: Provider) throws(ModelFailure) -> String {
        guard let base = provider.baseUrl, let url = URL(string: base), let scheme = url.scheme?.lowercased(), ["https", "http"].contains(scheme),
            url.host != nil
        else { throw .misconfigured("The provider has no usable base URL.") }
        return base
    }

    /// What every kind of endpoint means by a status that refuses us: the platform's own key, account or address is wrong. Upstream words about
    /// that are the operator's affair and stay here.
    static func refusal(status: Int) -> ModelError? {
        switch status {
        case 401, 402, 403, 407:
            ModelError(
                status: 502, message: "The model provider refused the platform's credentials (status \(status)).", code: ModelError.refusedCode)
        case 300..<400:
            ModelError(status: 502, message: "The model provider answered with a redirect, which is not followed.", code: "upstream-failed")
        default: nil
        }
    }
}
