import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Platform

/// Context of a request: only what the connection knows.
public struct WebContext: RequestContext {
    public var coreContext: CoreRequestContextStorage
    let channel: any NIOCore.Channel

    public init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        channel = source.channel
    }
    var peer: String { channel.remoteAddress?.ipAddress ?? "local" }
}

/// A part of the public listener that has its own protocol and checks (the agent gateway). It gets the request before route table
/// and authentication, after request id, URL and header limits and the origin check.
public struct Mount: Sendable {
    public struct Context: Sendable {
        public var requestId: String
        public var address: String
        public var logger: Logger
    }
    /// `/agent/v1/`.
    public var prefix: String
    /// Its routes, for the OpenAPI document.
    public var declarations: [RouteDeclaration]
    public var respond: @Sendable (Request, Context) async throws -> Response
    public init(prefix: String, declarations: [RouteDeclaration] = [], respond: @escaping @Sendable (Request, Context) async throws -> Response) {
        self.prefix = prefix; self.declarations = declarations; self.respond = respond
    }
}

/// Every request passes here, through the checks of API.md §1.4 in their order: limits, route, address rate, identity, account, user rate,
/// role, resource, media type and JSON, fields, and then the route itself.
public struct FrontDoor: HTTPResponder {
    public typealias Context = WebContext

    let table: RouteTable
    let mounts: [Mount]
    let authentication: Authentication
    let limits: RateLimits
    let idempotency: Idempotency
    let headers: ResponseHeaders
    let proxies: TrustedProxies
    let originSecret: Secret?
    let console: ConsoleFiles?
    let metrics: Metrics
    let logger: Logger

    static let maximumURLBytes = 8 << 10
    static let maximumHeaderBytes = 16 << 10

    public func respond(to request: Request, context: WebContext) async throws -> Response {
        let started = ContinuousClock.now
        let requestId = Self.requestId(request.headers[.xRequestID])
        var logger = logger
        logger[metadataKey: "requestId"] = .string(requestId)
        let path = request.uri.path
        var limited: [RateLimits.Verdict] = []
        var response: Response
        var slug: Problem.Slug?
        do {
            response = try await LogContext.with(["requestId": requestId]) { try await answer(request, context, requestId, logger, &limited) }
        } catch {
            let problem: Problem
            if let known = ProblemMapping.problem(for: error) {
                problem = known
                if known.slug.status >= 500 { logger.warning("request failed", metadata: ["path": .string(path), "cause": .string("\(error)")]) }
            } else if error is CancellationError {
                problem = .unavailable()
            } else {
                problem = .internalError
                logger.error("request failed", metadata: ["path": .string(path), "cause": .string("\(error)")])
            }
            slug = problem.slug
            response = try problem.answer.response(head: request.method == .head)
            if problem.slug == .payloadTooLarge || problem.slug == .unsupportedMediaType { Self.closeSoon(context.channel, &response) }
        }
        // The tightest bucket is the one to show.
        if let verdict = limited.min(by: { ($0.remaining, $0.limit) < ($1.remaining, $1.limit) }) {
            response.headers[.rateLimitLimit] = String(verdict.limit)
            response.headers[.rateLimitRemaining] = String(verdict.remaining)
            response.headers[.rateLimitReset] = String(verdict.reset)
        }
        headers.complete(&response, requestId: requestId, path: path, origin: request.headers[.origin])
        let (label, channel) = place(path, request.method)
        metrics.count(
            method: request.method.rawValue, route: label, status: response.status.code, seconds: (ContinuousClock.now - started).seconds,
            slug: slug?.rawValue, channel: channel)
        logger.debug("request", metadata: ["method": .string(request.method.rawValue), "status": .stringConvertible(response.status.code)])
        return response
    }

    /// Where a request belongs in the metrics: never its path, which may name a tenant; and the channel of a webhook.
    private func place(_ path: String, _ method: HTTPRequest.Method) -> (label: String, channel: String?) {
        if let mount = mounts.first(where: { path.hasPrefix($0.prefix) }) { return (mount.prefix + "*", nil) }
        switch table.find(path, method) {
        case .route(let route, let values):
            let isWebhook = route.template.hasPrefix("/webhook/")
            return (route.template, isWebhook ? values["type"].flatMap(ChannelType.init(rawValue:))?.rawValue : nil)
        case .otherMethods: return ("other method", nil)
        case .none: return (isAPI(path) ? "unknown" : "console", nil)
        }
    }

