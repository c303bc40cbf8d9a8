import HTTPTypes
import Platform

/// The agent gateway's routes as the OpenAPI document tells them (API.md §6.3). ``GatewayRoutes`` serves them; a test holds the two together.
enum GatewayContract {
    static let declarations: [RouteDeclaration] = [
        route(.post, "/replies", "Hands a reply or a file over for delivery; idempotent by sequence.", .json(.anyObject, limit: 1 << 20), [.accepted(.object([("messageId", .text)]))], [.idempotencyMismatch]),
        route(.post, "/events", "Live deltas, tool activity and heartbeats as NDJSON; may stay open.", .stream(limit: .max), [.noContent]),
        route(.get, "/inbox", "Messages that wait behind this run.", answers: [.ok(.object([("messages", .list(.anything))]))]),
        route(
            .get, "/history", "This conversation's stored messages, newest first.",
            query: .page(.text("query", "Words to look for.", .line(1...200)), .text("before", "A timestamp.", .line(1...40))), answers: [.page(Schemas.message)]),
        route(
            .post, "/search", "Searches the web, where the platform has a search.", .raw(limit: 256 << 10),
            [.ok(.object([("results", .list(.object([("title", .text), ("url", .text), ("snippet", .text)])))]))], [.notFound]),
        route(.get, "/tasks", "This conversation's tasks.", query: .page(), answers: [.page(Schemas.task)]),
        route(.post, "/tasks", "Plans a task.", .json(.anyObject), [.created(Schemas.task, headers: [])], [.quotaExceeded]),
        route(.get, "/tasks/{taskId}", "A task.", answers: [.ok(Schemas.task)]),
        route(.put, "/tasks/{taskId}", "Changes a task.", .json(.anyObject), [.ok(Schemas.task)], [.invalidState]),
        route(.patch, "/tasks/{taskId}", "Changes a task.", .json(.anyObject), [.ok(Schemas.task)], [.invalidState]),
        route(.delete, "/tasks/{taskId}", "Deletes a task.", answers: [.noContent]),
        route(
            .get, "/objects", "Objects under one of the grant's prefixes, all levels.", query: .page(.text("prefix", "A full prefix.", .line(1...1025))),
            answers: [.page(.object([("key", .text), ("size", .integer), ("etag", .text), ("lastModified", .time)]))]),
        route(.get, "/objects/{objectKey…}", "An object's bytes.", answers: [.bytes("*/*", headers: ["ETag"]), .bytes("*/*", status: 206), .notModified]),
        route(.put, "/objects/{objectKey…}", "Writes an object whole.", .stream(limit: 100 << 20), [.ok(.anything), .created(.anything, headers: ["ETag"])], [.preconditionFailed]),
        route(.delete, "/objects/{objectKey…}", "Deletes an object.", answers: [.noContent]),
        route(.post, "/object-access", "Fresh scoped credentials of the object store, where there are any.", answers: [.ok(.anything)], problems: [.notFound]),
        model("/model/v1/messages", "A model call in the shape of the Messages API, streamed."),
        model("/model/v1/messages/count_tokens", "Counts a request's tokens."),
        proxied(.get), proxied(.post), proxied(.put), proxied(.patch), proxied(.delete),
        route(.get, "/mcp/{serverId}", "A remote MCP server's stream of events.", answers: [.bytes("*/*")], problems: [.upstreamFailed, .forbidden, .notFound]),
        route(.post, "/mcp/{serverId}", "A message to a remote MCP server; its answer is streamed.", .raw(limit: 8 << 20), [.bytes("*/*")], [.upstreamFailed, .forbidden, .notFound]),
        route(.delete, "/mcp/{serverId}", "Ends a session with a remote MCP server.", answers: [.noContent], problems: [.upstreamFailed, .forbidden, .notFound]),
    ]

    private static func proxied(_ method: HTTPRequest.Method) -> RouteDeclaration {
        let body: RouteDeclaration.Body = method == .get || method == .delete ? .none : .stream(limit: .max)
        return route(
            method, "/proxy/{rule}/{path…}", "A call to an API behind one of the user's proxy rules, whose secret is added here.", body, [.bytes("*/*")],
            [.upstreamFailed, .forbidden, .invalidState])
    }

    private static func model(_ path: String, _ summary: String) -> RouteDeclaration {
        var declaration = route(.post, path, summary, .json(.anyObject, limit: 32 << 20), [.bytes("*/*")], [.upstreamFailed, .upstreamTimeout])
        declaration.refusesAsModel = true
        return declaration
    }

    private static func route(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, _ body: RouteDeclaration.Body = .none, _ answers: [RouteDeclaration.Outcome],
        _ problems: [Problem.Slug] = []
    ) -> RouteDeclaration {
        RouteDeclaration(method, GatewayRoutes.prefix + path, summary, access: .grant, body: body, answers: answers, problems: problems)
    }
    private static func route(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, query: RouteDeclaration.Query = [], answers: [RouteDeclaration.Outcome],
        problems: [Problem.Slug] = []
    ) -> RouteDeclaration {
        RouteDeclaration(method, GatewayRoutes.prefix + path, summary, access: .grant, query: query, answers: answers, problems: problems)
    }
}

/// What the agent runtime serves on a listener of its own (API.md §6.1): part of the contract, not of this server.
enum AgentRuntimeContract {
    static let declarations: [RouteDeclaration] = [
        RouteDeclaration(
            .post, "/invocations", "Starts a run; answers before the agent runs.", access: .ownProof, body: .raw(limit: 1 << 20),
            answers: [.ok(.object([("status", .text)]))], problems: [.badSignature, .sessionMismatch]),
        RouteDeclaration(
            .post, "/stop", "Cancels the active run.", access: .ownProof, body: .raw(limit: 64 << 10), answers: [.ok(.object([("status", .text)]))],
            problems: [.notFound, .badSignature]),
        RouteDeclaration(
            .get, "/ping", "Whether a run is active.", access: .ownProof,
            answers: [.ok(.object([("status", .choice(["Healthy", "HealthyBusy"])), ("time_of_last_update", .integer)]))]),
    ]
}
