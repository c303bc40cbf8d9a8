import Foundation

/// Agent state of one conversation, and at the same time the record of its current invocation (`run`).
public struct Session: Entity {
    public var botId: BotID
    public var groupJid: GroupJID
    public var userId: UserID
    /// Raised whenever grants given before must die.
    public var epoch: Int
    /// What the engine resumes by; nil = start a new session.
    public var agentSessionId: String?
    public var resetPending: Bool
    public var lastModel: String?
    public var objectsRevision: Int
    /// Messages up to this time were dropped by `/stop`.
    public var stoppedBefore: Date?
    /// `running` or `idle` while there is compute: partitions `status-index`.
    public var taskStatus: String?
    public var lastActiveAt: Date?
    public var run: Run?
    /// Chunks of the reply now being delivered that the vendor has accepted.
    public var delivery: DeliveryProgress?

    public init(session: SessionKey, userId: UserID) {
        botId = session.botId; groupJid = session.groupJid; self.userId = userId
        epoch = 0
        resetPending = false
        objectsRevision = 0
    }

    public static let table = Tables.sessions
    public static func key(_ session: SessionKey) -> RecordKey { RecordKey(table, session.partition, "current") }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
    public var key: RecordKey { Self.key(session) }
}

/// What the current invocation may do, and what became of it.
public struct Run: Codable, Sendable {
    public var invocationId: InvocationID
    /// The message that it answers; nil for a task.
    public var messageId: MessageID?
    public var messageTimestamp: Date?
    /// Further messages that its final reply settles too (album parts, taken from the inbox).
    public var alsoAnswers: [MessageRef]
    public var taskId: TaskID?
    public var scheduledFor: Date?
    /// The task fired late, because the platform was off at the time.
    public var missed: Bool?
    /// A task's run in a session of its own: the conversation's session stays as it is.
    public var isolated: Bool?
    public var attempt: Int
    public var startedAt: Date
    public var deadline: Date
    /// The control-plane process that dispatched it: a run whose node is gone is tried again without counting as a failed try.
    public var node: String
    public var channelType: ChannelType
    public var isGroup: Bool
    public var replyContext: Value?
    public var slot: String
    public var model: String
    public var providerId: ProviderID
    public var toolWhitelist: ToolWhitelist
    public var maxRunTokens: Int?
    public var usage: TokenUsage
    /// What it did so far: for a task from its queue on, for a message its model and tool calls (the rest is in the message).
    public var trace: [TraceStep]?
    /// The final reply as accepted by the gateway: from then on the run is decided and only has to be delivered.
    public var final: FinalReply?
    public var stopped: Bool
    /// Time of the last gateway call or beat.
    public var lastBeat: Date

    public init(
        invocationId: InvocationID, attempt: Int, startedAt: Date, deadline: Date, node: String, channelType: ChannelType, isGroup: Bool,
        slot: String, model: String, providerId: ProviderID, toolWhitelist: ToolWhitelist
    ) {
        self.invocationId = invocationId; self.attempt = attempt; self.startedAt = startedAt; self.deadline = deadline
        self.node = node; self.channelType = channelType; self.isGroup = isGroup; self.slot = slot; self.model = model
        self.providerId = providerId; self.toolWhitelist = toolWhitelist
        alsoAnswers = []
        usage = TokenUsage()
        stopped = false
        lastBeat = startedAt
    }
}

public struct MessageRef: Codable, Sendable, Hashable {
    public var messageId: MessageID
    public var timestamp: Date
    public init(messageId: MessageID, timestamp: Date) { self.messageId = messageId; self.timestamp = timestamp }
}

public struct FinalReply: Codable, Sendable {
    public var sequence: Int
    public var messageId: MessageID
    /// May be empty when the run already sent something.
    public var text: String
    public var errorCode: FailureCode?
    public var newSessionId: String?
    public var numTurns: Int?
    public init(sequence: Int, messageId: MessageID, text: String, errorCode: FailureCode? = nil, newSessionId: String? = nil, numTurns: Int? = nil) {
        self.sequence = sequence; self.messageId = messageId; self.text = text; self.errorCode = errorCode
        self.newSessionId = newSessionId; self.numTurns = numTurns
    }
}

public struct DeliveryProgress: Codable, Sendable {
    public var messageId: MessageID
    /// Vendor ids of the chunks sent, in order.
    public var sent: [String]
    public init(messageId: MessageID, sent: [String]) { self.messageId = messageId; self.sent = sent }
}

/// Tokens as the gateway metered them. What counts is input + output + cache writes; cache reads are shown only.
public struct TokenUsage: Codable, Sendable, Hashable {
    public var inputTokens = 0
    public var outputTokens = 0
    public var cacheReadTokens = 0
    public var cacheWriteTokens = 0
    public init() {}
    public var counted: Int { inputTokens + outputTokens + cacheWriteTokens }
    public static func + (a: TokenUsage, b: TokenUsage) -> TokenUsage {
        var sum = a
        sum.inputTokens += b.inputTokens; sum.outputTokens += b.outputTokens
        sum.cacheReadTokens += b.cacheReadTokens; sum.cacheWriteTokens += b.cacheWriteTokens
        return sum
    }
}
