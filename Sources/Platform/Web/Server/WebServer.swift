import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Platform
import ServiceLifecycle
import Synchronization

/// Everything about the public listener that is not a route.
public struct WebServerConfiguration: Sendable {
    public var host: String
    public var port: Int
    public var publicBaseURL: URL
    /// Exact origins; `*` is refused.
    public var corsOrigins: [String]
    public var trustedProxies: [String]
    public var originSecret: Secret?
    /// Opens `/metrics`; without one only this machine reads it.
    public var operationsToken: Secret?
    public var servesConsole: Bool
    public var maximumConnections: Int
    public var maximumConnectionsPerAddress: Int
    public var idleTimeout: Duration

    public init(
        host: String = "127.0.0.1", port: Int = 8787, publicBaseURL: URL, corsOrigins: [String] = [], trustedProxies: [String] = [],
        originSecret: Secret? = nil, operationsToken: Secret? = nil, servesConsole: Bool = true, maximumConnections: Int = 10_000, maximumConnectionsPerAddress: Int = 1000,
        idleTimeout: Duration = .seconds(60)
    ) {
        self.host = host; self.port = port; self.publicBaseURL = publicBaseURL; self.corsOrigins = corsOrigins
        self.trustedProxies = trustedProxies; self.originSecret = originSecret; self.operationsToken = operationsToken; self.servesConsole = servesConsole
        self.maximumConnections = maximumConnections; self.maximumConnectionsPerAddress = maximumConnectionsPerAddress; self.idleTimeout = idleTimeout
    }
}

public struct WebServerError: Error, CustomStringConvertible {
    public var description: String
}

/// The public HTTP listener: API, webhooks, console and mounted parts, over HTTP/1.1.
///
/// ```swift
/// let web = try WebServer(configuration, routes: api.routes, mounts: [gateway], verifier: issuer, records: records, readiness: ready)
/// try await ServiceGroup(services: [web], logger: logger).run()
/// ```
public struct WebServer: Service {
    private let configuration: WebServerConfiguration
    private let door: FrontDoor
    private let readiness: Readiness
    private let logger: Logger
    private let onListening: @Sendable (Int) async -> Void

    /// - Parameter onListening: called with the port once connections are taken.
    public init(
        _ configuration: WebServerConfiguration, routes: [Route], mounts: [Mount] = [], verifier: any TokenVerifier, records: any RecordStore,
        readiness: Readiness, metrics: Metrics = Metrics(), limits: RateLimits = RateLimits(), version: String = "0", time: any TimeSource = SystemTime(), logger: Logger = Logger(label: "web"),
        onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) throws {
        for origin in configuration.corsOrigins {
            guard origin != "*", let url = URL(string: origin), url.scheme == "http" || url.scheme == "https", url.host != nil, url.path.isEmpty else {
                throw WebServerError(description: "server.corsOrigins: “\(origin)” is not an exact origin such as https://console.example.com")
            }
        }
        self.configuration = configuration
        self.readiness = readiness
        self.logger = logger
        self.onListening = onListening
        let operations = [
            Route(.get, "/health", "The process lives.", access: .ownProof, answers: [.ok(.object([("status", .text)]))]) { _ in .json(["status": "ok"]) },
            Route(
                .get, "/ready", "Whether each part works; 503 when a critical one does not.", access: .ownProof,
                answers: [.ok(Schemas.ready), Route.Outcome(status: 503, content: .json(Schemas.ready), headers: [])]
            ) { _ in await readiness.answer() },
            metrics.route(token: configuration.operationsToken),
        ]
        let served = operations + routes
        let document = try OpenAPIDocument(
            served.map(\.declaration) + [Self.documentDeclaration] + mounts.flatMap(\.declarations), elsewhere: AgentRuntimeContract.declarations, version: version)
        let documentRoute = Route(Self.documentDeclaration) { _ in
            { call in
                let headers: HTTPFields = [.eTag: "\"\(document.etag)\"", .cacheControl: "public, max-age=300"]
                if EntityTags.isKnown(document.etag, to: call) { return Answer(status: 304, headers: headers) }
                return Answer(headers: headers, content: .bytes(document.data, type: "application/json"))
            }
        }
        door = FrontDoor(
            table: RouteTable(served + [documentRoute]), mounts: mounts, authentication: Authentication(verifier: verifier), limits: limits,
            idempotency: Idempotency(records: records, time: time),
            headers: ResponseHeaders(isHTTPS: configuration.publicBaseURL.scheme == "https", corsOrigins: Set(configuration.corsOrigins)),
            proxies: try TrustedProxies(configuration.trustedProxies), originSecret: configuration.originSecret,
            console: configuration.servesConsole ? ConsoleFiles() : nil, metrics: metrics, logger: logger)
    }

    private static let documentDeclaration = RouteDeclaration(
        .get, "/api/openapi.json", "This document.", access: .anyone, answers: [.ok(.anything, headers: ["ETag"]), .notModified])

    /// The routes as declared: the OpenAPI document is made from them.
    public var routes: [Route] { door.table.routes }

    /// Bytes of a request's headers that the parser takes; the front door's own limits are lower.
    private static let maximumHeadBytes = 32 << 10

    /// The Hummingbird application, for tests and for running.
    public func application() -> some ApplicationProtocol {
        let counter = ConnectionGuard.Counter(limit: configuration.maximumConnectionsPerAddress)
        let headers = door.headers
        let onListening = onListening
        return Application(
            responder: door,
            server: .http1(
                configuration: HTTP1Channel.Configuration(
                    additionalChannelHandlers: [ConnectionGuard(counter: counter), UnreadableRequests(headers: headers, limit: Self.maximumHeadBytes)],
                    idleTimeout: .nanoseconds(Int64(configuration.idleTimeout.seconds * 1e9)),
                    httpDecoderConfiguration: .init(maxHeaderFieldSize: 20 << 10, maxHeaderListSize: Self.maximumHeadBytes, maxHeaderFieldCount: 200))),
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: .maximum(configuration.maximumConnections, logger: logger)),
            onServerRunning: { channel in await onListening(channel.localAddress?.port ?? 0) },
            logger: logger)
    }

    /// Listens until shutdown: then `/ready` turns to 503 at once, and what is being answered is finished.
    public func run() async throws {
        let readiness = readiness
        let application = application()
        try await withGracefulShutdownHandler {
            try await application.run()
        } onGracefulShutdown: {
            readiness.drain()
        }
    }
}
