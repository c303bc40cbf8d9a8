import Foundation

/// A bot's connection to a messaging service.
public struct Channel: Entity {
    public enum Status: String, Codable, Sendable { case connected, disconnected, error, pendingWebhook = "pending_webhook" }
    public enum Mode: String, Codable, Sendable { case webhook, polling, websocket, builtin }
    public enum Health: String, Codable, Sendable { case healthy, unhealthy, unknown }

    public var botId: BotID
    public var userId: UserID
    public var channelType: ChannelType
    public var channelId: ChannelID
    public var status: Status
    public var connectionMode: Mode
    public var healthStatus: Health
    public var consecutiveFailures: Int
    public var lastHealthCheck: Date
    public var userNotifiedAt: Date?
    /// A sentence about the last trouble, for the owner.
    public var statusDetail: String?
    public var config: [String: Value]
    /// The vendor's id of the bot account; belongs to one bot (`uniques`).
    public var accountId: String
    /// What the vendor calls the bot: `@name` mentions are matched against it.
    public var accountName: String
    public var credentialSecretName: SecretName?
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date

    public init(botId: BotID, userId: UserID, channelType: ChannelType, channelId: ChannelID, mode: Mode, accountId: String, accountName: String, at now: Date) {
        self.botId = botId; self.userId = userId; self.channelType = channelType; self.channelId = channelId
        connectionMode = mode
        status = .connected
        healthStatus = .unknown
        consecutiveFailures = 0
        lastHealthCheck = Date(timeIntervalSince1970: 0)
        config = [:]
        self.accountId = accountId; self.accountName = accountName
        revision = 0
        createdAt = now; updatedAt = now
    }

    public static let table = Tables.channels
    public static func key(_ botId: BotID, _ type: ChannelType, _ id: ChannelID) -> RecordKey { RecordKey(table, botId.rawValue, "\(type.rawValue)#\(id.rawValue)") }
    public var key: RecordKey { Self.key(botId, channelType, channelId) }
}

/// One conversation of a bot.
public struct Group: Entity {
    public var botId: BotID
    public var groupJid: GroupJID
    public var userId: UserID
    public var name: String
    public var channelType: ChannelType
    public var isGroup: Bool
    public var requiresTrigger: Bool
    /// Of the newest message, to within a minute: a busy conversation does not write its record anew for each.
    public var lastMessageAt: Date
    /// What scheduled tasks reply with; opaque to all but the channel.
    public var replyContext: Value?
    /// The conversation this one moved to (Telegram group → supergroup).
    public var migratedTo: GroupJID?
    /// The bot was blocked or removed.
    public var disconnected: Bool
    public var createdAt: Date

    public init(botId: BotID, groupJid: GroupJID, userId: UserID, name: String, channelType: ChannelType, isGroup: Bool, at now: Date) {
        self.botId = botId; self.groupJid = groupJid; self.userId = userId; self.name = name; self.channelType = channelType
        self.isGroup = isGroup
        requiresTrigger = isGroup
        lastMessageAt = now
        disconnected = false
        createdAt = now
    }

    public static let table = Tables.groups
    public static func key(_ session: SessionKey) -> RecordKey { RecordKey(table, session.botId.rawValue, session.groupJid.rawValue) }
    public var key: RecordKey { Self.key(SessionKey(botId: botId, groupJid: groupJid)) }
    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
}
