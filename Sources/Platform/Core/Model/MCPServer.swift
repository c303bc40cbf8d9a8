import Foundation

/// What an MCP server is: how it is started or reached, and what it needs (API.md §3.9, `McpDef`).
public struct MCPDefinition: Codable, Sendable, Hashable {
    public enum Kind: String, Codable, Sendable, CaseIterable {
        case stdio
        /// HTTP+SSE of protocol 2024-11-05.
        case sse
        /// Streamable HTTP.
        case http
    }
    /// A variable of the server's environment, and the name of the secret that fills it.
    public struct Variable: Codable, Sendable, Hashable {
        public var name: String
        public var description: String?
        public var required: Bool?
        /// A literal, or `${secret:NAME}`; absent = the secret of the variable's own name.
        public var template: String?
        public init(name: String, description: String? = nil, required: Bool? = nil, template: String? = nil) {
            self.name = name; self.description = description; self.required = required; self.template = template
        }
    }
    /// What its author says that it offers; the server's own list counts.
    public struct Tool: Codable, Sendable, Hashable {
        public var name: String
        public var description: String?
        public init(name: String, description: String? = nil) { self.name = name; self.description = description }
    }

    public var name: String
    public var description: String?
    public var version: String?
    public var type: Kind
    public var command: String?
    public var args: [String]?
    public var npmPackages: [String]?
    public var url: String?
    public var headers: [String: String]?
    public var envVars: [Variable]?
    public var tools: [Tool]?
    public init(name: String, type: Kind) { self.name = name; self.type = type }

    /// The name as a part of tool names: lower case, `[a-z0-9_-]`, single underscores, none at the ends. May come out empty.
    public var slug: String { Self.slug(of: name) }
    public static func slug(of name: String) -> String {
        var out = ""
        for byte in name.lowercased().utf8 {
            let keep = (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2d
            if keep { out.unicodeScalars.append(Unicode.Scalar(byte)) } else if out.last != "_" { out.append("_") }
        }
        return out.trimmingCharacters(in: CharacterSet(charactersIn: "_"))
    }

    /// Names under which secrets may be stored for it: its variables, but those that a literal or another's secret fills.
    public var secretNames: [String] {
        (envVars ?? []).filter { $0.template == nil || SecretTemplate.names(in: $0.template ?? "") == [$0.name] }.map(\.name)
    }
    /// Secrets without which it cannot work.
    public var neededSecrets: [String] {
        var names: [String] = []
        for variable in envVars ?? [] where variable.required == true { names += variable.secrets }
        for value in (headers ?? [:]).values { names += SecretTemplate.names(in: value) }
        return Set(names).sorted()
    }
    /// Where its secrets go: when one of these changes, stored secrets are dropped (SEC-50).
    public func hasSameTarget(as other: MCPDefinition) -> Bool {
        type == other.type && command == other.command && url == other.url && args == other.args && npmPackages == other.npmPackages
            && headers == other.headers
    }
}

extension MCPDefinition.Variable {
    /// The secrets that fill it.
    public var secrets: [String] { template.map { SecretTemplate.names(in: $0) } ?? [name] }
}

/// Texts with `${secret:NAME}` in them. Filled in one pass: what a secret holds is never read as a template (SEC-91).
public enum SecretTemplate {
    private static let opening = "${secret:"

    /// The names that it refers to, in order.
    public static func names(in text: String) -> [String] { parts(of: text).compactMap { if case .secret(let name) = $0 { name } else { nil } } }

    /// nil when a secret is missing.
    public static func fill(_ text: String, from secrets: [String: Secret]) -> String? {
        var out = ""
        for part in parts(of: text) {
            switch part {
            case .text(let text): out += text
            case .secret(let name):
                guard let secret = secrets[name] else { return nil }
                out += secret.reveal()
            }
        }
        return out
    }

