import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import AsyncHTTPClient
import NIOCore
import Platform

/// What each route does with its call.
extension GatewayRoutes {
    private struct List<Item: Encodable>: Encodable { var items: [Item]; var nextCursor: String? }
    private struct ObjectEntry: Encodable { var key: String; var size: Int; var etag: String; var lastModified: Date }

    /// Authorises, takes a place in the run's budget, and answers with what remains of it.
    private func within(_ call: GatewayCall, _ scope: Grant.Scope, _ body: (AuthorizedRun) async throws -> Response) async throws -> Response {
        let run = try await call.authorized(gateway, scope)
        let permit = try gateway.permit(run)
        defer { permit.end() }
        var response = try await body(run)
        Self.note(permit, on: &response)
        return response
    }
    private static func note(_ permit: CallPermit, on response: inout Response) {
        response.headers[.rateLimitLimit] = String(permit.limit)
        response.headers[.rateLimitRemaining] = String(permit.remaining)
        response.headers[.rateLimitReset] = "60"
    }
    private static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        Response(
            status: status, headers: [.contentType: "application/json; charset=utf-8"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: try JSON.encode(value))))
    }

    // MARK: - Talking

    func replies(_ call: GatewayCall) async throws -> Response {
        let id = try await gateway.reply(token: call.token, socketSession: call.socketSession, body: try await call.json())
        return try Self.json(["messageId": id.rawValue], status: .accepted)
    }

    func events(_ call: GatewayCall) async throws -> Response {
        try await within(call, .reply) { run in
            try await gateway.events(run, call.request.body)
            return Response(status: .noContent)
        }
    }

    func inbox(_ call: GatewayCall) async throws -> Response {
        try await within(call, .reply) { run in try Self.json(["messages": try await gateway.inbox(run)]) }
    }

    func history(_ call: GatewayCall) async throws -> Response {
        try await within(call, .history) { run in
            let page = try await gateway.history(
                run, query: call.query("query"), before: call.query("before"), limit: try call.limit(), cursor: call.query("cursor"))
            return try Self.json(List(items: page.items, nextCursor: page.cursor))
        }
    }

    func search(_ call: GatewayCall) async throws -> Response {
        try await within(call, .egress) { run in try Self.json(["results": try await gateway.search(run, body: try await call.json())]) }
    }

    // MARK: - Tasks

    func listTasks(_ call: GatewayCall) async throws -> Response {
        try await within(call, .tasks) { run in
            let status = call.query("status").map(ScheduledTask.Status.init(rawValue:))
            if case .some(nil) = status {
                throw GatewayError.invalid([FieldProblem("query.status", "status must be one of active, paused, completed.")])
            }
            let page = try await gateway.listTasks(run, status: status ?? nil, limit: try call.limit(), cursor: call.query("cursor"))
            return try Self.json(List(items: page.items.map(TaskView.init), nextCursor: page.cursor))
        }
    }

    func createTask(_ call: GatewayCall) async throws -> Response {
        try await within(call, .tasks) { run in
            let task = try await gateway.createTask(run, body: try await call.json())
            var response = try Self.json(TaskView(task), status: .created)
            response.headers[.location] = "\(Self.prefix)/tasks/\(task.taskId.rawValue)"
            return response
        }
    }

    func task(_ call: GatewayCall, _ id: TaskID) async throws -> Response {
        try await within(call, .tasks) { run in
            switch call.method {
            case .delete:
                try await gateway.deleteTask(run, id)
                return Response(status: .noContent)
            case .put, .patch: return try Self.json(TaskView(try await gateway.updateTask(run, id, body: try await call.json())))
            default: return try Self.json(TaskView(try await gateway.getTask(run, id)))
            }
        }
    }

    /// `Task` of API.md §3.1: what is only bookkeeping stays here.
    private struct TaskView: Encodable {
        var botId: BotID, taskId: TaskID, groupJid: GroupJID, prompt: String, scheduleType: ScheduledTask.ScheduleType, scheduleValue: String
        var timezone: String, contextMode: ScheduledTask.ContextMode, status: ScheduledTask.Status
        var nextRun: Date?, lastRun: Date?, lastStatus: ScheduledTask.Outcome?, lastResult: String?, createdAt: Date, updatedAt: Date
        init(_ task: ScheduledTask) {
            botId = task.botId; taskId = task.taskId; groupJid = task.groupJid; prompt = task.prompt
            scheduleType = task.scheduleType; scheduleValue = task.scheduleValue; timezone = task.timezone
            contextMode = task.contextMode; status = task.status; nextRun = task.nextRun; lastRun = task.lastRun
            lastStatus = task.lastStatus; lastResult = task.lastResult; createdAt = task.createdAt; updatedAt = task.updatedAt
        }
    }

    // MARK: - Objects

    func listObjects(_ call: GatewayCall) async throws -> Response {
        try await within(call, .objects) { run in
            let page = try await gateway.listObjects(run, prefix: call.query("prefix") ?? "", limit: try call.limit(), cursor: call.query("cursor"))
            return try Self.json(
                List(
                    items: page.items.map { ObjectEntry(key: $0.key.text, size: $0.size, etag: $0.etag, lastModified: $0.lastModified) },
                    nextCursor: page.cursor))
        }
    }

    func object(_ call: GatewayCall) async throws -> Response {
        try await within(call, .objects) { run in
            switch call.method {
            case .put: return try await putObject(call, run)
            case .delete:
                try await gateway.deleteObject(run, call.objectKey, if: try Self.condition(call))
                return Response(status: .noContent)
            case .head:
                let info = try await gateway.headObject(run, call.objectKey)
                return Response(status: .ok, headers: Self.headers(info, length: info.size))
            default: return try await getObject(call, run)
            }
        }
    }

    private func getObject(_ call: GatewayCall, _ run: AuthorizedRun) async throws -> Response {
        var range: Range<Int>?
        if let wanted = call.request.headers[.range] {
            range = try Self.range(wanted, size: try await gateway.headObject(run, call.objectKey).size)
        }
        let content = try await gateway.getObject(run, call.objectKey, range: range)
        if let known = call.request.headers[.ifNoneMatch], Self.etags(known).contains(where: { $0 == "*" || $0 == content.info.etag }) {
            return Response(status: .notModified, headers: [.eTag: "\"\(content.info.etag)\""])
        }
        let sent = range.map { $0.clamped(to: 0..<content.info.size) } ?? 0..<content.info.size
        var headers = Self.headers(content.info, length: sent.count)
        if range != nil { headers[.contentRange] = "bytes \(sent.lowerBound)-\(sent.upperBound - 1)/\(content.info.size)" }
        return Response(
            status: range == nil ? .ok : .partialContent, headers: headers,
            body: ResponseBody(contentLength: sent.count) { writer in
                for try await chunk in content.body { try await writer.write(ByteBuffer(bytes: chunk)) }
                try await writer.finish(nil)
            })
    }

    private func putObject(_ call: GatewayCall, _ run: AuthorizedRun) async throws -> Response {
        if let length = call.request.headers[.contentLength].flatMap({ Int($0) }), length > AgentGateway.maxObjectBytes {
            throw GatewayError.tooLarge(limit: AgentGateway.maxObjectBytes)
        }
        let stored = try await gateway.putObject(
            run, call.objectKey, body: call.request.body, contentType: call.request.headers[.contentType], if: try Self.condition(call))
        var response = try Self.json(
            ObjectEntry(key: stored.info.key.text, size: stored.info.size, etag: stored.info.etag, lastModified: stored.info.lastModified),
            status: stored.created ? .created : .ok)
        response.headers[.eTag] = "\"\(stored.info.etag)\""
        return response
    }

    private static func headers(_ info: ObjectInfo, length: Int) -> HTTPFields {
        [
            .contentType: info.contentType ?? "application/octet-stream", .contentLength: String(length), .eTag: "\"\(info.etag)\"",
            .acceptRanges: "bytes",
        ]
    }

    /// `If-Match` and `If-None-Match: *` (API.md §1.6).
    private static func condition(_ call: GatewayCall) throws(GatewayError) -> ObjectCondition? {
        if let header = call.request.headers[.ifMatch] {
            guard let tag = etags(header).first, etags(header).count == 1, tag != "*" else {
                throw .invalid([FieldProblem("header.if-match", "If-Match must be one entity tag.")])
            }
            return .matches(etag: tag)
        }
        if let header = call.request.headers[.ifNoneMatch] {
            guard header == "*" else { throw .invalid([FieldProblem("header.if-none-match", "If-None-Match must be *.")]) }
            return .absent
        }
        return nil
    }
    private static func etags(_ header: String) -> [String] {
        header.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces).trimmingCharacters(in: CharacterSet(charactersIn: "\"")) }
    }

    /// One byte range (RFC 9110 §14); several, or another unit, are answered with the whole object.
    private static func range(_ header: String, size: Int) throws(GatewayError) -> Range<Int>? {
        guard header.hasPrefix("bytes="), !header.contains(",") else { return nil }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        if parts[0].isEmpty {
            guard let last = Int(parts[1]), last >= 0 else { return nil }
            guard last > 0, size > 0 else { throw .rangeNotSatisfiable(size: size) }
            return max(0, size - last)..<size
        }
        guard let first = Int(parts[0]), first >= 0 else { return nil }
        guard first < size else { throw .rangeNotSatisfiable(size: size) }
        if parts[1].isEmpty { return first..<size }
        guard let last = Int(parts[1]), last >= first else { return nil }
        return first..<min(size, last == Int.max ? size : last + 1)
    }

    // MARK: - Model

    func model(_ call: GatewayCall, _ operation: ModelCall.Operation) async throws -> Response {
        let run = try await call.authorized(gateway, .model)
        let permit = try gateway.permit(run)
        let body = try await call.body(limit: AgentGateway.maxModelRequestBytes)
        let answer = try await gateway.model(
            run, operation, body: body, version: call.request.headers[.anthropicVersion], beta: call.request.headers[.anthropicBeta])
        return passing(answer, permit)
    }

    // MARK: - MCP

    func mcp(_ call: GatewayCall, _ id: MCPServerID) async throws -> Response {
        let run = try await call.authorized(gateway, .proxy)
        let permit = try gateway.permit(run)
        let body = call.method == .post ? try await call.body(limit: AgentGateway.maxMCPRequestBytes) : ByteBuffer()
        let method: MCPRequest.Method = call.method == .post ? .post : call.method == .delete ? .delete : .get
        let headers = call.request.headers.map { (name: $0.name.canonicalName, value: $0.value) }
        let answer = try await gateway.mcp(run, server: id, MCPRequest(method: method, headers: headers, body: body, endpoint: call.query("endpoint")))
        // Whatever a server says of the end of a session, it has ended.
        if method == .delete, answer.status < 300 {
            permit.end()
            return Response(status: .noContent)
        }
        return passing(answer, permit)
    }

    // MARK: - Credential proxy

    func proxy(_ call: GatewayCall) async throws -> Response {
        let run = try await call.authorized(gateway, .proxy)
        let permit = try gateway.permit(run)
        // As it was sent: what is decoded here could mean something else where it goes.
        let raw = (call.request.head.path ?? "").split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let rest = raw[0].dropFirst("\(Self.prefix)/proxy/".count)
        let slash = rest.firstIndex(of: "/")
        let length = call.request.headers[.contentLength].flatMap { Int64($0) }
        let hasBody = (length ?? 0) > 0 || call.request.headers[.transferEncoding] != nil
        let answer = try await gateway.proxy(
            run, token: call.token ?? "",
            ProxyRequest(
                method: call.method.rawValue, rule: call.path[1], rest: slash.map { String(rest[rest.index(after: $0)...]) } ?? "",
                query: raw.count > 1 ? String(raw[1]) : nil, headers: call.request.headers.map { (name: $0.name.canonicalName, value: $0.value) },
                body: hasBody ? .stream(call.request.body, length: length.map { .known($0) } ?? .unknown) : nil))
        return passing(answer, permit)
    }

    /// An upstream's answer; the place in the run's budget is held until it has ended.
    private func passing(_ answer: ModelResponse, _ permit: CallPermit) -> Response {
        var headers = HTTPFields()
        for (name, value) in answer.headers { if let name = HTTPField.Name(name) { headers.append(HTTPField(name: name, value: value)) } }
        var response = Response(
            status: .init(code: answer.status), headers: headers,
            body: ResponseBody { writer in
                defer { permit.end() }
                try await answer.body { try await writer.write($0) }
                try await writer.finish(nil)
            })
        Self.note(permit, on: &response)
        return response
    }
}
