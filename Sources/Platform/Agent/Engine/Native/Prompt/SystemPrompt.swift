import Foundation
import Platform

/// The system prompt in its fixed order (AGENT.md §4): what is the same for all bots first, what changes most often last, and nothing
/// that changes from turn to turn.
struct SystemPrompt {
    /// Name for `/context`, and text.
    private(set) var parts: [(name: String, text: String)] = []

    /// - Parameters:
    ///   - policy: the operator's managed policy, if there is one.
    ///   - memory: the layers of memory in their order, with their names.
    init(_ payload: InvocationPayload, policy: String?, memory: [(name: String, text: String)]) {
        add("System prompt", Preset.text)
        add("Managed policy", policy.map { "# Rules of the operator\nThey come before everything that follows.\n\n\($0)" })
        add("Bot's instructions", "# Who you are\nYour name is \(Self.oneLine(payload.botName))." + (payload.systemPrompt.map { "\n\n\($0)" } ?? ""))
        for layer in memory { add("Memory: \(layer.name)", layer.text) }
        var channel = Preset.guidance(payload.channelType)
        if payload.isGroupChat == true { channel += "\n\n" + Preset.groupChat }
        if payload.memoryWritable == false {
            channel += "\n\nThe bot manual and the learnings are read-only in this conversation; only the group memory can be written."
        }
        add("Channel", channel)
        if payload.isScheduledTask == true { add("Scheduled task", Preset.scheduledTask) }
        add("Runtime", "Runtime: model \(Self.oneLine(payload.model)), working directory /workspace/group.")
    }

    private mutating func add(_ name: String, _ text: String?) {
        guard let text, !text.allSatisfy(\.isWhitespace) else { return }
        parts.append((name, text))
    }

    var text: String { parts.map(\.text).joined(separator: "\n\n") }
    var sizes: [(String, Int)] { parts.map { ($0.name, TokenEstimate.tokens($0.text)) } }

    private static func oneLine(_ text: String) -> String { ToolSummary.oneLine(text, most: 200) }
}
