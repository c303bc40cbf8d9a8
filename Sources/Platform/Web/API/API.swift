import Channels
import ControlPlane
import Foundation
import Logging
import Platform

/// What the API is built from: the management services, and the doors into dispatch, identity and scheduling.
public struct APIServices: Sendable {
    public var records: any RecordStore
    public var bots: BotService
    public var channels: ChannelService
    public var groups: GroupService
    public var memory: MemoryService
    public var files: FileService
    public var providers: ProviderService
    public var tasks: TaskService
    public var proxyRules: ProxyRuleService
    public var mcpLibrary: MCPLibrary
    public var mcpServers: BotMCPServers
    public var skills: SkillCatalogue
    public var botSkills: BotSkills
    public var plans: PlanService
    public var userDeletion: UserDeletion
    public var chat: any ChatDoor
    public var webhooks: any WebhookDoor
    public var events: any ChatEventSource
    /// Absent: readers of streams look for new events every second.
    public var live: (any LiveEvents)?
    /// Absent where the issuer is somebody else's.
    public var signIn: (any SignInService)?
    public var users: any UserAdministration
    public var verifier: any TokenVerifier
    public var deadLetters: any DeadLetterAdministration
    public var notices: ManagementNotices
    public var keys: PlatformKeys
    public var time: any TimeSource

    public init(
        records: any RecordStore, bots: BotService, channels: ChannelService, groups: GroupService, memory: MemoryService, files: FileService,
        providers: ProviderService, tasks: TaskService, proxyRules: ProxyRuleService, mcpLibrary: MCPLibrary, mcpServers: BotMCPServers,
        skills: SkillCatalogue, botSkills: BotSkills, plans: PlanService, userDeletion: UserDeletion, chat: any ChatDoor, webhooks: any WebhookDoor, events: any ChatEventSource,
        live: (any LiveEvents)?, signIn: (any SignInService)?, users: any UserAdministration, verifier: any TokenVerifier,
        deadLetters: any DeadLetterAdministration, notices: ManagementNotices = ManagementNotices(), keys: PlatformKeys, time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.bots = bots; self.channels = channels; self.groups = groups; self.memory = memory; self.files = files
        self.providers = providers; self.tasks = tasks; self.proxyRules = proxyRules; self.mcpLibrary = mcpLibrary; self.mcpServers = mcpServers
        self.skills = skills; self.botSkills = botSkills; self.plans = plans; self.userDeletion = userDeletion; self.chat = chat; self.webhooks = webhooks; self.events = events; self.live = live
        self.signIn = signIn; self.users = users; self.verifier = verifier; self.deadLetters = deadLetters; self.notices = notices
        self.keys = keys; self.time = time
    }
}

/// What `/api/config` tells clients about this deployment.
public struct DeploymentFacts: Sendable {
    public var version: String
    public var issuer: URL
    /// What links to this server begin with.
    public var publicBaseURL: URL
    public var region: String
    public var sandboxed: Bool
    public var hasScheduler: Bool
    /// Somebody else's sign-in page instead of ours.
    public var usesCognito = false
    public init(version: String, issuer: URL, publicBaseURL: URL? = nil, region: String = "local", sandboxed: Bool, hasScheduler: Bool = true) {
        self.version = version; self.issuer = issuer; self.publicBaseURL = publicBaseURL ?? issuer; self.region = region; self.sandboxed = sandboxed; self.hasScheduler = hasScheduler
    }
}

/// All routes of API.md that exist so far.
public struct API: Sendable {
    let services: APIServices
    let facts: DeploymentFacts
    let paging: Paging
    let links: BlobLinks
    let slots = StreamSlots()
    let logger: Logger

    public init(_ services: APIServices, facts: DeploymentFacts, logger: Logger = Logger(label: "api")) {
        self.services = services; self.facts = facts; self.logger = logger
        paging = Paging(keys: services.keys.keys(.cursor))
        links = BlobLinks(keys: services.keys.keys(.blobLink), publicBaseURL: facts.publicBaseURL)
    }

    public var routes: [Route] {
        bootstrapRoutes + issuerRoutes + accountRoutes + botRoutes + channelRoutes + groupRoutes + taskRoutes + memoryRoutes + fileRoutes + blobRoutes
            + proxyRuleRoutes + mcpRoutes + adminMCPRoutes + skillRoutes + adminSkillRoutes + chatRoutes + webhookRoutes + adminUserRoutes + adminProviderRoutes + adminReportRoutes + deadLetterRoutes
    }

    /// Event streams open on this node.
    public var openStreams: Int { slots.count }

    /// The caller's own bot, or 404.
    func ownBot(_ call: Call) async throws -> Bot { try await services.bots.get(try call.user, call.botId) }
}

/// Web chat's way in (the control plane's ingest).
public protocol ChatDoor: Sendable {
    /// Stores and queues; returns when that is durable. Attachments are keys relative to the bot's root.
    func send(
        user: UserID, bot: Bot, content: String, conversationId: String, attachments: [ObjectKey], idempotencyKey: String?
    ) async throws -> ChatAccepted
}
public struct ChatAccepted: Sendable {
    public var messageId: MessageID
    public var groupJid: GroupJID
    public var conversationId: String
    public var timestamp: Date
    public init(messageId: MessageID, groupJid: GroupJID, conversationId: String, timestamp: Date) {
        self.messageId = messageId; self.groupJid = groupJid; self.conversationId = conversationId; self.timestamp = timestamp
    }
}
public enum ChatRefusal: Error, Sendable {
    case paused
    case quota(String)
    case missingFile(index: Int)
    /// The cause is for the log.
    case unavailable(cause: String)
}

/// A vendor's way in (the control plane's ingest).
public protocol WebhookDoor: Sendable {
    func accept(_ type: ChannelType, _ bot: BotID, _ request: WebhookRequest) async throws -> WebhookAnswer
}
public enum WebhookDoorError: Error, Sendable {
    case notFound, unverified, malformed
    /// The cause is for the log.
    case unavailable(cause: String)
}

/// What readers of web chat must not miss, in order (the control plane's event log).
public protocol ChatEventSource: Sendable {
    /// The last sequence number given out; 0 when there never was an event.
    func lastSequence(of bot: BotID) async throws -> Int
    /// Events after `sequence`, oldest first.
    func events(of bot: BotID, after sequence: Int, limit: Int) async throws -> [ChatEvent]
}
public struct ChatEvent: Sendable {
    public var sequence: Int
    public var name: String
    public var groupJid: GroupJID
    public var data: Value
    public init(sequence: Int, name: String, groupJid: GroupJID, data: Value) {
        self.sequence = sequence; self.name = name; self.groupJid = groupJid; self.data = data
    }
}

/// Messages that could not be handled.
public protocol DeadLetterAdministration: Sendable {
    /// Newest first.
    func list(limit: Int, cursor: String?, queue: DeadLetter.Queue?) async throws -> (items: [DeadLetter], cursor: String?)
    /// False when there is none of that id.
    func redrive(_ id: String, by: By) async throws -> Bool
    func delete(_ id: String, by: By) async throws -> Bool
}
