import Foundation

/// Everything an agent needs for one run except secrets (API.md §6.1). The grant is the only secret in it; never logged.
public struct InvocationPayload: Codable, Sendable {
    public struct MemoryPaths: Codable, Sendable, Hashable {
        public var sharedClaude: String
        public var botClaude: String
        public var groupPrefix: String
        public var learnings: String
        public init(sharedClaude: String, botClaude: String, groupPrefix: String, learnings: String) {
            self.sharedClaude = sharedClaude; self.botClaude = botClaude; self.groupPrefix = groupPrefix; self.learnings = learnings
        }
    }
    public struct File: Codable, Sendable, Hashable {
        public var type: Attachment.Kind
        public var fileName: String
        public var mimeType: String
        public var size: Int
        public var objectKey: ObjectKey
        public init(type: Attachment.Kind, fileName: String, mimeType: String, size: Int, objectKey: ObjectKey) {
            self.type = type; self.fileName = fileName; self.mimeType = mimeType; self.size = size; self.objectKey = objectKey
        }
    }
    /// Where the agent's web search comes from.
    public enum WebSearch: String, Codable, Sendable {
        /// The model's provider has a search of its own.
        case provider
        /// The gateway's `POST /search`.
        case platform
    }
    public enum SDKCommand: String, Codable, Sendable { case context, compact }

    public var invocationId: InvocationID
    public var botId: BotID
    public var userId: UserID
    public var groupJid: GroupJID
    public var botName: String
    public var channelType: ChannelType
    public var prompt: String
    public var systemPrompt: String?
    public var engine: Bot.Engine
    public var providerType: Provider.Kind
    public var model: String
    /// `https://…` or `unix:` + socket path.
    public var gatewayUrl: String
    public var grant: String
    public var deadline: Date
    public var sessionPath: String
    public var memoryPaths: MemoryPaths
    public var toolWhitelist: ToolWhitelist
    public var maxTurns: Int
    public var timezone: String
    public var attachments: [File]?
    public var isScheduledTask: Bool?
    public var isGroupChat: Bool?
    /// false: bot memory and learnings are read-only.
    public var memoryWritable: Bool?
    public var forceNewSession: Bool?
    public var resumeSessionId: String?
    public var objectsRevision: String?
    public var sdkCommand: SDKCommand?
    /// Absent = no web search.
    public var webSearch: WebSearch?
    public var mcpConfigs: [MCPConfig]?
    /// Prefixes of the user's proxy rules, without targets or values; absent = none.
    public var proxyPrefixes: [String]?
    /// Mounted or copied read-only below the session's `skills/`.
    public var skills: [SkillUse]?

    public init(
        invocationId: InvocationID, botId: BotID, userId: UserID, groupJid: GroupJID, botName: String, channelType: ChannelType, prompt: String,
        engine: Bot.Engine, providerType: Provider.Kind, model: String, gatewayUrl: String, grant: String, deadline: Date, sessionPath: String,
        memoryPaths: MemoryPaths, toolWhitelist: ToolWhitelist, maxTurns: Int, timezone: String
    ) {
        self.invocationId = invocationId; self.botId = botId; self.userId = userId; self.groupJid = groupJid; self.botName = botName
        self.channelType = channelType; self.prompt = prompt; self.engine = engine; self.providerType = providerType; self.model = model
        self.gatewayUrl = gatewayUrl; self.grant = grant; self.deadline = deadline; self.sessionPath = sessionPath
        self.memoryPaths = memoryPaths; self.toolWhitelist = toolWhitelist; self.maxTurns = maxTurns; self.timezone = timezone
    }

    public var session: SessionKey { SessionKey(botId: botId, groupJid: groupJid) }
}
