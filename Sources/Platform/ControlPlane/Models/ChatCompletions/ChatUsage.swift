import Platform

/// Tokens as chat completions report them, in the Messages API's counting: what came from the cache is apart from the input.
struct ChatUsage: Sendable, Equatable {
    var input: Int
    var cached: Int
    var output: Int
    /// Nobody reported anything: counted from the bytes that passed, about four to a token.
    var isEstimated = false

    init(estimatedInput: Int, contentBytes: Int) {
        input = estimatedInput; cached = 0; output = (contentBytes + 3) / 4
        isEstimated = true
    }

    /// - Parameter reported: `usage` of an answer; nil where there is nothing in it that counts.
    init?(_ reported: Value?) {
        guard let reported, let prompt = reported["prompt_tokens"]?.int, prompt >= 0 else { return nil }
        let completion = reported["completion_tokens"]?.int ?? reported["total_tokens"]?.int.map { $0 - prompt } ?? 0
        // OpenAI and most; DeepSeek; Moonshot.
        let hit = reported["prompt_tokens_details"]?["cached_tokens"]?.int ?? reported["prompt_cache_hit_tokens"]?.int ?? reported["cached_tokens"]?.int ?? 0
        cached = min(max(0, hit), prompt)
        input = prompt - cached
        output = max(0, completion)
    }

    var json: Value {
        var fields: [String: Value] = [
            "input_tokens": .int(input), "output_tokens": .int(output), "cache_read_input_tokens": .int(cached), "cache_creation_input_tokens": 0,
        ]
        if isEstimated { fields["estimated"] = true }
        return .object(fields)
    }
}
