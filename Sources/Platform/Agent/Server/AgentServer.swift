import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Platform

/// The HTTP contract of the runtime (API.md §6.1): `POST /invocations`, `POST /stop`, `GET /ping`.
struct AgentServer: HTTPResponder {
    typealias Context = BasicRequestContext
    /// Larger bodies are 413.
    static let bodyLimit = 1 << 20

    let host: RunHost
    /// Key of this process; nil only on a unix socket, whose permissions are the proof then.
    let processKey: Secret?
    let time: any TimeSource
    let logger: Logger

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        switch (request.method, request.uri.path) {
        case (.get, "/ping"), (.head, "/ping"): ping()
        case (.post, "/invocations"): try await signed(request) { invoke($0) }
        case (.post, "/stop"): try await signed(request) { stop($0) }
        case (_, "/ping"), (_, "/invocations"), (_, "/stop"): problem(.methodNotAllowed, "method-not-allowed", "This path does not take that method.")
        default: problem(.notFound, "not-found", "There is nothing here.")
        }
    }

    private func ping() -> Response {
        let (busy, updated) = host.health()
        return json(.ok, #"{"status":"\#(busy ? "HealthyBusy" : "Healthy")","time_of_last_update":\#(Int(updated.timeIntervalSince1970))}"#)
    }

    /// Reads the body within its limit and checks the signature over exactly these bytes.
    private func signed(_ request: Request, then handle: (Data) -> Response) async throws -> Response {
        if let length = request.headers[.contentLength].flatMap(Int.init), length > Self.bodyLimit { return tooLarge() }
        var body = Data()
        for try await chunk in request.body {
            guard body.count + chunk.readableBytes <= Self.bodyLimit else { return tooLarge() }
            body.append(contentsOf: chunk.readableBytesView)
        }
        if let processKey {
            let given = HTTPField.Name(RuntimeSignature.header).flatMap { request.headers[$0] }
            guard RuntimeSignature.verify(given, path: request.uri.path, body: body, key: processKey, at: time.now()) else { return unauthenticated() }
        }
        return handle(body)
    }

    private func invoke(_ body: Data) -> Response {
        let payload: InvocationPayload, grant: Grant
        do {
            (payload, grant) = try InvocationCheck.read(body)
        } catch {
            logger.warning("invocation refused", metadata: ["field": "\(error.field)"])
            return problem(.badRequest, "validation-failed", "The invocation is not valid.", field: error)
        }
        switch host.admit(payload, grant: grant) {
        case .accepted: return json(.ok, #"{"status":"accepted"}"#)
        case .busy:
            var response = json(.serviceUnavailable, #"{"status":"busy"}"#)
            response.headers[.retryAfter] = "1"
            return response
        case .otherSession: return problem(.conflict, "session-mismatch", "This process serves another conversation.")
        case .replayed: return unauthenticated()
        }
    }

    private func stop(_ body: Data) -> Response {
        guard let invocation = (try? JSON.value(body))?["invocationId"]?.string else {
            return problem(.badRequest, "validation-failed", "The request is not valid.", field: .init(field: "invocationId", message: "This field is missing."))
        }
        guard host.stop(InvocationID(invocation)) else { return problem(.notFound, "not-found", "That run is not active here.") }
        return json(.ok, #"{"status":"stopping"}"#)
    }

    private func unauthenticated() -> Response { problem(.unauthorized, "bad-signature", "The signature is missing or wrong.") }
    private func tooLarge() -> Response { problem(.contentTooLarge, "payload-too-large", "The body is larger than 1 MiB.") }

    private struct Problem: Encodable {
        struct Field: Encodable { var field: String; var message: String }
        var type: String
        var title: String
        var status: Int
        var detail: String
        var errors: [Field]?
    }

    private func problem(_ status: HTTPResponse.Status, _ slug: String, _ detail: String, field: InvocationCheck.Invalid? = nil) -> Response {
        let problem = Problem(
            type: "urn:clawbot:problem:\(slug)", title: status.reasonPhrase, status: status.code, detail: detail,
            errors: field.map { [.init(field: $0.field, message: $0.message)] })
        return json(status, (try? JSON.text(problem)) ?? "{}", type: "application/problem+json")
    }

    private func json(_ status: HTTPResponse.Status, _ text: String, type: String = "application/json") -> Response {
        Response(status: status, headers: [.contentType: type, .cacheControl: "no-store"], body: .init(byteBuffer: ByteBuffer(string: text)))
    }
}
