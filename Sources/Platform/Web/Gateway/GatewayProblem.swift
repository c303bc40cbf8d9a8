import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import Platform

/// The gateway's errors as problem+json (RFC 9457, API.md §1.4).
struct GatewayProblem {
    var status: Int
    var slug: String
    var detail: String
    var errors: [FieldProblem]?
    var retryAfter: Int?
    var headers: HTTPFields = [:]

    static let challenge = "Bearer error=\"invalid_token\""
    static let internalError = GatewayProblem(
        500, "internal", "Something went wrong on the server. The request id in X-Request-Id names it in the log.")

    init(_ status: Int, _ slug: String, _ detail: String, errors: [FieldProblem]? = nil, retryAfter: Int? = nil, headers: HTTPFields = [:]) {
        self.status = status; self.slug = slug; self.detail = detail; self.errors = errors; self.retryAfter = retryAfter; self.headers = headers
    }

    /// nil for an error that nobody foresaw.
    init?(_ error: any Error) {
        switch error {
        case let error as GatewayError: self.init(error)
        case let error as TaskError: self.init(error)
        case let error as ObjectStoreError: self.init(error)
        case GatewayCall.UnsupportedMedia.compressed: self.init(415, "unsupported-media-type", "Compressed bodies are not accepted.")
        case GatewayCall.UnsupportedMedia.notJSON: self.init(415, "unsupported-media-type", "The body must be application/json.")
        case RecordStoreError.invalidCursor: self.init(400, "invalid-cursor", "The cursor is not one of this list.")
        case RecordStoreError.unavailable, MessageQueueError.unavailable: self = .unavailable
        case MessageQueueError.tooLarge: self.init(413, "payload-too-large", "The reply is too large for the queue.")
        default: return nil
        }
    }

    private static let unavailable = GatewayProblem(503, "unavailable", "The platform cannot take this at the moment; try again.", retryAfter: 2)
    private static let notFound = GatewayProblem(404, "not-found", "There is no such thing, or it is not this conversation's.")
    private static func tooLarge(_ limit: Int) -> GatewayProblem {
        GatewayProblem(413, "payload-too-large", "At most \(limit) bytes are accepted here.")
    }
    private static func invalid(_ errors: [FieldProblem]) -> GatewayProblem {
        GatewayProblem(400, "validation-failed", errors.first?.message ?? "The request is not valid.", errors: errors)
    }

    private init(_ error: GatewayError) {
        switch error {
        case .unauthenticated:
            self.init(401, "unauthenticated", "The grant is missing, expired, or its run has ended.", headers: [.wwwAuthenticate: Self.challenge])
        case .forbidden(let sentence): self.init(403, "forbidden", sentence)
        case .quotaExceeded(let sentence): self.init(403, "quota-exceeded", sentence)
        case .notFound: self = .notFound
        case .invalid(let problems): self = .invalid(problems)
        case .malformedJSON: self.init(400, "malformed-json", "The body is not one JSON object without repeated names, at most 32 levels deep.")
        case .invalidCursor: self.init(400, "invalid-cursor", "The cursor is not one of this list.")
        case .sequenceMismatch: self.init(422, "idempotency-mismatch", "This sequence was sent before with another body.")
        case .invalidState(let sentence): self.init(409, "invalid-state", sentence)
        case .preconditionFailed: self.init(412, "precondition-failed", "The object is not in the state that the request expects.")
        case .tooLarge(let limit): self = .tooLarge(limit)
        case .rangeNotSatisfiable(let size):
            self.init(416, "range-not-satisfiable", "The range lies outside of the object.", headers: [.contentRange: "bytes */\(size)"])
        case .rateLimited(let seconds): self.init(429, "rate-limited", "Too many calls of this run; try again in \(seconds) s.", retryAfter: seconds)
        case .unavailable: self = .unavailable
        case .upstreamFailed: self.init(502, "upstream-failed", "The server could not be reached, or broke off.")
        }
    }
    private init(_ error: TaskError) {
        switch error {
        case .notFound: self = .notFound
        case .invalid(let problems): self = .invalid(problems)
        case .quotaExceeded(let limit): self.init(403, "quota-exceeded", "This bot has its limit of \(limit) scheduled tasks.")
        case .completed: self.init(409, "invalid-state", "This task is completed and changes no more.")
        case .unavailable: self = .unavailable
        }
    }
    private init?(_ error: ObjectStoreError) {
        switch error {
        case .conditionFailed: self.init(412, "precondition-failed", "The object is not in the state that the request expects.")
        case .rangeNotSatisfiable(let size):
            self.init(416, "range-not-satisfiable", "The range lies outside of the object.", headers: [.contentRange: "bytes */\(size)"])
        case .invalidKey, .notFound: self = .notFound
        case .tooLarge(let limit): self = .tooLarge(limit)
        case .unavailable: self = .unavailable
        }
    }

    static let titles = [
        "unauthenticated": "Unauthenticated", "forbidden": "Forbidden", "quota-exceeded": "Quota exceeded", "not-found": "Not found",
        "validation-failed": "Validation failed", "malformed-json": "Malformed JSON", "invalid-cursor": "Invalid cursor",
        "idempotency-mismatch": "Idempotency mismatch", "invalid-state": "Invalid state", "precondition-failed": "Precondition failed",
        "payload-too-large": "Payload too large", "range-not-satisfiable": "Range not satisfiable", "rate-limited": "Rate limited",
        "unavailable": "Unavailable", "upstream-failed": "Upstream failed", "internal": "Internal", "method-not-allowed": "Method not allowed",
        "unsupported-media-type": "Unsupported media type",
    ]

    var response: Response {
        var body: [String: Value] = [
            "type": .string("urn:clawbot:problem:\(slug)"), "title": .string(Self.titles[slug] ?? slug), "status": .int(status),
            "detail": .string(detail),
        ]
        if let errors { body["errors"] = .array(errors.map { .object(["field": .string($0.field), "message": .string($0.message)]) }) }
        var headers = headers
        headers[.contentType] = "application/problem+json"
        if let retryAfter { headers[.retryAfter] = String(retryAfter) }
        let bytes = (try? JSON.data(.object(body))) ?? Data()
        return Response(status: .init(code: status), headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
