import AsyncHTTPClient
import Foundation
import NIOCore
import NIOPosix

/// How channel adapters speak HTTP: never following a redirect (a token must not travel), with hard limits on time and size.
public enum ChannelHTTP {
    /// For the client that the adapters are given.
    public static var configuration: HTTPClient.Configuration {
        var configuration = HTTPClient.Configuration(redirectConfiguration: .disallow)
        configuration.timeout = .init(connect: .seconds(10))
        configuration.decompression = .disabled
        // A refused connection is told at once: whoever sends has a retry policy of his own.
        configuration.connectionPool.retryConnectionEstablishment = false
        // One poll per channel stays open all the time; the pool's default of 8 per host would starve the sends.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 256
        return configuration
    }

    /// A complete response; its body is within the limit that was asked for.
    struct Response: Sendable {
        var status: Int
        var headers: [(String, String)]
        var body: Data
        func header(_ name: String) -> String? { headers.first { $0.0.lowercased() == name }?.1 }
    }

    /// Why there was no response. Never holds the URL, which may contain a token.
    enum Failure: Error, Sendable, Equatable {
        /// Nothing was sent.
        case notConnected
        /// The request may have been received.
        case interrupted
        case timedOut
        case tooLarge
        case cancelled
    }

    /// Runs one exchange within `timeout`, body included, reading at most `limit` bytes of it.
    static func exchange(_ request: HTTPClientRequest, by client: HTTPClient, timeout: Duration, limit: Int) async throws(Failure) -> Response {
        do {
            return try await withThrowingTaskGroup(of: Response?.self) { group in
                group.addTask { try await receive(request, by: client, timeout: timeout, limit: limit) }
                group.addTask {
                    try await Task.sleep(for: timeout)
                    return nil
                }
                defer { group.cancelAll() }
                guard let first = try await group.next(), let response = first else { throw Failure.timedOut }
                return response
            }
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Task.isCancelled ? .cancelled : reason(error)
        }
    }

    private static func receive(_ request: HTTPClientRequest, by client: HTTPClient, timeout: Duration, limit: Int) async throws -> Response {
        let response = try await client.execute(request, deadline: .now() + .nanoseconds(Int64(timeout.components.seconds) * 1_000_000_000 + timeout.components.attoseconds / 1_000_000_000))
        if let length = response.headers.first(name: "content-length").flatMap(Int.init), length > limit { throw Failure.tooLarge }
        var body = Data()
        for try await part in response.body {
            guard body.count + part.readableBytes <= limit else { throw Failure.tooLarge }
            body.append(contentsOf: part.readableBytesView)
        }
        return Response(status: Int(response.status.code), headers: response.headers.map { ($0.name, $0.value) }, body: body)
    }

    private static func reason(_ error: any Error) -> Failure {
        switch error {
        case let error as HTTPClientError where [.connectTimeout, .tlsHandshakeTimeout, .getConnectionFromPoolTimeout, .alreadyShutdown].contains(error): .notConnected
        case let error as HTTPClientError where error == .deadlineExceeded || error == .readTimeout: .timedOut
        case is HTTPClientError: .interrupted
        // Name resolution, refusal, no route: before any byte was written.
        case is NIOConnectionError: .notConnected
        case let error as IOError where error.errnoCode == ECONNREFUSED: .notConnected
        default: .interrupted
        }
    }
}
