/// A table of records: what it is called, its indexes, whether its records expire.
public struct Table: Hashable, Sendable {
    /// A secondary index over top-level string attributes; a record without them is not in it.
    public struct Index: Hashable, Sendable {
        public let name: String
        /// Attribute whose value partitions the index; `pk` = the table's own partition key.
        public let partition: String
        /// Attribute by which a partition is sorted (absent attribute = not in the index); nil = by the table's keys.
        public let sort: String?
        public init(_ name: String, partition: String, sort: String? = nil) { self.name = name; self.partition = partition; self.sort = sort }
    }
    public let name: String
    public let indexes: [Index]
    public let expires: Bool
    public init(_ name: String, indexes: [Index] = [], expires: Bool = false) { self.name = name; self.indexes = indexes; self.expires = expires }
    public static func == (a: Table, b: Table) -> Bool { a.name == b.name }
    public func hash(into hasher: inout Hasher) { hasher.combine(name) }
}

/// Every table of the platform, declared once; backends create or check them from here (ARCHITECTURE.md §6).
public enum Tables {
    public static let users = Table("users", indexes: [emailIndex, createdIndex])
    public static let emailIndex = Table.Index("email-index", partition: "emailLower")
    public static let createdIndex = Table.Index("created-index", partition: "kind", sort: "createdAt")

    public static let bots = Table("bots", indexes: [botIdIndex, providerIndex])
    public static let botIdIndex = Table.Index("botId-index", partition: "botId")
    public static let providerIndex = Table.Index("provider-index", partition: "providerId", sort: "botId")

    public static let channels = Table("channels", indexes: [channelTypeIndex, healthIndex])
    public static let channelTypeIndex = Table.Index("channelType-index", partition: "channelType", sort: "botId")
    public static let healthIndex = Table.Index("health-index", partition: "healthStatus", sort: "lastHealthCheck")

    public static let groups = Table("groups", indexes: [recentIndex])
    public static let recentIndex = Table.Index("recent-index", partition: "botId", sort: "lastMessageAt")

    public static let messages = Table("messages", indexes: [messageIdIndex], expires: true)
    public static let messageIdIndex = Table.Index("messageId-index", partition: "pk", sort: "messageId")

    public static let tasks = Table("tasks")

    public static let sessions = Table("sessions", indexes: [taskStatusIndex])
    public static let taskStatusIndex = Table.Index("status-index", partition: "taskStatus", sort: "lastActiveAt")

    public static let providers = Table("providers")
    public static let proxyRules = Table("proxyRules")
    public static let skills = Table("skills")
    public static let mcpServers = Table("mcpServers")
    public static let botMcpConfigs = Table("botMcpConfigs", indexes: [mcpServerIndex])
    public static let mcpServerIndex = Table.Index("server-index", partition: "mcpServerId", sort: "botId")
    public static let settings = Table("settings")
    public static let usage = Table("usage", expires: true)
    public static let events = Table("events", expires: true)
    public static let denials = Table("denials", expires: true)
    public static let failures = Table("failures", expires: true)
    public static let leases = Table("leases", expires: true)
    public static let uniques = Table("uniques")
    public static let idempotency = Table("idempotency", expires: true)
    public static let deadLetters = Table("deadLetters", indexes: [deadLetterBotIndex], expires: true)
    public static let deadLetterBotIndex = Table.Index("bot-index", partition: "botId", sort: "id")
    public static let tombstones = Table("tombstones", indexes: [purgeIndex])
    public static let purgeIndex = Table.Index("purge-index", partition: "state", sort: "purgeAt")
    public static let refreshTokens = Table("refreshTokens", indexes: [tokenUserIndex], expires: true)
    public static let tokenUserIndex = Table.Index("user-index", partition: "userId", sort: "createdAt")
    public static let loginAttempts = Table("loginAttempts", expires: true)
    public static let audit = Table("audit", expires: true)
    /// Encrypted secrets, for `secrets.backend: records`.
    public static let secrets = Table("secrets")

    public static let all: [Table] = [
        users, bots, channels, groups, messages, tasks, sessions, providers, proxyRules, skills, mcpServers, botMcpConfigs, settings, usage, events, denials,
        failures, leases, uniques, idempotency, deadLetters, tombstones, refreshTokens, loginAttempts, audit, secrets,
    ]
}
