import Foundation
import Platform

/// Errors of chat completions endpoints in the Messages API's words, in which engines look for what they can cure: a conversation that
/// is too long, an output limit that is too high.
enum CompletionError {
    /// - Parameters:
    ///   - body: the JSON of an error answer, or of an error inside a stream; nil where there was none.
    ///   - status: of the answer; nil inside a stream or under status 200.
    ///   - asked: the `max_tokens` of the request.
    static func read(_ body: Value?, status: Int?, asked: Int?, key: Secret?, retryAfter: Int? = nil) -> ModelError {
        // Google's compatible endpoint wraps its errors in a list.
        let error = (body?.array?.first ?? body)?["error"] ?? body?.array?.first ?? body
        let text = [error?["message"], error?["detail"], error?["msg"], error].lazy.compactMap { $0?.string }.first ?? ""
        let names = [error?["code"], error?["type"], error?["status"]].compactMap { $0?.string?.lowercased() }
        let status = status ?? Self.status(names, number: error?["code"]?.int ?? error?["status"]?.int, text)
        let lower = text.lowercased()
        func named(_ words: String...) -> Bool { words.contains { word in names.contains { $0.contains(word) } } }

        if named("insufficient_quota", "insufficient_balance", "billing") || lower.contains("insufficient balance") {
            return ModelError(status: 502, message: "The platform's account with the model provider has no credit left.", code: ModelError.refusedCode)
        }
        if let refusal = ModelHTTP.refusal(status: status) { return refusal }
        let shown = KeyScrubber.scrub(String(text.prefix(2000)), of: key)
        if status < 500 || status == 500, status != 429 {
            // Before the context: such messages name the context too.
            if let asked, let most = outputLimit(lower), most < asked {
                return ModelError(status: 400, message: "max_tokens: \(asked) > \(most), which is the most that this model writes: \(shown)")
            }
            if named("context_length", "exceed_context_size") || tooLong.contains(where: lower.contains) {
                return ModelError(status: 400, message: "prompt is too long: \(shown)")
            }
        }
        return ModelError(
            status: status, message: shown.isEmpty ? "The model provider answered with status \(status)." : shown, retryAfter: retryAfter)
    }

    /// An error under status 200: by its number, by its name, else the provider's own.
    private static func status(_ names: [String], number: Int?, _ text: String) -> Int {
        if let number, (400..<600).contains(number) { return number }
        if let number = names.lazy.compactMap({ Int($0) }).first, (400..<600).contains(number) { return number }
        func named(_ words: String...) -> Bool { words.contains { word in names.contains { $0.contains(word) } || text.lowercased().contains(word) } }
        if named("rate_limit", "rate limit", "too_many_requests", "too many requests", "resource_exhausted") { return 429 }
        if named("overloaded", "at capacity", "server_busy") { return 529 }
        if named("invalid_api_key", "authentication") { return 401 }
        if named("context_length", "exceed_context_size", "invalid_request", "bad_request", "badrequest") { return 400 }
        return 500
    }

    private static let tooLong = [
        "maximum context length", "context size", "context window", "context length", "prompt is too long", "input is too long", "range of input length",
        "exceeds the model's max", "too many tokens",
    ]

    /// The largest `max_tokens` that the endpoint names when it refuses ours (OpenAI; DeepSeek and Model Studio; vLLM).
    private static func outputLimit(_ text: String) -> Int? {
        guard text.contains("max_tokens") || text.contains("max_completion_tokens") else { return nil }
        let most: Int? =
            if let match = text.firstMatch(of: /(\d+) > (\d+) - (\d+)/), let context = Int(match.2), let input = Int(match.3) { context - input }
            else if let match = text.firstMatch(of: /at most (\d+)/) { Int(match.1) }
            else if let match = text.firstMatch(of: /\[\s*\d+\s*,\s*(\d+)\s*\]/) { Int(match.1) }
            else { nil }
        return most.flatMap { $0 > 0 ? $0 : nil }
    }
}
