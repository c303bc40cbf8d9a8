import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Platform
import Synchronization

/// A gateway and a model behind it, on a unix socket: records what an agent asks, answers from a script.
final class FakeGateway: Sendable {
    /// How one model call is answered.
    enum ModelAnswer: Sendable {
        /// Raw bytes of an event stream in these chunks; `cut` breaks the connection after them.
        case stream([String], cut: Bool)
        case status(Int, headers: [String: String], body: String)
        /// Sends the chunks, then nothing more until the client goes.
        case hang([String])
        /// Decides from the request.
        indirect case decide(@Sendable (Value) -> ModelAnswer)
    }
    struct Call: Sendable { var method: String; var path: String; var headers: [String: String]; var body: Data }

    struct State: Sendable {
        var script: [ModelAnswer] = []
        var modelBodies: [Data] = []
        var replies: [Value] = []
        var events: [Value] = []
        var calls: [Call] = []
        var tasks: [String: Value] = [:]
        var objects: [String: Data] = [:]
        var inbox: [Value] = []
        var history: [Value] = []
        var searchResults: [Value] = []
        var grantAlive = true
        /// Statuses to answer the next posts to /replies with, before one is accepted.
        var replyTrouble: [Int] = []
        var accepted: [Int: Data] = [:]
        /// Says of a used sequence what the gateway says (problem+json), not the status alone.
        var mismatchIsProblem = false
        var watchers: [UUID: CheckedContinuation<Void, Never>] = [:]
    }
    private let state = Mutex(State())
    let socket: String
    var url: String { "unix:" + socket }

    init(in directory: URL) { socket = directory.appendingPathComponent("gw.sock").path }

    func read<T: Sendable>(_ what: (State) -> T) -> T { state.withLock { what($0) } }
    func change(_ what: (inout State) -> Void) {
        let watchers = state.withLock { state in
            what(&state)
            defer { state.watchers = [:] }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.resume() }
    }
    func script(_ answers: ModelAnswer...) { change { $0.script += answers } }

    var replies: [Value] { read(\.replies) }
    var modelBodies: [Value] { read(\.modelBodies).map { (try? JSON.value($0)) ?? .null } }
    var final: Value? { replies.first { ["final", "error"].contains($0["kind"]?.string) } }