    private func answer(
        _ request: Request, _ context: WebContext, _ requestId: String, _ logger: Logger, _ limited: inout [RateLimits.Verdict]
    ) async throws -> Response {
        let path = request.uri.path
        let isHead = request.method == .head
        guard (request.head.path ?? "").utf8.count <= Self.maximumURLBytes else {
            throw Problem(.uriTooLong, "The URL may have at most \(Self.maximumURLBytes) bytes.")
        }
        guard request.headers.reduce(0, { $0 + $1.name.rawName.utf8.count + $1.value.utf8.count + 4 }) <= Self.maximumHeaderBytes else {
            throw Problem(.headersTooLarge, "The headers may have at most \(Self.maximumHeaderBytes) bytes.")
        }
        if let originSecret, path != "/health", path != "/ready" {
            guard let shown = request.headers[.xOriginVerify], !originSecret.isEmpty, Digest.sameSecret(originSecret.reveal(), shown) else {
                throw Problem(.forbidden, "This address is not meant to be called directly.")
            }
        }
        let address = proxies.client(peer: context.peer, forwarded: request.headers[values: .xForwardedFor].joined(separator: ","))
        if let mount = mounts.first(where: { path.hasPrefix($0.prefix) }) {
            return try await mount.respond(request, Mount.Context(requestId: requestId, address: address, logger: logger))
        }
        if request.method == .options,
            let answer = headers.preflight(origin: request.headers[.origin], wantsMethod: request.headers[.accessControlRequestMethod] != nil) {
            return try answer.response(head: false)
        }

        var caller: Caller?
        let isAdminPath = path.hasPrefix("/api/admin/") || path == "/api/admin"
        if isAdminPath {
            let signedIn = try await authenticate(request, address, &limited)
            try take(.api, signedIn.userId.rawValue, &limited)
            guard signedIn.identity.isAdmin else { throw Problem.forbidden }
            caller = signedIn
        }
        let route: Route, parameters: [String: String]
        switch table.find(path, request.method) {
        case .route(let found, let values): (route, parameters) = (found, values)
        case .otherMethods(let methods):
            throw Problem(.methodNotAllowed, "This path answers \(methods.joined(separator: ", ")).", headers: [.allow: methods.joined(separator: ", ")])
        case .none:
            guard let console, request.method == .get || isHead, !isAPI(path) else { throw Problem.notFound }
            try take(.open, address, &limited)
            return try console.answer(path, accept: request.headers[.accept], ifNoneMatch: request.headers[.ifNoneMatch]).response(head: isHead)
        }
        let declaration = route.declaration
        let declared = request.headers[.contentLength].flatMap { Int($0) }
        if let declared, declared > declaration.body.limit { throw Problem.tooLarge(declaration.body.limit) }

        switch declaration.access {
        case .anyone:
            for bucket in declaration.buckets.isEmpty ? [.open] : declaration.buckets { try take(bucket, address, &limited) }
        case .anyoneOrUser:
            for bucket in declaration.buckets.isEmpty ? [.open] : declaration.buckets { try take(bucket, address, &limited) }
            if request.headers[.authorization] != nil { caller = try await authenticate(request, address, &limited) }
        case .user, .admin:
            let counted = caller != nil
            if caller == nil { caller = try await authenticate(request, address, &limited) }
            if let caller { for bucket in (counted ? [] : [.api]) + declaration.buckets { try take(bucket, caller.userId.rawValue, &limited) } }
            if declaration.access == .admin, caller?.identity.isAdmin != true { throw Problem.forbidden }
        case .ownProof, .grant:
            let failures = limits.take(.open, address, counting: false)
            guard failures.allowed else { limited.append(failures); throw Problem.rateLimited(retryAfter: failures.reset) }
            for bucket in declaration.buckets { try take(bucket, declaration.template + "/" + parameters.sorted { $0.key < $1.key }.map(\.value).joined(separator: "/"), &limited) }
        }

        let channel = context.channel
        var call = Call(
            request: request, requestId: requestId, route: route.template, parameters: parameters, query: [:], address: address,
            hangUp: { channel.close(promise: nil) }, caller: caller)
        do {
            let handler = try await route.prepare(call)
            try await readBody(of: declaration, into: &call)
            guard let query = PathText.query(request.uri.query) else { throw Problem.invalid("query", "The query string is not well-formed.") }
            switch declaration.query {
            case .any: call.query = query
            case .parameters(let known): call.query = try QueryParameter.check(known, query)
            }
            let ready = call
            if declaration.idempotent, let key = request.headers[.idempotencyKey] {
                return try await idempotency.run(ready, key, showOnce: declaration.showOnce) { try await handler(ready) }.response(head: isHead)
            }
            return try await handler(ready).response(head: isHead)
        } catch let problem as Problem where problem.slug == .badSignature || declaration.access == .ownProof && problem.slug == .forbidden {
            // A failed proof counts like a failed log-in.
            _ = limits.take(.open, address)
            throw problem
        }
    }

