import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Platform

/// The agent gateway over HTTP: `/agent/v1/**` (API.md §6.3), on the public listener and on the sockets of local sandboxes.
///
/// ```swift
/// let router = Router()
/// GatewayRoutes(gateway: gateway).add(to: router)
/// ```
/// Errors are problem+json, under `/model` the Messages API's own error shape. Every answer carries `X-Request-Id`.
public struct GatewayRoutes: Sendable {
    public static let prefix = "/agent/v1"
    let gateway: AgentGateway
    let logger: Logger

    public init(gateway: AgentGateway, logger: Logger = Logger(label: "clawbot.gateway.http")) {
        self.gateway = gateway; self.logger = logger
    }

    /// The gateway on the public listener, for remote agents.
    public var mount: Mount {
        Mount(prefix: Self.prefix + "/", declarations: GatewayContract.declarations) { request, _ in await respond(to: request, socketSession: nil) }
    }

    /// Adds the routes. Where the context is bound to a socket, only grants of its session pass.
    public func add(to router: Router<some RequestContext>) {
        for method in [HTTPRequest.Method.get, .head, .post, .put, .patch, .delete, .options] {
            router.on("\(Self.prefix)/**", method: method) { request, context in
                await respond(to: request, socketSession: (context as? any GatewaySocketBinding)?.socketSession)
            }
        }
    }

    /// Answers one request whose path begins with ``prefix``.
    public func respond(to request: Request, socketSession: SessionKey?) async -> Response {
        let requestId = Self.requestId(request)
        let call = GatewayCall(request, socketSession: socketSession)
        var response: Response
        do {
            try call.checkHead()
            response = try await route(call)
        } catch let error as ModelError {
            response = Self.response(error)
        } catch {
            response = refuse(error, call, requestId)
        }
        if request.method == .head { response.body = ResponseBody() }
        response.headers[.requestId] = requestId
        response.headers[.cacheControl] = "no-store"
        return response
    }

    private func route(_ call: GatewayCall) async throws -> Response {
        let (method, path) = (call.method, call.path)
        switch (path.first, path.count) {
        case ("replies", 1): return try await on([.post], method) { try await replies(call) }
        case ("events", 1): return try await on([.post], method) { try await events(call) }
        case ("inbox", 1): return try await on([.get], method) { try await inbox(call) }
        case ("history", 1): return try await on([.get], method) { try await history(call) }
        case ("search", 1): return try await on([.post], method) { try await search(call) }
        case ("tasks", 1):
            return try await on([.get, .post], method) { method == .post ? try await createTask(call) : try await listTasks(call) }
        case ("tasks", 2):
            return try await on([.get, .put, .patch, .delete], method) { try await task(call, TaskID(path[1])) }
        case ("objects", 1): return try await on([.get], method) { try await listObjects(call) }
        case ("objects", _): return try await on([.get, .put, .delete], method) { try await object(call) }
        case ("object-access", 1):
            // Stores that hand out scoped credentials come with their backend; here objects go through the gateway.
            return try await on([.post], method) {
                _ = try await call.authorized(gateway, .objects)
                throw GatewayError.notFound
            }
        case ("proxy", 2...): return try await proxy(call)
        case ("mcp", 2): return try await on([.get, .post, .delete], method) { try await mcp(call, MCPServerID(path[1])) }
        case ("model", 3) where path[1] == "v1" && path[2] == "messages": return try await on([.post], method) { try await model(call, .messages) }
        case ("model", 4) where path[1...] == ["v1", "messages", "count_tokens"]:
            return try await on([.post], method) { try await model(call, .countTokens) }
        default: throw GatewayError.notFound
        }
    }

    /// Runs `body` for an allowed method; `GET` routes answer `HEAD` too. Anything else is 405 with `Allow`.
    private func on(_ methods: [HTTPRequest.Method], _ method: HTTPRequest.Method, _ body: () async throws -> Response) async throws -> Response {
        if methods.contains(method) || method == .head && methods.contains(.get) { return try await body() }
        let all = methods.contains(.get) ? methods + [.head] : methods
        var response = GatewayProblem(405, "method-not-allowed", "This path takes \(all.map(\.rawValue).joined(separator: ", ")).").response
        response.headers[.allow] = all.map(\.rawValue).joined(separator: ", ")
        return response
    }

    /// `X-Request-Id` as sent, when it is well-formed; else a new one.
    private static func requestId(_ request: Request) -> String {
        if let sent = request.headers[.requestId], (1...64).contains(sent.utf8.count),
            sent.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || "._-".utf8.contains($0) }
            )
        {
            return sent
        }
        return ULID.make()
    }

    private func refuse(_ error: any Error, _ call: GatewayCall, _ requestId: String) -> Response {
        guard let problem = GatewayProblem(error) else {
            logger.error(
                "a gateway call failed",
                metadata: [
                    "requestId": "\(requestId)", "route": "\(call.path.first ?? "")", "cause": "\(error)",
                ])
            return call.path.first == "model"
                ? Self.response(ModelError(status: 500, message: GatewayProblem.internalError.detail, code: "internal"))
                : GatewayProblem.internalError.response
        }
        if call.path.first == "model" {
            return Self.response(ModelError(status: problem.status, message: problem.detail, code: problem.slug, retryAfter: problem.retryAfter))
        }
        return problem.response
    }

    static func response(_ error: ModelError) -> Response {
        var headers: HTTPFields = [.contentType: "application/json"]
        if let seconds = error.retryAfter { headers[.retryAfter] = String(seconds) }
        if error.status == 401 { headers[.wwwAuthenticate] = GatewayProblem.challenge }
        return Response(status: .init(code: error.status), headers: headers, body: ResponseBody(byteBuffer: error.body))
    }
}

/// A request context that knows whose socket the request came over.
protocol GatewaySocketBinding: Sendable {
    var socketSession: SessionKey { get }
}

extension HTTPField.Name {
    static let requestId = HTTPField.Name("X-Request-Id")!
    static let anthropicVersion = HTTPField.Name("anthropic-version")!
    static let anthropicBeta = HTTPField.Name("anthropic-beta")!
}