    /// Waits until the state is as wanted; throws after `seconds`.
    func wait(_ what: String, seconds: Double = 60, until condition: @escaping @Sendable (State) -> Bool) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                while !self.read(condition) {
                    try Task.checkCancellation()
                    let id = UUID()
                    await withTaskCancellationHandler {
                        await withCheckedContinuation { continuation in
                            let atOnce = self.state.withLock { state in
                                if condition(state) || Task.isCancelled { return true }
                                state.watchers[id] = continuation
                                return false
                            }
                            if atOnce { continuation.resume() }
                        }
                    } onCancel: {
                        self.state.withLock { $0.watchers.removeValue(forKey: id) }?.resume()
                    }
                }
            }
            group.addTask {
                try await Task.sleep(for: .seconds(seconds))
                throw Timeout(what: what)
            }
            try await group.next()
            group.cancelAll()
        }
    }
    struct Timeout: Error { var what: String }
    struct Cut: Error {}

    func serve(ready: @escaping @Sendable () -> Void) async throws {
        let application = Application(
            responder: Responder(gateway: self),
            configuration: .init(address: .unixDomainSocket(path: socket), serverName: nil),
            onServerRunning: { _ in ready() }, logger: quietLogger)
        try await application.run()
    }

    private struct Responder: HTTPResponder {
        typealias Context = BasicRequestContext
        let gateway: FakeGateway
        func respond(to request: Request, context: BasicRequestContext) async throws -> Response { try await gateway.answer(request) }
    }

    private func answer(_ request: Request) async throws -> Response {
        let path = request.uri.path
        guard read(\.grantAlive), request.headers[.authorization]?.hasPrefix("Bearer v1.") == true else {
            return problem(.unauthorized, "unauthenticated")
        }
        if path == "/agent/v1/events" { return try await events(request) }
        var body = Data()
        for try await chunk in request.body { body.append(contentsOf: chunk.readableBytesView) }
        let call = Call(method: request.method.rawValue, path: request.uri.description, headers: Dictionary(request.headers.map { ($0.name.canonicalName, $0.value) }, uniquingKeysWith: { a, _ in a }), body: body)
        change { $0.calls.append(call) }
        switch path {
        case "/agent/v1/model/v1/messages": return model(body)
        case "/agent/v1/replies": return reply(body)
        case "/agent/v1/inbox": return json(.object(["messages": .array(read(\.inbox))]))
        case "/agent/v1/search": return json(.object(["results": .array(read(\.searchResults))]))
        case "/agent/v1/history": return json(.object(["items": .array(read(\.history))]))
        case _ where path.hasPrefix("/agent/v1/tasks"): return try tasks(request.method, String(path.dropFirst(15)), body)
        case _ where path.hasPrefix("/agent/v1/objects/"):
            change { $0.objects[path.dropFirst(18).removingPercentEncoding ?? ""] = body }
            return Response(status: .created)
        default: return problem(.notFound, "not-found")
        }
    }

    private func events(_ request: Request) async throws -> Response {
        var rest = ""
        for try await chunk in request.body {
            rest += String(buffer: chunk)
            var lines = rest.split(separator: "\n", omittingEmptySubsequences: false)
            rest = String(lines.removeLast())
            let values = lines.filter { !$0.isEmpty }.map { (try? JSON.value(Data($0.utf8))) ?? .string("unreadable") }
            change { $0.events += values }
        }
        return Response(status: .noContent)
    }

    private func reply(_ body: Data) -> Response {
        var outcome = Response(status: .internalServerError)
        change { state in
            if let status = state.replyTrouble.first {
                state.replyTrouble.removeFirst()
                outcome = Response(status: .init(code: status))
                return
            }
            guard let value = try? JSON.value(body), let sequence = value["sequence"]?.int else { outcome = Response(status: .badRequest); return }
            if let before = state.accepted[sequence] {
                outcome = before == body ? Response(status: .accepted) : state.mismatchIsProblem ? problem(.unprocessableContent, "idempotency-mismatch") : Response(status: .unprocessableContent)
                return
            }
            guard sequence == state.accepted.count else { outcome = Response(status: .badRequest); return }
            state.accepted[sequence] = body
            state.replies.append(value)
            outcome = Response(status: .accepted)
        }
        return outcome
    }

    private func tasks(_ method: HTTPRequest.Method, _ id: String, _ body: Data) throws -> Response {
        let id = id.hasPrefix("/") ? String(id.dropFirst()) : id
        switch method {
        case .get: return json(.object(["items": .array(read { state in state.tasks.keys.sorted().compactMap { state.tasks[$0] } })]))
        case .post:
            var task = try JSON.value(body).object ?? [:]
            if task["scheduleValue"]?.string == "bad" {
                return json(.object(["type": "urn:clawbot:problem:validation-failed", "detail": "The schedule is not valid.", "errors": .array([.object(["field": "scheduleValue", "message": "not a cron expression"])])]), status: .badRequest)
            }
            let taskId = ULID.make()
            task["taskId"] = .string(taskId); task["status"] = "active"; task["nextRun"] = "2027-01-01T09:00:00.000Z"
            change { [task] in $0.tasks[taskId] = .object(task) }
            return json(.object(task), status: .created)
        case .patch:
            guard var task = read({ $0.tasks[id] })?.object else { return problem(.notFound, "not-found") }
            for (key, value) in try JSON.value(body).object ?? [:] { task[key] = value }
            change { [task] in $0.tasks[id] = .object(task) }
            return json(.object(task))
        case .delete:
            guard read({ $0.tasks[id] != nil }) else { return problem(.notFound, "not-found") }
            change { $0.tasks[id] = nil }
            return Response(status: .noContent)
        default: return problem(.methodNotAllowed, "method-not-allowed")
        }
    }

    private func model(_ body: Data) -> Response {
        var next: ModelAnswer = .status(500, headers: [:], body: #"{"type":"error","error":{"type":"api_error","message":"the script is over"}}"#)
        change { state in
            state.modelBodies.append(body)
            if !state.script.isEmpty { next = state.script.removeFirst() }
        }
        while case .decide(let decide) = next { next = decide((try? JSON.value(body)) ?? .null) }
        switch next {
        case .decide: return Response(status: .internalServerError)
        case .status(let code, let headers, let body):
            var response = Response(status: .init(code: code), headers: [.contentType: "application/json"], body: .init(byteBuffer: ByteBuffer(string: body)))
            for (name, value) in headers { response.headers[HTTPField.Name(name)!] = value }
            return response
        case .stream(let chunks, let cut):
            return Response(status: .ok, headers: [.contentType: "text/event-stream"], body: .init { writer in
                for chunk in chunks { try await writer.write(ByteBuffer(string: chunk)) }
                if cut { throw Cut() }
                try await writer.finish(nil)
            })
        case .hang(let chunks):
            return Response(status: .ok, headers: [.contentType: "text/event-stream"], body: .init { writer in
                for chunk in chunks { try await writer.write(ByteBuffer(string: chunk)) }
                while true {
                    try await Task.sleep(for: .milliseconds(200))
                    try await writer.write(ByteBuffer(string: "event: ping\ndata: {\"type\":\"ping\"}\n\n"))
                }
            })
        }
    }

    private func json(_ value: Value, status: HTTPResponse.Status = .ok) -> Response {
        Response(status: status, headers: [.contentType: "application/json"], body: .init(byteBuffer: ByteBuffer(bytes: (try? JSON.data(value)) ?? Data())))
    }
    private func problem(_ status: HTTPResponse.Status, _ slug: String) -> Response {
        json(.object(["type": .string("urn:clawbot:problem:\(slug)"), "title": .string(slug), "status": .int(status.code), "detail": "Refused."]), status: status)
    }
}
