/// One key of the configuration file, as the table declares it (`ConfigurationKey.table`).
public struct ConfigurationKey: Sendable, Hashable {
    public enum Kind: Sendable, Hashable {
        case text
        /// A text that must be one of these.
        case choice([String])
        case integer(ClosedRange<Int>)
        /// A sequence in YAML, comma-separated in the environment.
        case list
        /// A text that is never shown and may also come from the file named in `<variable>_FILE`.
        case secret
    }

    /// `server.publicBaseURL`
    public let name: String
    public let kind: Kind
    /// Nil where the value is optional or depends on other keys.
    public let fallback: String?
    /// `CLAWBOT_SERVER_PUBLIC_BASE_URL`
    public let variable: String
    /// Whether the key may stand in the file; the well-known variables (`ADMIN_EMAIL`, `ANTHROPIC_API_KEY`) may not.
    public let inFile: Bool

    init(_ name: String, _ kind: Kind, _ fallback: String? = nil) {
        self.name = name; self.kind = kind; self.fallback = fallback
        variable = Self.variable(for: name)
        inFile = true
    }
    init(variable: String, _ kind: Kind, _ fallback: String? = nil) {
        name = variable; self.kind = kind; self.fallback = fallback; self.variable = variable
        inFile = false
    }

    var isSecret: Bool { kind == .secret }
    var components: [String] { name.split(separator: ".").map(String.init) }

    /// Dots and humps become `_`, all upper case: the encoding of swift-configuration's environment provider, under `CLAWBOT_`.
    static func variable(for name: String) -> String {
        var text = "CLAWBOT_"
        var previous: Character?
        for character in name {
            if character.isUppercase, previous?.isLowercase == true { text.append("_") }
            text += character.isLetter || character.isNumber ? character.uppercased() : "_"
            previous = character
        }
        return text
    }
}

