import Foundation

/// A message of the inbound queue (API.md §6.2).
public enum InboundPayload: Sendable {
    case message(InboundMessagePayload)
    case task(ScheduledTaskPayload)
}

public struct InboundMessagePayload: Codable, Sendable {
    public var type = "inbound_message"
    public var botId: BotID
    public var groupJid: GroupJID
    public var userId: UserID
    public var timestamp: Date
    public var messageId: MessageID
    public var content: String
    public var channelType: ChannelType
    public var sender: String
    public var senderName: String?
    public var isGroup: Bool
    /// An album: all parts with this id are one message to the agent.
    public var albumId: String?
    public init(message: Message, userId: UserID) {
        botId = message.botId; groupJid = message.groupJid; self.userId = userId; timestamp = message.timestamp
        messageId = message.messageId; content = message.content; channelType = message.channelType
        sender = message.sender; senderName = message.senderName; isGroup = message.isGroup; albumId = message.albumId
    }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }

    /// Hex SHA-256 of botId LF groupJid LF messageId; an album counts as one message (CHANNELS.md §1.2).
    public static func deduplicationID(_ session: SessionKey, _ messageId: MessageID, albumId: String? = nil) -> String {
        Digest.sha256Hex([session.botId.rawValue, session.groupJid.rawValue, albumId.map { "album:\($0)" } ?? messageId.rawValue].joined(separator: "\n"))
    }
}

public struct ScheduledTaskPayload: Codable, Sendable {
    public var type = "scheduled_task"
    public var botId: BotID
    public var groupJid: GroupJID
    public var userId: UserID
    public var timestamp: Date
    public var taskId: TaskID
    public var scheduledFor: Date
    /// Fired late, because the platform was off at the time.
    public var missed: Bool?
    /// Missed by more than the grace: to be noted and told, not run.
    public var passedOver: Bool?
    public init(botId: BotID, groupJid: GroupJID, userId: UserID, taskId: TaskID, scheduledFor: Date, at now: Date, missed: Bool = false, passedOver: Bool = false) {
        self.botId = botId; self.groupJid = groupJid; self.userId = userId; self.taskId = taskId
        self.scheduledFor = scheduledFor
        timestamp = now
        self.missed = missed ? true : nil
        self.passedOver = passedOver ? true : nil
    }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
    public var deduplicationID: String { "\(taskId.rawValue)#\(Timestamp.text(scheduledFor))" }
}

/// A message of the reply queue: text or file.
public struct ReplyPayload: Codable, Sendable {
    public enum Kind: String, Codable, Sendable { case reply, fileReply = "file_reply" }
    public struct File: Codable, Sendable, Hashable {
        public var objectKey: ObjectKey
        public var fileName: String
        public var mimeType: String
        public var size: Int
        public var caption: String?
        public init(objectKey: ObjectKey, fileName: String, mimeType: String, size: Int, caption: String? = nil) {
            self.objectKey = objectKey; self.fileName = fileName; self.mimeType = mimeType; self.size = size; self.caption = caption
        }
    }
    /// What the reply ends, if it ends something.
    public enum Settles: Codable, Sendable {
        /// The final (or error) reply of an invocation.
        case run(InvocationID)
        /// An answer of the platform itself to these messages: no invocation, no tokens.
        case messages([MessageRef], failure: FailureCode?)
        case nothing
    }
    public var type: Kind
    public var botId: BotID
    public var groupJid: GroupJID
    public var userId: UserID
    public var timestamp: Date
    public var channelType: ChannelType
    public var invocationId: InvocationID?
    public var sequence: Int?
    public var messageId: MessageID
    public var text: String
    public var file: File?
    public var replyContext: Value?
    public var settles: Settles

    public init(
        type: Kind = .reply, session: SessionKey, userId: UserID, at now: Date, channelType: ChannelType, invocationId: InvocationID? = nil,
        sequence: Int? = nil, messageId: MessageID, text: String, file: File? = nil, replyContext: Value? = nil, settles: Settles = .nothing
    ) {
        self.type = type
        botId = session.botId; groupJid = session.groupJid; self.userId = userId; timestamp = now; self.channelType = channelType
        self.invocationId = invocationId; self.sequence = sequence; self.messageId = messageId; self.text = text; self.file = file
        self.replyContext = replyContext; self.settles = settles
    }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
}