    private func isAPI(_ path: String) -> Bool {
        ["/api/", "/auth/", "/webhook/", "/blob/", "/agent/", "/.well-known/"].contains { path.hasPrefix($0) } || path == "/api" || path == "/metrics"
    }

    private func authenticate(_ request: Request, _ address: String, _ limited: inout [RateLimits.Verdict]) async throws -> Caller {
        let failures = limits.take(.open, address, counting: false)
        guard failures.allowed else { limited.append(failures); throw Problem.rateLimited(retryAfter: failures.reset) }
        do {
            return try await authentication.caller(request.headers[.authorization])
        } catch let problem as Problem where problem.slug == .unauthenticated {
            _ = limits.take(.open, address)
            throw problem
        }
    }

    private func take(_ bucket: RateLimits.Bucket, _ key: String, _ limited: inout [RateLimits.Verdict]) throws {
        let verdict = limits.take(bucket, key)
        limited.append(verdict)
        if !verdict.allowed { throw Problem.rateLimited(retryAfter: verdict.reset) }
    }

    private func readBody(of route: RouteDeclaration, into call: inout Call) async throws {
        let request = call.request
        if let encoding = request.headers[.contentEncoding], encoding.lowercased() != "identity" {
            throw Problem(.unsupportedMediaType, "Compressed bodies are not taken.")
        }
        switch route.body {
        case .none, .stream: return
        case .raw(let limit): call.rawBody = try await Self.collect(request, limit)
        case .json(let shape, let limit):
            let type = request.headers[.contentType]
            let isJSON = type.map { $0.split(separator: ";")[0].trimmingCharacters(in: .whitespaces).lowercased() == "application/json" }
            if isJSON == false { throw Problem(.unsupportedMediaType, "Send the body as application/json.") }
            call.rawBody = try await Self.collect(request, limit)
            if isJSON == nil, !call.rawBody.isEmpty { throw Problem(.unsupportedMediaType, "Send the body as application/json.") }
            var value = Value.object([:])
            if !call.rawBody.isEmpty {
                do throws(JSONError) { value = try JSON.strictValue(call.rawBody) } catch {
                    throw Problem(.malformedJSON, "The body is not acceptable JSON: \(error).")
                }
            }
            call.body = try shape.fields(of: value)
        }
    }

    /// The whole body in memory, cut at the limit.
    static func collect(_ request: Request, _ limit: Int) async throws -> Data {
        var data = Data()
        for try await chunk in request.body {
            guard data.count + chunk.readableBytes <= limit else { throw Problem.tooLarge(limit) }
            data.append(contentsOf: chunk.readableBytesView)
        }
        return data
    }

    private static func requestId(_ sent: String?) -> String {
        if let sent, (1...64).contains(sent.utf8.count), sent.utf8.allSatisfy({ Characters.isWord($0) || $0 == 0x2e }) { return sent }
        return ULID.make()
    }

    /// What the client still sends of a refused body is thrown away for a short while, so that it can read the answer; then the line is cut.
    private static func closeSoon(_ channel: any NIOCore.Channel, _ response: inout Response) {
        response.headers[.connection] = "close"
        channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
    }
}
