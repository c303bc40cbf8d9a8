import Foundation
import Platform

/// The system prompt in its fixed order (AGENT.md §4): what is the same for all bots first, what changes most often last, and nothing
/// that changes from turn to turn.
struct SystemPrompt {
    /// Name for `/context`, and text.
    private(set) var parts: [(name: String, text: String)] = []
    /// The last part: where things are on this machine.
    private(set) var runtime = ""

    /// - Parameters:
    ///   - moved: directories that lie elsewhere than the texts say (only without a sandbox).
    ///   - notes: what is out of order in this run, a line each, in the platform's own words.
    init(
        _ payload: InvocationPayload, memory: WorkspaceMemory, skills: SkillLibrary = SkillLibrary(), moved: [(usual: String, real: String)] = [],
        notes: [String] = []
    ) {
        add("System prompt", Preset.text)
        add("Managed policy", memory.text(of: [.policy]))
        add("Bot's instructions", "# Who you are\nYour name is \(Self.oneLine(payload.botName))." + (payload.systemPrompt.map { "\n\n\($0)" } ?? ""))
        add("Skills", skills.listing)
        for (name, layer) in [("Bot manual", WorkspaceMemory.Layer.bot), ("Shared memory", .shared), ("Group memory", .group), ("Learnings", .learnings)] {
            add(name, memory.text(of: [layer]))
        }
        var channel = Preset.guidance(payload.channelType)
        if payload.isGroupChat == true { channel += "\n\n" + Preset.groupChat }
        if payload.memoryWritable == false {
            channel += "\n\nThe bot manual and the learnings are read-only in this conversation; only the group memory can be written."
        }
        add("Channel", channel)
        if let prefixes = payload.proxyPrefixes, !prefixes.isEmpty {
            add("Proxy rules", Preset.proxyRules(prefixes))
        }
        if payload.isScheduledTask == true { add("Scheduled task", Preset.scheduledTask) }
        runtime = "Runtime: model \(Self.oneLine(payload.model)), working directory \(moved.first { $0.usual == "/workspace/group" }?.real ?? "/workspace/group")."
        if !moved.isEmpty { runtime += " On this machine " + moved.map { "\($0.usual) is \($0.real)" }.joined(separator: ", ") + ": use these paths." }
        add("Runtime", runtime)
        // Changes with the health of others, so it comes last.
        add("Notes", notes.joined(separator: "\n"))
    }

    private mutating func add(_ name: String, _ text: String?) {
        guard let text, !text.allSatisfy(\.isWhitespace) else { return }
        parts.append((name, text))
    }

    var text: String { parts.map(\.text).joined(separator: "\n\n") }
    var sizes: [(String, Int)] { parts.map { ($0.name, TokenEstimate.tokens($0.text)) } }

    private static func oneLine(_ text: String) -> String { ToolSummary.oneLine(text, most: 200) }
}
