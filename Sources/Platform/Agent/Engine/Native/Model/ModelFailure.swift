import Foundation
import Platform

/// Why a model call brought no turn, and so what to do.
enum ModelFailure: Error, Equatable {
    /// The same request may work later; `after` is what the other side asked for.
    case again(after: Duration?, String)
    /// 401 of the gateway: this run is over.
    case runEnded
    case quotaExceeded
    /// The run has used up its own tokens (`maxRunTokens`).
    case runBudget
    /// An image or document in the conversation is one that the model cannot read.
    case mediaRejected
    /// The conversation is larger than the model's context.
    case tooLong
    /// `max_tokens` is more than this model writes.
    case outputLimit(Int)
    /// The model does not take the thinking blocks of another model back.
    case thinkingRejected
    /// Refused for good by the provider or the gateway; the text is for the log.
    case refused(String)

    /// From a status (an error answer) or nil (an error event inside a stream), in the shape of the Messages API
    /// (https://docs.anthropic.com/en/api/errors) or problem+json.
    init(status: Int?, type: String, message: String, retryAfter: Duration?) {
        let text = "status \(status.map(String.init) ?? "-") \(type): \(message.prefix(300))"
        let lower = message.lowercased()
        switch (status, type) {
        case (401, _), (nil, "authentication_error"), (nil, "unauthenticated"): self = .runEnded
        case (_, "run-tokens-exceeded"): self = .runBudget
        case (_, _) where Self.namesQuota(type, lower) && (status == nil || status == 403 || status == 429): self = .quotaExceeded
        // The platform's key or the provider's record is wrong: no further try of this run cures that.
        case (403, _), (_, "credentials-rejected"), (_, "invalid-state"): self = .refused(text)
        case (429, _), (_, "rate_limit_error"), (529, _), (_, "overloaded_error"), (408, _), (_, "timeout_error"):
            self = .again(after: retryAfter, text)
        case (413, _), (_, "request_too_large"): self = .tooLong
        case (400, _), (nil, "invalid_request_error"), (422, _):
            if lower.contains("prompt is too long") || lower.contains("context window") || lower.contains("context length") || lower.contains("context limit") {
                self = .tooLong
            } else if lower.contains("max_tokens"), let most = Self.limit(in: lower) {
                self = .outputLimit(most)
            } else if lower.contains("thinking") || lower.contains("signature") {
                self = .thinkingRejected
            } else if ["image", "pdf", "document", "media_type"].contains(where: lower.contains) {
                self = .mediaRejected
            } else {
                self = .refused(text)
            }
        case (let status?, _) where status >= 500: self = .again(after: retryAfter, text)
        case (nil, "api_error"), (nil, "server_error"), (nil, "upstream-failed"), (nil, "upstream-timeout"), (nil, "unavailable"), (nil, "rate-limited"):
            self = .again(after: retryAfter, text)
        default: self = .refused(text)
        }
    }

    init(status: Int, body: Data, retryAfter: Duration?) {
        let answer = try? JSON.value(body)
        let type = answer?["error"]?["code"]?.string ?? answer?["error"]?["type"]?.string ?? answer?["type"]?.string?.split(separator: ":").last.map(String.init) ?? ""
        self.init(
            status: status, type: type, message: answer?["error"]?["message"]?.string ?? answer?["detail"]?.string ?? "", retryAfter: retryAfter)
    }

    /// For a tool whose own model call failed.
    var sentence: String {
        switch self {
        case .again: "the model is overloaded or cannot be reached."
        case .runEnded: "this run is over."
        case .quotaExceeded: "the token quota is used up."
        case .runBudget: "the token budget of this message is used up."
        case .tooLong: "it became too long for the model."
        case .outputLimit, .thinkingRejected, .mediaRejected, .refused: "the model does not take the request."
        }
    }

    private static func namesQuota(_ type: String, _ message: String) -> Bool {
        type.contains("quota") || message.contains("quota-exceeded") || message.contains("token quota") || message.contains("quota exceeded")
    }

    /// The limit in `max_tokens: 16000 > 8192, which is the maximum …`.
    private static func limit(in message: String) -> Int? {
        guard let mark = message.range(of: "> ") else { return nil }
        return Int(message[mark.upperBound...].prefix { $0.isNumber }).flatMap { $0 > 0 ? $0 : nil }
    }
}