    private enum Part { case text(Substring), secret(String) }
    private static func parts(of text: String) -> [Part] {
        var parts: [Part] = [], rest = text[...]
        while let start = rest.range(of: opening), let end = rest[start.upperBound...].firstIndex(of: "}") {
            parts.append(.text(rest[..<start.lowerBound]))
            parts.append(.secret(String(rest[start.upperBound..<end])))
            rest = rest[rest.index(after: end)...]
        }
        return parts + [.text(rest)]
    }
}

/// A server of the platform's library.
public struct MCPServer: Entity {
    public enum Status: String, Codable, Sendable, CaseIterable { case active, disabled }
    public var mcpServerId: MCPServerID
    public var slug: String
    public var definition: MCPDefinition
    public var status: Status
    public var createdBy: UserID
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date
    public init(mcpServerId: MCPServerID, definition: MCPDefinition, createdBy: UserID, at now: Date) {
        self.mcpServerId = mcpServerId; self.definition = definition; slug = definition.slug; self.createdBy = createdBy
        status = .active
        revision = 0
        createdAt = now; updatedAt = now
    }
    public static let table = Tables.mcpServers
    public static func key(_ id: MCPServerID) -> RecordKey { RecordKey(table, "platform", id.rawValue) }
    public var key: RecordKey { Self.key(mcpServerId) }
}

/// A bot's use of a server: of the library, or its own.
public struct BotMCPServer: Entity {
    public var botId: BotID
    public var mcpServerId: MCPServerID
    public var enabled: Bool
    /// Only of the bot's own servers.
    public var definition: MCPDefinition?
    /// Names of the secrets that are stored.
    public var configuredSecrets: [String]
    /// Secrets that the owner lets into the sandbox (SEC-92).
    public var agentVisible: [String]
    /// Why it was not ready for the last run; nil = it was, or there was none since it was changed.
    public struct Failure: Codable, Sendable, Hashable {
        /// As the agent said it: shown to the bot's owner only, as text.
        public var reason: String
        public var at: Date
        public init(reason: String, at: Date) { self.reason = reason; self.at = at }
    }
    public var lastFailure: Failure?
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date
    public init(botId: BotID, mcpServerId: MCPServerID, definition: MCPDefinition?, enabled: Bool, at now: Date) {
        self.botId = botId; self.mcpServerId = mcpServerId; self.definition = definition; self.enabled = enabled
        configuredSecrets = []; agentVisible = []
        revision = 0
        createdAt = now; updatedAt = now
    }
    public static let table = Tables.botMcpConfigs
    public static func key(_ bot: BotID, _ id: MCPServerID) -> RecordKey { RecordKey(table, bot.rawValue, id.rawValue) }
    public var key: RecordKey { Self.key(botId, mcpServerId) }
    public static func secretName(_ stage: String, _ bot: BotID, _ id: MCPServerID) -> SecretName {
        SecretName("\(stage)/\(bot.rawValue)/mcp/\(id.rawValue)")
    }
}

/// A server as a run's payload names it (API.md §6.1, `mcpConfigs`).
public struct MCPConfig: Codable, Sendable, Hashable {
    public var mcpServerId: MCPServerID
    /// The slug.
    public var name: String
    public var type: MCPDefinition.Kind
    public var command: String?
    public var args: [String]?
    public var npmPackages: [String]?
    /// Of a remote server: its path on the gateway.
    public var url: String?
    /// Literals and what the owner made visible.
    public var envVars: [String: String]?
    /// Why it is not to be started: a sentence for the model.
    public var unavailable: String?
    public init(mcpServerId: MCPServerID, name: String, type: MCPDefinition.Kind) { self.mcpServerId = mcpServerId; self.name = name; self.type = type }
}

/// Full names of MCP tools, the same wherever they are made or checked (SEC-88).
public enum MCPToolName {
    public static let limit = 128

    /// `mcp__{slug}__{tool}`; characters that model APIs do not take become `_`. nil when nothing usable is left or it is too long.
    public static func full(slug: String, tool: String) -> String? {
        let name = "mcp__\(slug)__" + String(String.UnicodeScalarView(tool.unicodeScalars.map { $0.isASCII && isWord(UInt8($0.value)) ? $0 : "_" }))
        return !tool.isEmpty && name.utf8.count <= limit ? name : nil
    }
    /// One that no pattern of another server can match: not empty, no `__`, not the platform's own.
    public static func isSlug(_ text: String) -> Bool {
        (1...64).contains(text.utf8.count) && text != "clawbot" && !text.contains("__") && !text.hasPrefix("_") && !text.hasSuffix("_")
            && text.utf8.allSatisfy { isWord($0) && !(0x41...0x5a).contains($0) }
    }
    static func isWord(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x5f || byte == 0x2d
    }
}

extension ToolWhitelist {
    /// Whether any tool of that server could be allowed: servers without are neither started nor routed to (SEC-87).
    public func mayAllow(server slug: String) -> Bool { !mcpToolsEnabled || allowedMcpTools.contains { $0.hasPrefix("mcp__\(slug)__") } }
}
