import Foundation
import Platform

/// How an endpoint's chat completions differ from the common form. Unknown endpoints get the common form; what one refuses by name is
/// learned from its answer, see ``corrected(by:)``.
struct ChatDialect: Sendable, Equatable {
    /// How an endpoint is asked to think before it answers. Nobody is asked who does not have to be.
    enum Thinking: Sendable, Equatable {
        /// Not to be asked for: the model thinks or does not.
        case unasked
        /// `enable_thinking` (Alibaba's Model Studio).
        case flag
        /// `thinking: {type: enabled}` (DeepSeek, Zhipu, Moonshot).
        case object
        /// `reasoning_effort` (OpenAI).
        case effort
    }
    var thinking = Thinking.unasked
    /// `max_completion_tokens` in place of `max_tokens`: OpenAI's models that reason take no other.
    var completionTokens = false
    /// `stream_options.include_usage`: without it most endpoints report no tokens in a stream.
    var streamOptions = true
    /// `parallel_tool_calls`, sent only when the agent wants no parallel calls.
    var parallelToolCalls = true

    init() {}

    init(baseURL: String, model: String) {
        let host = URL(string: baseURL)?.host?.lowercased() ?? ""
        func isAt(_ domains: String...) -> Bool { domains.contains { host == $0 || host.hasSuffix("." + $0) } }
        if isAt("aliyuncs.com") { thinking = .flag }
        if isAt("deepseek.com", "bigmodel.cn", "z.ai", "moonshot.cn", "moonshot.ai") { thinking = .object }
        if isAt("openai.com", "azure.com") {
            completionTokens = true
            let reasons = model.hasPrefix("gpt-5") || model.hasPrefix("o") && model.dropFirst().first?.isNumber == true
            thinking = reasons ? .effort : .unasked
        }
    }

    /// The dialect without what the endpoint's error (status 400 or 422) names as unknown; nil when it names nothing of ours.
    func corrected(by message: String) -> ChatDialect? {
        var other = self
        let message = message.lowercased()
        if !completionTokens, message.contains("max_completion_tokens") {
            other.completionTokens = true
        } else if completionTokens, message.contains("max_completion_tokens"), Self.refuses(message) {
            other.completionTokens = false
        } else if streamOptions, message.contains("stream_options") {
            other.streamOptions = false
        } else if parallelToolCalls, message.contains("parallel_tool_calls") {
            other.parallelToolCalls = false
        } else if thinking != .unasked, ["enable_thinking", "reasoning_effort", "thinking"].contains(where: message.contains) {
            other.thinking = .unasked
        }
        return other == self ? nil : other
    }

    private static func refuses(_ message: String) -> Bool {
        ["unknown", "unrecognized", "unsupported", "not support", "extra inputs", "not permitted", "unexpected"].contains(where: message.contains)
    }

    /// Where chat completions are: people write base URLs as vendors print them, with and without `/v1`, or the whole path. A base URL
    /// without any path (as Ollama's and llama.cpp's are often given) gets `/v1`; a path is the vendor's own and stays.
    static func endpoint(_ baseURL: String) -> String {
        var base = Substring(baseURL)
        func strip() { while base.hasSuffix("/") { base = base.dropLast() } }
        strip()
        if base.hasSuffix("/chat/completions") { base = base.dropLast("/chat/completions".count) }
        strip()
        let afterScheme = base.range(of: "://").map { base[$0.upperBound...] } ?? base
        return afterScheme.contains("/") ? "\(base)/chat/completions" : "\(base)/v1/chat/completions"
    }
}
