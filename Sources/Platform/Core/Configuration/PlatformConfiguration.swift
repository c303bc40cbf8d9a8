import Foundation

/// The effective configuration: one YAML file, overridden key by key by the environment (ARCHITECTURE.md §7).
///
///     let configuration = try PlatformConfiguration.load(path: "configs/local.yaml")
///     for entry in configuration.explain() { … }   // for `clawbot doctor`
///
/// Without a file it is the laptop's. Reading it opens no port, makes no directory and asks no network.
public struct PlatformConfiguration: Sendable {
    public enum RecordsBackend: String, Sendable { case sqlite, postgres, dynamodb }
    public enum QueueBackend: String, Sendable { case sqlite, postgres, sqs }
    public enum SchedulerBackend: String, Sendable { case sqlite, postgres, eventbridge }
    public enum ObjectsBackend: String, Sendable { case filesystem, postgres, s3 }
    public enum LiveBackend: String, Sendable { case memory, postgres, none }
    public enum SecretsBackend: String, Sendable { case records, secretsmanager }
    public enum ComputeBackend: String, Sendable { case process, container, ecs, agentcore }
    public enum Sandbox: String, Sendable { case bubblewrap, none }
    public enum IdentityBackend: String, Sendable { case local, cognito }
    /// Whether administrators need a second factor (SEC-12): usually where others can reach the server.
    public enum SecondFactorPolicy: String, Sendable { case optional, required }
    public enum LogFormat: String, Sendable { case human, json }

    public struct Server: Sendable {
        public var host: String
        /// 0 = any free one.
        public var port: Int
        /// Without a trailing slash. Nil only when `port` is 0 and no URL was given: then it is known after binding.
        public var publicBaseURL: String?
        public var trustedProxies: [NetworkBlock]
        public var corsOrigins: [String]
        /// Private TLS listener for remote agents.
        public var agentPort: Int?
        public var tls: TLS?
        public var isLoopback: Bool { NetworkBlock.isLoopback(host: host) }
    }
    public struct TLS: Sendable { public var certificateFile: String; public var keyFile: String }

    public struct Scheduling: Sendable {
        public var backend: SchedulerBackend
        /// A missed time younger than this fires once on return.
        public var grace: Duration
    }
    public struct Secrets: Sendable {
        public var backend: SecretsBackend
        /// Nil without a command = a file in the data directory, made at first start.
        public var masterKeyFile: String?
        /// Prints the key; run through `/bin/sh -c`.
        public var masterKeyCommand: String?
    }
    public struct Compute: Sendable {
        public var backend: ComputeBackend
        /// Of the backend `process` only.
        public var sandbox: Sandbox
        public var minWarmTasks: Int
        public var maxTasks: Int
        public var idleTimeout: Duration
        /// Limits of one agent (SEC-62); sizes in units of 1,048,576 bytes.
        public var memoryMB: Int
        public var processes: Int
        public var fileMB: Int
        public var workspaceMB: Int
        /// Absolute directories of the host that every sandbox sees at the same place, read-only: programs for MCP servers and tools.
        public var readOnlyPaths: [String]
        /// The `claude` CLI, for bots with the engine `claude-code`; nil = the one on PATH, if any.
        public var claudeCLI: String?
    }
    public struct Identity: Sendable {
        public var backend: IdentityBackend
        /// Nil = the public base URL, once it is known.
        public var issuer: String?
        /// Cognito only.
        public var clientId: String?
        /// Base URL of a `clawbot auth` process that keeps the accounts; nil = this process does.
        public var remote: String?
        public var adminSecondFactor: SecondFactorPolicy
    }
    public struct Channels: Sendable {
        public struct Telegram: Sendable { public var apiBaseURL: String; public var fileBaseURL: String }
        public struct Discord: Sendable { public var apiBaseURL: String; public var gatewayURL: String?; public var cdnHosts: [String] }
        public struct Slack: Sendable { public var apiBaseURL: String; public var fileHosts: [String] }
        public struct WhatsApp: Sendable { public var graphBaseURL: String; public var graphVersion: String; public var mediaHosts: [String] }
        public struct Feishu: Sendable { public var feishuBaseURL: String; public var larkBaseURL: String; public var socketHost: String? }
        public struct DingTalk: Sendable { public var apiBaseURL: String; public var legacyBaseURL: String; public var mediaHosts: [String] }
        public var telegram: Telegram
        public var discord: Discord
        public var slack: Slack
        public var whatsapp: WhatsApp
        public var feishu: Feishu
        public var dingtalk: DingTalk
    }
    /// Something that the platform asks for the agent: an HTTP endpoint or a command.
    public enum ExternalTool: Sendable { case endpoint(baseURL: String, apiKey: Secret?), command(String) }
    public struct Tools: Sendable { public var search: ExternalTool?; public var transcription: ExternalTool? }

    /// A private address that one consumer may call (SEC-44): `providers=10.1.2.3:443`. `proxy` is for users' proxy rules, `egress` for the
    /// commands of every agent.
    public struct PrivateTarget: Sendable, Hashable {
        public enum Consumer: String, Sendable, CaseIterable { case providers, channels, search, transcription, identity, proxy, egress }
        public var consumer: Consumer
        public var host: String
        public var port: Int
    }
    /// Requests in a sliding window of 60 s (API.md §1.7).
    public struct Limits: Sendable {
        public var apiPerMinute: Int
        public var chatPerMinute: Int
        public var providerCallsPerMinute: Int
        public var loginPerMinute: Int
        public var unauthenticatedPerMinute: Int
        public var webhookPerMinute: Int
        public var gatewayPerMinute: Int
        /// Gateway calls of one invocation at once.
        public var gatewayConcurrent: Int
    }
    public struct Log: Sendable {
        public var level: String
        /// Nil = human on a terminal, else JSON.
        public var format: LogFormat?
    }
    public struct Admin: Sendable {
        public var email: String
        /// Nil = generated at first start, printed once and to be changed at the first log-in.
        public var password: Secret?
    }
    /// What makes the default provider at first start; nothing set = the demo provider.
    public struct Anthropic: Sendable {
        public var apiKey: Secret?
        public var authToken: Secret?
        public var baseURL: String?
        public var isConfigured: Bool { apiKey != nil || authToken != nil }
    }

    public var stage: String
    public var dataDirectory: String
    public var server: Server
    public var records: RecordsBackend
    public var queue: QueueBackend
    public var scheduler: Scheduling
    public var objects: ObjectsBackend
    public var live: LiveBackend
    public var secrets: Secrets
    public var compute: Compute
    public var identity: Identity
    /// May hold a password.
    public var postgresURL: Secret?
    public var awsRegion: String?
    public var channels: Channels
    public var tools: Tools
    public var privateTargets: [PrivateTarget]
    public var deletedRetentionDays: Int
    public var limits: Limits
    public var log: Log
    public var opsToken: Secret?
    public var originVerifySecret: Secret?
    /// What `clawbot backup` encrypts with and `restore` opens with; another one than the master key (SEC-127).
    public var backupKey: Secret?
    public var admin: Admin
    public var anthropic: Anthropic

    /// The file it was read from; nil = none.
    public var path: String?
    var entries: [ConfigurationEntry]

    /// Every key with its value, secrets redacted, and where it came from, in the order of the table.
    public func explain() -> [ConfigurationEntry] { entries }
}

public struct ConfigurationEntry: Sendable, Hashable {
    public let key: String
    /// `‹redacted›` for a secret; nil = not set.
    public let value: String?
    public let origin: ConfigurationOrigin
}
