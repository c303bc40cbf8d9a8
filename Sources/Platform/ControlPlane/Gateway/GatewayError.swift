import Platform

/// Why the gateway refuses a call. Web maps each to its status and problem (API.md §6.3).
public enum GatewayError: Error, Sendable {
    /// Grant missing, forged, expired, foreign to this socket, or of a run that is finished or stopped.
    case unauthenticated
    case forbidden(String)
    case quotaExceeded(String)
    /// Absent, or not this grant's.
    case notFound
    case invalid([FieldProblem])
    case malformedJSON
    case invalidCursor
    /// A reply's sequence was sent before with another body.
    case sequenceMismatch
    case invalidState(String)
    case preconditionFailed
    case tooLarge(limit: Int)
    case rangeNotSatisfiable(size: Int)
    /// Seconds.
    case rateLimited(retryAfter: Int)
    case unavailable
    /// Somebody else's server could not be reached, may not be, or broke off.
    case upstreamFailed

    static func invalid(_ field: String, _ message: String) -> GatewayError { .invalid([FieldProblem(field, message)]) }
}
