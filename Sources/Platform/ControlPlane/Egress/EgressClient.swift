import AsyncHTTPClient
import Foundation
import NIOCore
import Platform
import Synchronization

/// Connects to vetted addresses only: the name stays in `Host` and SNI, the socket goes where ``EgressGuard`` looked (SEC-41).
///
/// Connections are pooled per name and address, so that a name which moves never meets a connection of its old address. Redirects
/// are answers like any other (SEC-42): whoever wants to follow one vets it like a new URL.
public final class EgressClient: Sendable {
    private struct Place: Hashable { var host: String; var address: String }
    private struct Entry { var client: HTTPClient; var lastUse: UInt64; var inUse: Int }
    private struct State { var entries: [Place: Entry] = [:]; var clock: UInt64 = 0; var closed = false }
    private static let capacity = 64
    private let state = Mutex(State())
    private let readTimeout: Duration
    private let connectionsPerHost: Int

    /// - Parameters:
    ///   - readTimeout: longest silence of a server, until the head of its answer too.
    ///   - connectionsPerHost: more wait.
    public init(readTimeout: Duration = .seconds(300), connectionsPerHost: Int = 64) { self.readTimeout = readTimeout; self.connectionsPerHost = connectionsPerHost }

    /// Sends one request. Scheme, host and port of its URL must be the target's: only those were vetted.
    /// - Throws: ``EgressGuard/Refusal/address`` for another place, what AsyncHTTPClient throws, `CancellationError` after ``shutdown()``.
    public func execute<Answer: Sendable>(
        _ request: HTTPClientRequest, to target: EgressGuard.Target, timeout: Duration, _ body: @Sendable (HTTPClientResponse) async throws -> Answer
    ) async throws -> Answer {
        try Self.check(request, target)
        let pool = Place(host: target.url.host, address: target.address)
        guard let client = take(pool) else { throw CancellationError() }
        defer { give(pool) }
        return try await body(try await client.execute(request, timeout: .nanoseconds(Int64(timeout.seconds * 1e9))))
    }

    /// As ``execute(_:to:timeout:_:)``, for whoever reads the answer later: its body keeps the connection.
    public func execute(_ request: HTTPClientRequest, to target: EgressGuard.Target, timeout: Duration) async throws -> HTTPClientResponse {
        try Self.check(request, target)
        let pool = Place(host: target.url.host, address: target.address)
        guard let client = take(pool) else { throw CancellationError() }
        let lease = Lease { self.give(pool) }
        var response = try await client.execute(request, timeout: .nanoseconds(Int64(timeout.seconds * 1e9)))
        response.body = .stream(LeasedBody(body: response.body, lease: lease))
        return response
    }

    private final class Lease: Sendable {
        let end: @Sendable () -> Void
        init(_ end: @escaping @Sendable () -> Void) { self.end = end }
        deinit { end() }
    }
    private struct LeasedBody: AsyncSequence, Sendable {
        var body: HTTPClientResponse.Body
        var lease: Lease
        struct AsyncIterator: AsyncIteratorProtocol {
            var chunks: HTTPClientResponse.Body.AsyncIterator
            let lease: Lease
            mutating func next() async throws -> ByteBuffer? { try await chunks.next() }
        }
        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(chunks: body.makeAsyncIterator(), lease: lease) }
    }

    private static func check(_ request: HTTPClientRequest, _ target: EgressGuard.Target) throws {
        let place = request.url.firstIndex { $0 == "?" }.map { String(request.url[..<$0]) } ?? request.url
        guard let url = WebAddress(String(place.prefix(WebAddress.maximumLength))), url.scheme == target.url.scheme, url.host == target.url.host, url.port == target.url.port
        else { throw EgressGuard.Refusal.address }
    }

    /// Ends all connections; later requests fail.
    public func shutdown() async {
        let clients = state.withLock { state in
            state.closed = true
            defer { state.entries = [:] }
            return state.entries.values.map(\.client)
        }
        for client in clients { try? await client.shutdown() }
    }

    private func take(_ place: Place) -> HTTPClient? {
        var evicted: HTTPClient?
        let client = state.withLock { state -> HTTPClient? in
            guard !state.closed else { return nil }
            state.clock += 1
            if var known = state.entries[place] {
                known.lastUse = state.clock
                known.inUse += 1
                state.entries[place] = known
                return known.client
            }
            if state.entries.count >= Self.capacity, let oldest = state.entries.filter({ $0.value.inUse == 0 }).min(by: { $0.value.lastUse < $1.value.lastUse }) {
                evicted = state.entries.removeValue(forKey: oldest.key)?.client
            }
            var configuration = HTTPClient.Configuration()
            configuration.redirectConfiguration = .disallow
            configuration.timeout.connect = .seconds(10)
            configuration.timeout.read = .milliseconds(Int64(readTimeout.milliseconds))
            configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = connectionsPerHost
            configuration.connectionPool.retryConnectionEstablishment = false
            configuration.decompression = .disabled
            if place.host != place.address { configuration.dnsOverride = [place.host: place.address] }
            let made = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
            state.entries[place] = Entry(client: made, lastUse: state.clock, inUse: 1)
            return made
        }
        if let evicted { Task { try? await evicted.shutdown() } }
        return client
    }

    private func give(_ place: Place) { state.withLock { $0.entries[place]?.inUse -= 1 } }
}
