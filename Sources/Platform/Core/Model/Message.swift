import Foundation

/// A stored message of a conversation, a person's or the bot's.
public struct Message: Entity {
    public enum State: String, Codable, Sendable {
        /// Inbound, not for the agent to answer.
        case context
        case queued, running, answered, failed, stopped
        /// Of the bot.
        case sent

        /// Whether nothing more will be done about the message.
        public var isSettled: Bool { self != .queued && self != .running }
    }
    public var botId: BotID
    public var groupJid: GroupJID
    public var messageId: MessageID
    /// The provider's, so that a repeated event has the same key.
    public var timestamp: Date
    public var sender: String
    public var senderName: String
    public var content: String
    public var isFromMe: Bool
    public var isBotMessage: Bool
    public var channelType: ChannelType
    public var isGroup: Bool
    public var attachments: [Attachment]
    public var quoted: Quote?
    public var invocationId: InvocationID?
    public var editedAt: Date?
    public var edits: [String]?
    public var state: State
    public var failure: FailureCode?
    public var replyContext: Value?
    public var albumId: String?
    /// A slash command that counts: in a private chat, or addressed to the bot in a group.
    public var isCommand: Bool?
    public var trace: [TraceStep]?

    public init(
        botId: BotID, groupJid: GroupJID, messageId: MessageID, timestamp: Date, sender: String, senderName: String, content: String,
        isBotMessage: Bool, channelType: ChannelType, isGroup: Bool, state: State
    ) {
        self.botId = botId; self.groupJid = groupJid; self.messageId = messageId; self.timestamp = timestamp
        self.sender = sender; self.senderName = senderName; self.content = content
        isFromMe = isBotMessage
        self.isBotMessage = isBotMessage
        self.channelType = channelType; self.isGroup = isGroup; self.state = state
        attachments = []
    }

    public static let table = Tables.messages
    public static let retention = Duration.seconds(90 * 86_400)
    public static func key(_ session: SessionKey, _ timestamp: Date, _ id: MessageID) -> RecordKey {
        RecordKey(table, session.partition, "\(Timestamp.text(timestamp))#\(id.rawValue)")
    }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
    public var key: RecordKey { Self.key(session, timestamp, messageId) }
    public var recordExpiry: Date? { timestamp + Self.retention.seconds }
}

public struct Quote: Codable, Sendable, Hashable {
    public var sender: String
    public var text: String
    public init(sender: String, text: String) { self.sender = sender; self.text = text }
}

/// A file of a message: fetched (`objectKey`), or still at the vendor's (`providerRef`).
public struct Attachment: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable {
        case image, audio, document, video

        /// The kind that a media type belongs to.
        public init(mimeType: String) {
            switch mimeType.prefix(while: { $0 != "/" }) {
            case "image": self = .image
            case "audio": self = .audio
            case "video": self = .video
            default: self = .document
            }
        }
    }
    public var index: Int
    public var type: Kind
    public var fileName: String
    public var mimeType: String
    public var size: Int?
    public var objectKey: ObjectKey?
    /// The vendor's id or URL; no secret.
    public var providerRef: String?
    /// Why it could not be fetched, a sentence for the user and the agent.
    public var skipped: String?
    public init(index: Int, type: Kind, fileName: String, mimeType: String, size: Int?, objectKey: ObjectKey? = nil, providerRef: String? = nil) {
        self.index = index; self.type = type; self.fileName = fileName; self.mimeType = mimeType
        self.size = size; self.objectKey = objectKey; self.providerRef = providerRef
    }
}

/// One step of a message's way, for its owner: names and times, never content.
public struct TraceStep: Codable, Sendable, Hashable {
    public enum Step: String, Codable, Sendable { case ingest, queue, dispatch, model, tool, delivery }
    public var step: Step
    public var name: String?
    public var at: Date
    public var durationMs: Int?
    /// From one time to another; a clock that was set back counts as none.
    public static func milliseconds(_ start: Date, _ end: Date) -> Int { max(0, Int((end.timeIntervalSince(start) * 1000).rounded())) }
    /// How many steps of a run are kept: the way of a message, not a log.
    public static let limit = 200
    public init(_ step: Step, name: String? = nil, at: Date, durationMs: Int? = nil) { self.step = step; self.name = name; self.at = at; self.durationMs = durationMs }
}

/// Why a run or delivery failed, as the API names it (API.md §4), each with its fixed sentence.
public enum FailureCode: String, Codable, Sendable, CaseIterable {
    case agentFailed = "agent-failed"
    case agentTimeout = "agent-timeout"
    case quotaExceeded = "quota-exceeded"
    case providerUnavailable = "provider-unavailable"
    case channelFailed = "channel-failed"
    case botUnavailable = "bot-unavailable"

    /// What a person is told; never raw error text (SEC-113).
    public var sentence: String {
        switch self {
        case .agentFailed: "Something went wrong while working on this message, also after trying again. Please send it once more, or ask the bot's owner."
        case .agentTimeout: "This took longer than the bot is allowed to work on one message, so it was ended."
        case .quotaExceeded: "The bot's token quota for this month is used up."
        case .providerUnavailable: "The model provider could not be reached or refused the request. Please try again later."
        case .channelFailed: "The reply could not be delivered over this channel."
        case .botUnavailable: "This bot is paused at the moment."
        }
    }
}