extension ConfigurationKey {
    /// Every key there is (ARCHITECTURE.md §7, CHANNELS.md, API.md §1.7). What is not here is refused.
    public static let table: [ConfigurationKey] = [
        .init("stage", .text, "local"),
        .init("dataDirectory", .text, "./data"),

        .init("server.host", .text, "127.0.0.1"),
        .init("server.port", .integer(0...65535), "8787"),
        .init("server.publicBaseURL", .text),
        .init("server.trustedProxies", .list),
        .init("server.corsOrigins", .list),
        .init("server.agentPort", .integer(1...65535)),
        .init("server.tls.certificateFile", .text),
        .init("server.tls.keyFile", .text),

        .init("records.backend", .choice(["sqlite", "postgres", "dynamodb"]), "sqlite"),
        .init("queue.backend", .choice(["sqlite", "postgres", "sqs"]), "sqlite"),
        .init("scheduler.backend", .choice(["sqlite", "postgres", "eventbridge"]), "sqlite"),
        .init("scheduler.graceMinutes", .integer(0...10_080), "60"),
        .init("objects.backend", .choice(["filesystem", "postgres", "s3"]), "filesystem"),
        .init("live.backend", .choice(["memory", "postgres", "none"]), "memory"),

        .init("secrets.backend", .choice(["records", "secretsmanager"]), "records"),
        .init("secrets.masterKeyFile", .text),
        .init("secrets.masterKeyCommand", .text),

        .init("compute.backend", .choice(["process", "container", "ecs", "agentcore"])),
        .init("compute.sandbox", .choice(["bubblewrap", "none"])),
        .init("compute.minWarmTasks", .integer(0...1000), "2"),
        .init("compute.maxTasks", .integer(1...100_000)),
        .init("compute.idleTimeoutMinutes", .integer(1...1440), "15"),
        .init("compute.memoryMB", .integer(64...1_048_576), "1024"),
        .init("compute.processes", .integer(16...65_536), "256"),
        .init("compute.fileMB", .integer(1...1_048_576), "100"),
        .init("compute.workspaceMB", .integer(1...1_048_576), "2048"),
        .init("compute.readOnlyPaths", .list),
        .init("compute.claudeCLI", .text),

        .init("identity.backend", .choice(["local", "cognito"]), "local"),
        .init("identity.issuer", .text),
        .init("identity.clientId", .text),
        .init("identity.remote", .text),
        .init("identity.adminSecondFactor", .choice(["optional", "required"])),

        .init("postgres.url", .secret),
        .init("aws.region", .text),

        .init("channels.telegram.apiBaseURL", .text, "https://api.telegram.org"),
        .init("channels.telegram.fileBaseURL", .text),
        .init("channels.discord.apiBaseURL", .text, "https://discord.com/api/v10"),
        .init("channels.discord.gatewayURL", .text),
        .init("channels.discord.cdnHosts", .list, "cdn.discordapp.com,media.discordapp.net"),
        .init("channels.slack.apiBaseURL", .text, "https://slack.com/api"),
        .init("channels.slack.fileHosts", .list, "files.slack.com"),
        .init("channels.whatsapp.graphBaseURL", .text, "https://graph.facebook.com"),
        .init("channels.whatsapp.graphVersion", .text, "v26.0"),
        .init("channels.whatsapp.mediaHosts", .list, "lookaside.fbsbx.com"),
        .init("channels.feishu.feishuBaseURL", .text, "https://open.feishu.cn"),
        .init("channels.feishu.larkBaseURL", .text, "https://open.larksuite.com"),
        .init("channels.feishu.socketHost", .text),
        .init("channels.dingtalk.apiBaseURL", .text, "https://api.dingtalk.com"),
        .init("channels.dingtalk.legacyBaseURL", .text, "https://oapi.dingtalk.com"),
        .init("channels.dingtalk.mediaHosts", .list, "*.dingtalk.com,*.dingtalk.io,*.aliyuncs.com,*.alicdn.com"),

        .init("tools.search.baseURL", .text),
        .init("tools.search.apiKey", .secret),
        .init("tools.search.command", .text),
        .init("tools.transcription.baseURL", .text),
        .init("tools.transcription.apiKey", .secret),
        .init("tools.transcription.command", .text),

        .init("egress.privateTargets", .list),
        .init("retention.deletedDays", .integer(0...3650), "30"),

        .init("limits.apiPerMinute", .integer(1...10_000_000), "600"),
        .init("limits.chatPerMinute", .integer(1...10_000_000), "30"),
        .init("limits.providerCallsPerMinute", .integer(1...10_000_000), "10"),
        .init("limits.loginPerMinute", .integer(1...10_000_000), "20"),
        .init("limits.unauthenticatedPerMinute", .integer(1...10_000_000), "300"),
        .init("limits.webhookPerMinute", .integer(1...10_000_000), "1200"),
        .init("limits.gatewayPerMinute", .integer(1...10_000_000), "1200"),
        .init("limits.gatewayConcurrent", .integer(1...10_000), "32"),

        .init("log.level", .choice(["trace", "debug", "info", "notice", "warning", "error", "critical"]), "info"),
        .init("log.format", .choice(["human", "json"])),
        .init("ops.token", .secret),
        .init("backup.key", .secret),
        .init("origin.verifySecret", .secret),

        .init(variable: "ADMIN_EMAIL", .text, "admin@localhost"),
        .init(variable: "ADMIN_PASSWORD", .secret),
        .init(variable: "ANTHROPIC_API_KEY", .secret),
        .init(variable: "ANTHROPIC_AUTH_TOKEN", .secret),
        .init(variable: "ANTHROPIC_BASE_URL", .text),
    ]

    static let byName = Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0) })

    /// Variables that begin with `CLAWBOT_` and are no keys: the path of the file, the key of an agent process, and what an agent is told.
    static func isReserved(_ variable: String) -> Bool {
        variable == "CLAWBOT_CONFIG" || variable == "CLAWBOT_PROCESS_KEY" || variable.hasPrefix("CLAWBOT_AGENT_")
    }
}
