import Foundation
import HTTPTypes
import Hummingbird

extension HTTPField.Name {
    static let xRequestID = HTTPField.Name("X-Request-Id")!
    static let xOriginVerify = HTTPField.Name("X-Origin-Verify")!
    static let xForwardedFor = HTTPField.Name("X-Forwarded-For")!
    static let xAccelBuffering = HTTPField.Name("X-Accel-Buffering")!
    static let rateLimitLimit = HTTPField.Name("RateLimit-Limit")!
    static let rateLimitRemaining = HTTPField.Name("RateLimit-Remaining")!
    static let rateLimitReset = HTTPField.Name("RateLimit-Reset")!
    static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
    static let idempotencyReplayed = HTTPField.Name("Idempotency-Replayed")!
    static let lastEventID = HTTPField.Name("Last-Event-ID")!
    static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
    static let permissionsPolicy = HTTPField.Name("Permissions-Policy")!
    static let crossOriginOpenerPolicy = HTTPField.Name("Cross-Origin-Opener-Policy")!
    static let crossOriginResourcePolicy = HTTPField.Name("Cross-Origin-Resource-Policy")!
}

/// The headers that every answer carries (API.md §1.7, SEC-100..103).
struct ResponseHeaders: Sendable {
    let isHTTPS: Bool
    let corsOrigins: Set<String>

    /// For documents of the console.
    static let consolePolicy =
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; font-src 'self'; connect-src 'self'; "
        + "frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; require-trusted-types-for 'script'"
    private static let plainPolicy = "default-src 'none'; frame-ancestors 'none'"

    func complete(_ response: inout Response, requestId: String, path: String, origin: String?) {
        response.headers[.xRequestID] = requestId
        set(&response, .xContentTypeOptions, "nosniff")
        set(&response, .referrerPolicy, "no-referrer")
        set(&response, .contentSecurityPolicy, Self.plainPolicy)
        set(&response, .crossOriginOpenerPolicy, "same-origin")
        set(&response, .crossOriginResourcePolicy, "same-origin")
        set(&response, .permissionsPolicy, "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
        if isHTTPS { set(&response, .strictTransportSecurity, "max-age=31536000; includeSubDomains") }
        if path.hasPrefix("/api/") || path.hasPrefix("/auth/") { set(&response, .cacheControl, "no-store") }
        guard !corsOrigins.isEmpty else { return }
        response.headers.append(HTTPField(name: .vary, value: "Origin"))
        guard let origin, corsOrigins.contains(origin) else { return }
        response.headers[.accessControlAllowOrigin] = origin
        response.headers[.accessControlExposeHeaders] = "ETag, Location, Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-Request-Id"
    }

    /// The answer to a preflight of a listed origin; nil = no such thing as CORS here.
    func preflight(origin: String?, wantsMethod: Bool) -> Answer? {
        guard wantsMethod, let origin, corsOrigins.contains(origin) else { return nil }
        return Answer(status: 204, headers: [
            .accessControlAllowMethods: "GET, HEAD, POST, PUT, PATCH, DELETE",
            .accessControlAllowHeaders: "Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, Range, X-Request-Id",
            .accessControlMaxAge: "600",
        ])
    }

    private func set(_ response: inout Response, _ name: HTTPField.Name, _ value: String) {
        if response.headers[name] == nil { response.headers[name] = value }
    }
}
