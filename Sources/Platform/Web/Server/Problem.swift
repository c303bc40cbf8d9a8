import ControlPlane
import Foundation
import HTTPTypes
import Platform

/// A refusal as RFC 9457 problem+json (API.md §1.4). Its texts are for the caller and never carry causes, paths, hosts or secrets.
public struct Problem: Error, Sendable, Equatable {
    /// The closed list of slugs, each with its status and its fixed title.
    public enum Slug: String, Sendable, CaseIterable {
        case validationFailed = "validation-failed"
        case malformedJSON = "malformed-json"
        case invalidCursor = "invalid-cursor"
        case unauthenticated
        case invalidCredentials = "invalid-credentials"
        case tokenReused = "token-reused"
        case tokenSuperseded = "token-superseded"
        case badSignature = "bad-signature"
        case forbidden
        case accountSuspended = "account-suspended"
        case quotaExceeded = "quota-exceeded"
        case notFound = "not-found"
        case methodNotAllowed = "method-not-allowed"
        case alreadyExists = "already-exists"
        case inUse = "in-use"
        case invalidState = "invalid-state"
        case selfModification = "self-modification"
        case lastAdmin = "last-admin"
        case sessionMismatch = "session-mismatch"
        case idempotencyInProgress = "idempotency-in-progress"
        case preconditionFailed = "precondition-failed"
        case payloadTooLarge = "payload-too-large"
        case uriTooLong = "uri-too-long"
        case unsupportedMediaType = "unsupported-media-type"
        case rangeNotSatisfiable = "range-not-satisfiable"
        case headersTooLarge = "headers-too-large"
        case credentialsRejected = "credentials-rejected"
        case idempotencyMismatch = "idempotency-mismatch"
        case rateLimited = "rate-limited"
        case tooManyAttempts = "too-many-attempts"
        case `internal`
        case upstreamFailed = "upstream-failed"
        case unavailable
        case upstreamTimeout = "upstream-timeout"

        public var status: Int {
            switch self {
            case .validationFailed, .malformedJSON, .invalidCursor: 400
            case .unauthenticated, .invalidCredentials, .tokenReused, .tokenSuperseded, .badSignature: 401
            case .forbidden, .accountSuspended, .quotaExceeded: 403
            case .notFound: 404
            case .methodNotAllowed: 405
            case .alreadyExists, .inUse, .invalidState, .selfModification, .lastAdmin, .sessionMismatch, .idempotencyInProgress: 409
            case .preconditionFailed: 412
            case .payloadTooLarge: 413
            case .uriTooLong: 414
            case .unsupportedMediaType: 415
            case .rangeNotSatisfiable: 416
            case .headersTooLarge: 431
            case .credentialsRejected, .idempotencyMismatch: 422
            case .rateLimited, .tooManyAttempts: 429
            case .internal: 500
            case .upstreamFailed: 502
            case .unavailable: 503
            case .upstreamTimeout: 504
            }
        }

        /// The slug as words: `Validation failed`.
        public var title: String {
            if self == .malformedJSON { return "Malformed JSON" }
            if self == .uriTooLong { return "URI too long" }
            let words = rawValue.replacingOccurrences(of: "-", with: " ")
            return words.prefix(1).uppercased() + words.dropFirst()
        }
    }

    public var slug: Slug
    public var detail: String
    /// Present exactly for `validation-failed`.
    public var errors: [FieldProblem]?
    public var headers: HTTPFields

    public init(_ slug: Slug, _ detail: String, errors: [FieldProblem]? = nil, headers: HTTPFields = [:]) {
        self.slug = slug; self.detail = detail; self.errors = errors; self.headers = headers
    }

