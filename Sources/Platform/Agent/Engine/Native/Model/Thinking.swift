import Platform

/// Extended thinking as a request asks for it (https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking).
public enum Thinking: Sendable, Hashable {
    case off
    /// At most so many tokens before each answer; part of `max_tokens`.
    case budget(Int)
    /// The model decides how long it thinks.
    case adaptive

    static let usualBudget = 8000

    /// What a model is known to take, by its name: a budget from Claude 3.7 on, adaptive from 4.6 on; nothing for names that say nothing.
    /// An endpoint that refuses it all the same is asked without.
    static func suiting(_ model: String, at provider: Provider.Kind) -> Thinking {
        guard provider == .anthropicCompatible || provider == .bedrock, let version = version(of: model) else { return .off }
        if version >= (4, 6) { return .adaptive }
        return version >= (3, 7) ? .budget(usualBudget) : .off
    }

    /// `claude-3-7-sonnet-20250219` is 3.7, `us.anthropic.claude-opus-4-20250514-v1:0` is 4.0, `claude-haiku-4-5` is 4.5.
    private static func version(of model: String) -> (Int, Int)? {
        guard let start = model.range(of: "claude-")?.upperBound else { return nil }
        let parts = model[start...].split(whereSeparator: { "-.@:".contains($0) })
        guard let first = parts.firstIndex(where: { Int($0) != nil }), first <= 1 else { return nil }
        // Longer numbers are dates.
        guard let major = Int(parts[first]), parts[first].count <= 2 else { return nil }
        let minor = parts.count > first + 1 && parts[first + 1].count <= 2 ? Int(parts[first + 1]) ?? 0 : 0
        return (major, minor)
    }

    /// The request's `thinking` field; nil = leave it out.
    func field(maxTokens: Int) -> String? {
        switch self {
        case .off: nil
        case .budget(let tokens): tokens < maxTokens ? #"{"type":"enabled","budget_tokens":\#(tokens)}"# : nil
        case .adaptive: #"{"type":"adaptive"}"#
        }
    }
}
