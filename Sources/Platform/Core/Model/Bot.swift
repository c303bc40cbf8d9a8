import Foundation

public enum ChannelType: String, Codable, Sendable, CaseIterable { case telegram, discord, slack, whatsapp, feishu, dingtalk, web }

/// An assistant with its own memory, channels, tools and model. Fields and limits: API.md §3.1, §3.3.
public struct Bot: Entity {
    public enum Status: String, Codable, Sendable { case created, active, paused, deleted }
    public enum Engine: String, Codable, Sendable { case native, claudeCode = "claude-code" }
    public enum DuringRun: String, Codable, Sendable { case queue, steer }
    public struct ContainerConfig: Codable, Sendable, Hashable {
        public var maxTurns: Int
        public var timeoutSeconds: Int
        public var maxRunTokens: Int?
        public init(maxTurns: Int = 50, timeoutSeconds: Int = 1800, maxRunTokens: Int? = nil) {
            self.maxTurns = maxTurns; self.timeoutSeconds = timeoutSeconds; self.maxRunTokens = maxRunTokens
        }
    }
    public struct Egress: Codable, Sendable, Hashable {
        public enum Default: String, Codable, Sendable { case allow, deny }
        public var `default`: Default
        public var allow: [String]
        public var deny: [String]
        public init(default: Default = .allow, allow: [String] = [], deny: [String] = []) { self.default = `default`; self.allow = allow; self.deny = deny }
    }

    public var botId: BotID
    public var userId: UserID
    public var name: String
    public var description: String?
    public var systemPrompt: String?
    public var triggerPattern: String
    public var providerId: ProviderID?
    public var modelId: String?
    public var engine: Engine
    public var status: Status
    public var timezone: String
    public var duringRun: DuringRun
    public var memoryOpenToGroups: Bool
    public var containerConfig: ContainerConfig
    public var toolWhitelist: ToolWhitelist
    public var egress: Egress
    /// Servers of the platform's library that it uses, also those that are disabled there; nil = none.
    public var mcpServers: [MCPServerID]?
    /// Skills of the platform's library that it has, also those that are disabled there; nil = none.
    public var skills: [SkillID]?
    public var groupCount: Int
    public var taskCount: Int
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date

    public init(botId: BotID, userId: UserID, name: String, at now: Date) {
        self.botId = botId; self.userId = userId; self.name = name
        triggerPattern = "@\(name)"
        engine = .native
        status = .created
        timezone = "UTC"
        duringRun = .queue
        memoryOpenToGroups = false
        containerConfig = ContainerConfig()
        toolWhitelist = ToolWhitelist()
        egress = Egress()
        groupCount = 0; taskCount = 0; revision = 0
        createdAt = now; updatedAt = now
    }

    public static let table = Tables.bots
    public static func key(_ userId: UserID, _ botId: BotID) -> RecordKey { RecordKey(table, userId.rawValue, botId.rawValue) }
    public var key: RecordKey { Self.key(userId, botId) }
}

/// Which MCP tools and skills a bot may use. `…Enabled` = restrict to the list.
public struct ToolWhitelist: Codable, Sendable, Hashable {
    public var mcpToolsEnabled: Bool
    public var skillsEnabled: Bool
    public var allowedMcpTools: [String]
    public var allowedSkills: [String]
    public init(mcpToolsEnabled: Bool = false, skillsEnabled: Bool = false, allowedMcpTools: [String] = [], allowedSkills: [String] = []) {
        self.mcpToolsEnabled = mcpToolsEnabled; self.skillsEnabled = skillsEnabled
        self.allowedMcpTools = allowedMcpTools; self.allowedSkills = allowedSkills
    }

    /// Whether a full tool name (`mcp__slug__tool`) is allowed: byte-equal, or under a pattern that ends in `*` (SEC-88).
    public func allows(tool: String) -> Bool {
        guard mcpToolsEnabled, tool.hasPrefix("mcp__") else { return true }
        return allowedMcpTools.contains { pattern in
            guard pattern.hasSuffix("*") else { return pattern.utf8.elementsEqual(tool.utf8) }
            let stem = pattern.dropLast()
            let slugEnd = stem.dropFirst(5).range(of: "__")
            return slugEnd != nil && tool.utf8.starts(with: stem.utf8)
        }
    }
}
