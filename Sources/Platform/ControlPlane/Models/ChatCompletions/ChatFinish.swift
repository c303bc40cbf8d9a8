import Platform

/// Why a choice ended, as endpoints say it.
enum ChatFinish: Sendable, Equatable {
    case reason(String)
    case failed(ModelError)

    /// - Parameter calledTools: some endpoints say `stop` when tools are called.
    init(_ text: String?, calledTools: Bool) {
        switch text {
        case "length", "max_tokens": self = .reason("max_tokens")
        case "content_filter", "sensitive": self = .reason("refusal")
        case "model_context_window_exceeded": self = .reason("model_context_window_exceeded")
        // DeepSeek and Zhipu end the choice when their own service fails.
        case "insufficient_system_resource": self = .failed(ModelError(status: 529, message: "The model provider has no capacity at the moment."))
        case "network_error": self = .failed(ModelError(status: 502, message: "The model provider's own service failed.", code: "upstream-failed"))
        default: self = .reason(calledTools ? "tool_use" : "end_turn")
        }
    }
}