    public static func invalid(_ errors: [FieldProblem]) -> Problem {
        Problem(.validationFailed, errors.count == 1 ? "One field is not acceptable." : "\(errors.count) fields are not acceptable.", errors: errors)
    }
    public static func invalid(_ field: String, _ message: String) -> Problem { invalid([FieldProblem(field, message)]) }
    public static let notFound = Problem(.notFound, "There is nothing here, or it is not yours.")
    public static let unauthenticated = Problem(
        .unauthenticated, "Sign in first: the access token is missing, expired or not valid.", headers: [.wwwAuthenticate: #"Bearer error="invalid_token""#])
    public static let suspended = Problem(.accountSuspended, "This account is suspended. Ask an administrator.")
    public static let forbidden = Problem(.forbidden, "This needs the administrator role.")
    public static let internalError = Problem(.internal, "Something went wrong on our side. The request id in X-Request-Id helps to find it.")
    public static func rateLimited(retryAfter: Int) -> Problem {
        Problem(.rateLimited, "Too many requests. Try again in \(retryAfter) s.", headers: [.retryAfter: String(retryAfter)])
    }
    public static func unavailable(_ detail: String = "The service cannot take this right now. Please try again.", retryAfter: Int = 5) -> Problem {
        Problem(.unavailable, detail, headers: [.retryAfter: String(retryAfter)])
    }
    public static func tooLarge(_ limit: Int) -> Problem { Problem(.payloadTooLarge, "The body may have at most \(limit) bytes.") }

    var document: Value {
        var body: Document = [
            "type": .string("urn:clawbot:problem:\(slug.rawValue)"), "title": .string(slug.title), "status": .int(slug.status), "detail": .string(detail),
        ]
        if slug == .validationFailed {
            body["errors"] = .array((errors ?? []).map { .object(["field": .string($0.field), "message": .string($0.message)]) })
        }
        return .object(body)
    }

    var answer: Answer {
        var headers = headers
        headers[.contentType] = "application/problem+json"
        return Answer(status: slug.status, headers: headers, content: .json(document))
    }
}

/// The one place where errors of the rooms below become HTTP.
enum ProblemMapping {
    /// `nil` for what nobody foresaw: an internal error, whose cause goes to the log only.
    static func problem(for error: any Error) -> Problem? {
        switch error {
        case let problem as Problem: problem
        case let error as ManagementError: management(error)
        case let error as TaskError: task(error)
        case let error as RecordStoreError: record(error)
        case let error as ObjectStoreError: object(error)
        case is TokenError: .unauthenticated
        case SecretStoreError.unavailable: .unavailable()
        default: nil
        }
    }

    private static func management(_ error: ManagementError) -> Problem {
        switch error {
        case .notFound: .notFound
        case .invalid(let errors): .invalid(errors)
        case .quotaExceeded(let sentence): Problem(.quotaExceeded, sentence)
        case .alreadyExists(let sentence): Problem(.alreadyExists, sentence)
        case .inUse(let sentence): Problem(.inUse, sentence)
        case .invalidState(let sentence): Problem(.invalidState, sentence)
        case .preconditionFailed: Problem(.preconditionFailed, "It was changed by someone else meanwhile. Read it again.")
        case .credentialsRejected(let sentence): Problem(.credentialsRejected, sentence)
        case .upstreamFailed(let sentence): Problem(.upstreamFailed, sentence)
        case .upstreamTimeout(let sentence): Problem(.upstreamTimeout, sentence)
        case .tooLarge(let limit): .tooLarge(limit)
        case .rangeNotSatisfiable(let size):
            Problem(.rangeNotSatisfiable, "The file has \(size) bytes.", headers: [.contentRange: "bytes */\(size)"])
        }
    }

    private static func task(_ error: TaskError) -> Problem {
        switch error {
        case .notFound: .notFound
        case .invalid(let problems): .invalid(problems)
        case .quotaExceeded(let limit): Problem(.quotaExceeded, "Your plan allows \(limit) tasks per bot; completed ones do not count.")
        case .completed: Problem(.invalidState, "A completed task cannot be changed. Create a new one.")
        case .unavailable: .unavailable()
        }
    }

    private static func record(_ error: RecordStoreError) -> Problem? {
        switch error {
        case .invalidCursor: Problem(.invalidCursor, "This cursor is not valid here.")
        case .unavailable: .unavailable()
        case .conditionFailed: Problem(.invalidState, "It was changed by someone else meanwhile. Please try again.")
        case .invalidWrite: nil
        }
    }

    private static func object(_ error: ObjectStoreError) -> Problem? {
        switch error {
        case .unavailable: .unavailable()
        case .tooLarge(let limit): .tooLarge(limit)
        case .notFound: .notFound
        default: nil
        }
    }
}
