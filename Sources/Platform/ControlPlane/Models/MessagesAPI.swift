import Foundation
import NIOCore
import Platform

/// The error shape of the Messages API (https://docs.anthropic.com/en/api/errors), in which `/model` answers errors, so
/// that SDKs understand them. `code` is ours: the problem slug, which SDKs ignore.
public struct ModelError: Error, Sendable, Equatable {
    public var status: Int
    public var type: String
    public var message: String
    public var code: String?
    /// Seconds.
    public var retryAfter: Int?

    public init(status: Int, type: String? = nil, message: String, code: String? = nil, retryAfter: Int? = nil) {
        self.status = status
        self.type = type ?? Self.type(status: status)
        self.message = message
        self.code = code
        self.retryAfter = retryAfter
    }

    /// The code of what no further try cures: the provider refuses the platform's key.
    public static let refusedCode = "credentials-rejected"

    /// The vendor's error type of a status.
    public static func type(status: Int) -> String {
        switch status {
        case 401: "authentication_error"
        case 403: "permission_error"
        case 404: "not_found_error"
        case 413: "request_too_large"
        case 429: "rate_limit_error"
        case 529: "overloaded_error"
        case 504: "timeout_error"
        case 500...: "api_error"
        default: "invalid_request_error"
        }
    }

    public var json: Value {
        var error: [String: Value] = ["type": .string(type), "message": .string(message)]
        if let code { error["code"] = .string(code) }
        return .object(["type": "error", "error": .object(error)])
    }
    public var body: ByteBuffer { ByteBuffer(bytes: (try? JSON.data(json)) ?? Data()) }
    /// The same as an event, for a stream that has begun.
    public var event: ByteBuffer { ServerSentEvents.event("error", json) }

    public var response: ModelResponse {
        var response = ModelResponse(status: status, headers: retryAfter.map { [("retry-after", String($0))] } ?? [], json: body)
        response.isRefusedKey = code == Self.refusedCode
        return response
    }
}

/// Events as the Messages API streams them.
enum ServerSentEvents {
    static func event(_ name: String, _ data: Value) -> ByteBuffer {
        var buffer = ByteBuffer(string: "event: \(name)\ndata: ")
        buffer.writeBytes((try? JSON.data(data)) ?? Data())
        buffer.writeStaticString("\n\n")
        return buffer
    }
}
