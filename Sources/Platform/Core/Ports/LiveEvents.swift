import Foundation

/// Best-effort publish/subscribe of what a person is watching. Never carries anything that must not be lost:
/// whole messages and run states are `events` records, of which it only tells that there are new ones.
public protocol LiveEvents: Sendable {
    func publish(_ event: LiveEvent, bot: BotID) async
    /// Events of a bot from now on; a slow reader loses the oldest.
    func subscribe(bot: BotID) async -> AsyncStream<LiveEvent>
    func probe() async throws
}

public enum LiveEvent: Sendable, Hashable, Codable {
    /// New `events` records exist.
    case wake
    case delta(groupJid: GroupJID, invocationId: InvocationID, messageId: MessageID, index: Int, text: String)
    case tool(ToolActivity)
}

public struct ToolActivity: Sendable, Hashable, Codable {
    public enum Phase: String, Sendable, Codable { case start, end, denied }
    public var groupJid: GroupJID
    public var invocationId: InvocationID
    public var toolUseId: String
    public var name: String
    public var phase: Phase
    /// At most 200 characters, secrets masked, never raw input or output.
    public var summary: String?
    public var isError: Bool?
    public var durationMs: Int?
    public init(groupJid: GroupJID, invocationId: InvocationID, toolUseId: String, name: String, phase: Phase, summary: String? = nil, isError: Bool? = nil, durationMs: Int? = nil) {
        self.groupJid = groupJid; self.invocationId = invocationId; self.toolUseId = toolUseId; self.name = name
        self.phase = phase; self.summary = summary; self.isError = isError; self.durationMs = durationMs
    }
}
