import Channels
import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import Platform
import Synchronization
import Testing

@testable import WebAPI

/// A platform on in-memory stores with two tenants and an administrator, behind the real front door.
struct World: Sendable {
    let time: ManualTime
    let records: InMemoryRecordStore
    let objects = InMemoryObjectStore()
    let secrets = InMemorySecretStore()
    let live = InMemoryLiveEvents()
    let chat = RecordingChat()
    let webhooks = RecordingWebhooks()
    let telegram: ScriptedChannel
    let events: EventLog
    let bots: BotService
    let api: API
    let history: MemoryHistory
    let readiness: Readiness
    let verifier: TestTokens
    let users: PlainUserAdministration
    let server: WebServer

    static let alice = UserID("01ALICE0000000000000000000"), bob = UserID("01B0B000000000000000000000"), root = UserID("01R00T00000000000000000000")

    init(
        limits: [RateLimits.Bucket: Int] = [:], cors: [String] = [], proxies: [String] = [], origin: Secret? = nil, telegram: ScriptedChannel = ScriptedChannel(),
        publicURL: String = "http://127.0.0.1:8787", checks: [Readiness.Check] = []
    ) async throws {
        time = ManualTime(Date())
        records = InMemoryRecordStore(time: time)
        let base = URL(string: publicURL)!
        self.telegram = telegram
        events = EventLog(records: records, live: live, time: time)
        let scheduler = QuietScheduler()
        let channels = ChannelService(
            records: records, secrets: secrets, registry: ChannelRegistry([telegram]), publicBaseURL: base, stage: "test", time: time)
        bots = BotService(records: records, scheduler: scheduler, channels: channels, time: time)
        verifier = TestTokens(time: time)
        users = PlainUserAdministration(records: records, time: time)
        let egress = EgressGuard(resolver: FixedResolver(), allowsLocalProviders: true)
        history = MemoryHistory(objects: objects, time: time)
        let proxyRules = ProxyRuleService(records: records, secrets: secrets, egress: egress, stage: "test", time: time)
        let providers = ProviderService(
            records: records, secrets: secrets, stage: "test", egress: egress,
            probe: { _, _, _ in ProviderService.TestResult(ok: true, latency: .milliseconds(3)) }, time: time)
        let mcpLibrary = MCPLibrary(records: records, secrets: secrets, stage: "test", egress: egress, time: time)
        let skills = SkillCatalogue(records: records, objects: objects, git: GitImport(egress: egress, program: nil), time: time)
        api = API(
            APIServices(
                records: records, bots: bots, channels: channels, groups: GroupService(records: records), memory: MemoryService(objects: objects, history: history),
                files: FileService(objects: objects), providers: providers, tasks: TaskService(records: records, scheduler: scheduler, time: time),
                proxyRules: proxyRules, mcpLibrary: mcpLibrary,
                mcpServers: BotMCPServers(records: records, secrets: secrets, library: mcpLibrary, stage: "test", egress: egress, time: time),
                skills: skills, botSkills: BotSkills(records: records, catalogue: skills, time: time), plans: PlanService(records: records, time: time), userDeletion: UserDeletion(records: records, bots: bots, time: time),
                chat: chat, webhooks: webhooks, events: events, live: live, signIn: ScriptedSignIn(), users: users, verifier: verifier,
                deadLetters: DeadLetterBook(records: records, inbound: InMemoryMessageQueue(), replies: InMemoryMessageQueue(), time: time),
                keys: PlatformKeys(roots: [Data(repeating: 7, count: 32)]), time: time),
            facts: DeploymentFacts(version: "test", issuer: base, sandboxed: true))
        readiness = Readiness(checks, time: time)
        server = try WebServer(
            WebServerConfiguration(publicBaseURL: base, corsOrigins: cors, trustedProxies: proxies, originSecret: origin), routes: api.routes,
            verifier: verifier, records: records, readiness: readiness, limits: RateLimits(limits: limits, time: time), time: time,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        for (id, mail, admin) in [(Self.alice, "alice@example.com", false), (Self.bob, "bob@example.com", false), (Self.root, "root@example.com", true)] {
            var user = User(userId: id, email: mail, plan: .pro, isAdmin: admin, at: time.now())
            if admin { user.quota.maxBots = 0 }
            try await records.put(user)
        }
    }

    /// Sends one request straight to the front door.
    func send(
        _ method: HTTPRequest.Method, _ path: String, as user: UserID? = World.alice, json: String? = nil, body: Data? = nil, headers: HTTPFields = [:]
    ) async throws -> Reply {
        var headers = headers
        if let user { headers[.authorization] = "Bearer \(user.rawValue)" }
        if json != nil, headers[.contentType] == nil { headers[.contentType] = "application/json" }
        let bytes = json.map { ByteBuffer(string: $0) } ?? body.map { ByteBuffer(bytes: $0) }
        let sent = headers
        let reply = try await server.application().test(.router) { client in
            try await client.execute(uri: path, method: method, headers: sent, body: bytes) { response in
                Reply(status: response.status.code, headers: response.headers, body: Data(response.body.readableBytesView))
            }
        }
        #expect(SchemaCheck.violations(reply, method, path, RouteTable(server.routes)).isEmpty)
        return reply
    }

    func bot(of user: UserID = World.alice, name: String = "Rosa") async throws -> Bot { try await bots.create(for: user, ["name": .string(name)]) }

    /// A web conversation of a bot with so many messages.
    func conversation(_ bot: Bot, _ name: String = "main", messages: Int = 0) async throws -> Group {
        let group = Group(botId: bot.botId, groupJid: GroupJID("web:\(name)"), userId: bot.userId, name: name, channelType: .web, isGroup: false, at: time.now())
        try await records.put(group)
        for index in 0..<messages {
            var message = Message(
                botId: bot.botId, groupJid: group.groupJid, messageId: MessageID("m-\(index)"), timestamp: time.now() + Double(index), sender: "a",
                senderName: "A", content: "text \(index)", isBotMessage: false, channelType: .web, isGroup: false, state: .answered)
            message.trace = [TraceStep(.ingest, at: time.now())]
            try await records.put(message)
        }
        return group
    }
}

struct Reply: Sendable {
    var status: Int
    var headers: HTTPFields
    var body: Data
    var text: String { String(decoding: body, as: UTF8.self) }
    var json: Value { (try? JSON.value(body)) ?? .null }
    var slug: String? { json["type"]?.string?.split(separator: ":").last.map(String.init) }
    var errorFields: [String] { (json["errors"]?.array ?? []).compactMap { $0["field"]?.string } }
    var items: [Value] { json["items"]?.array ?? [] }
}

/// A token is the user's id; what happened to accounts is set by the test.
final class TestTokens: TokenVerifier {
    private struct State { var suspended: Set<UserID> = []; var revoked: Set<UserID> = []; var lifetime = 900.0; var born: Date }
    private let state: Mutex<State>
    private let time: any TimeSource
    init(time: any TimeSource) { self.time = time; state = Mutex(State(born: time.now())) }
    func suspend(_ user: UserID) { state.withLock { _ = $0.suspended.insert(user) } }
    func revoke(_ user: UserID) { state.withLock { _ = $0.revoked.insert(user) } }

    func verify(_ token: String) async throws -> VerifiedIdentity {
        guard [World.alice, World.bob, World.root].map(\.rawValue).contains(token) else { throw TokenError.invalid }
        let id = UserID(token)
        return try state.withLock { state in
            if state.suspended.contains(id) { throw TokenError.suspended }
            if state.revoked.contains(id) { throw TokenError.invalid }
            let ends = state.born + state.lifetime
            guard time.now() < ends + 60 else { throw TokenError.expired }
            return VerifiedIdentity(userId: id, email: nil, isAdmin: id == World.root, issuedAt: state.born, expiresAt: ends)
        }
    }
}

final class RecordingChat: ChatDoor {
    let sent = Mutex<[String]>([])
    func send(user: UserID, bot: Bot, content: String, conversationId: String, attachments: [ObjectKey], idempotencyKey: String?) async throws -> ChatAccepted {
        guard bot.status != .paused else { throw ChatRefusal.paused }
        let number = sent.withLock { sent in sent.append(content); return sent.count }
        return ChatAccepted(messageId: MessageID("c-\(number)"), groupJid: GroupJID("web:\(conversationId)"), conversationId: conversationId, timestamp: Date())
    }
}

final class RecordingWebhooks: WebhookDoor {
    let seen = Mutex<[WebhookRequest]>([])
    let refusal = Mutex<WebhookDoorError?>(nil)
    func accept(_ type: ChannelType, _ bot: BotID, _ request: WebhookRequest) async throws -> WebhookAnswer {
        seen.withLock { $0.append(request) }
        if let refusal = refusal.withLock({ $0 }) { throw refusal }
        return WebhookAnswer(body: #"{"ok":true}"#)
    }
}

struct QuietScheduler: Scheduler {
    func put(_ schedule: TaskSchedule) async throws {}
    func remove(_ botId: BotID, _ taskId: TaskID) async throws {}
    func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {}
    func probe() async throws {}
}

struct ScriptedSignIn: SignInService {
    static let pair = TokenPair(
        accessToken: Secret("access"), expiresIn: 900, refreshToken: Secret("refresh"), refreshExpiresIn: 2_592_000, userId: World.alice)
    func login(email: String, password: Secret, requestId: String) async throws -> SignInOutcome {
        switch password.reveal() {
        case "right password": .tokens(Self.pair)
        case "temporary": .challenge(name: "NEW_PASSWORD_REQUIRED", token: Secret("challenge"), expiresIn: 600)
        default: throw SignInError.invalidCredentials
        }
    }
    func refresh(_ token: Secret, retryKey: Secret?, requestId: String) async throws -> TokenPair {
        switch token.reveal() {
        case "refresh": return Self.pair
        case "old": throw SignInError.tokenReused
        default: throw SignInError.invalidToken
        }
    }
    func logout(_ token: Secret, everywhere: Bool, requestId: String) async throws {}
    func changePassword(of user: UserID, current: Secret, new: Secret, requestId: String) async throws -> TokenPair {
        guard current.reveal() == "right password" else { throw SignInError.invalidCredentials }
        guard new.reveal().count >= 12 else { throw SignInError.weakPassword("At least 12 characters.") }
        return Self.pair
    }
    func changePassword(challenge: Secret, new: Secret, requestId: String) async throws -> SignInOutcome { .tokens(Self.pair) }
    func account(_ user: UserID) async throws -> User { throw SignInError.invalidToken }
    func pay(challenge: Secret, code: String, requestId: String) async throws -> (pair: TokenPair, recoveryCodes: [Secret]?) { throw SignInError.invalidCode }
    func enrol(challenge: Secret) async throws -> SecondFactorSecret { throw SignInError.invalidToken }
    func enrol(_ user: UserID, currentPassword: Secret, requestId: String) async throws -> SecondFactorSecret { throw SignInError.invalidCredentials }
    func confirmSecondFactor(of user: UserID, code: String, requestId: String) async throws -> [Secret] { throw SignInError.invalidCode }
    func removeSecondFactor(of user: UserID, currentPassword: Secret, code: String, requestId: String) async throws { throw SignInError.invalidCode }
    func publicKeys() async throws -> Value { .object(["keys": .array([])]) }
}

/// Accounts as records, without passwords; what the real ones do is proved in IdentityTests.
struct PlainUserAdministration: UserAdministration {
    let records: InMemoryRecordStore
    let time: ManualTime

    func create(email: String, displayName: String?, plan: Plan, isAdmin: Bool, by admin: Administrator) async throws -> (user: User, temporaryPassword: Secret?) {
        let taken = try await records.query(User.self, RecordQuery(Tables.users, index: Tables.emailIndex, partition: email, limit: 1)).items
        guard taken.isEmpty else { throw UserAdministrationError.emailInUse }
        let user = User(userId: UserID(ULID.make(at: time.now())), email: email, displayName: displayName, plan: plan, isAdmin: isAdmin, at: time.now())
        try await records.put(user)
        return (user, Secret("temporary"))
    }
    func setStatus(_ status: User.Status, of user: UserID, by admin: Administrator) async throws {
        if user == admin.userId { throw UserAdministrationError.selfModification }
        try await records.update(User.key(user), [.set("status", .string(status.rawValue))], if: .recordExists)
    }
    func resetPassword(of user: UserID, by admin: Administrator) async throws -> Secret? { Secret("temporary") }
    func delete(_ user: UserID, by admin: Administrator) async throws {
        if user == admin.userId { throw UserAdministrationError.selfModification }
        try await records.update(User.key(user), [.set("status", "deleted")], if: .recordExists)
    }
}

/// Names with the addresses that a test needs; others do not exist.
struct FixedResolver: HostResolver {
    func addresses(of host: String) async throws -> [String] {
        ["api.example.com": ["93.184.215.14"], "rebind.example.com": ["93.184.215.14", "127.0.0.1"], "inside.example.com": ["10.0.0.5"]][host] ?? []
    }
}

/// A Telegram whose answers the test writes.
final class ScriptedChannel: ChannelAdapter {
    let type = ChannelType.telegram
    let capabilities = ChannelCapabilities(guidance: "", showsTyping: false)
    let connectError = Mutex<ChannelSetupError?>(nil)
    let registerError = Mutex<ChannelSetupError?>(nil)
    let checkResult = Mutex(ChannelCheck(.healthy))
    let account = Mutex("4711")
    let disconnected = Mutex(0)

    func connect(_ draft: ChannelDraft) async throws -> VendorAccount {
        if let error = connectError.withLock({ $0 }) { throw error }
        return VendorAccount(
            accountId: account.withLock { $0 }, accountName: "rosa_bot", mode: .polling,
            credentials: draft.credentials.merging(["webhookSecret": Secret("made")]) { $1 }, config: draft.config, setupInstructions: ["Press Start."])
    }
    func register(_ channel: ConnectedChannel) async throws { if let error = registerError.withLock({ $0 }) { throw error } }
    func disconnect(_ channel: ConnectedChannel) async { disconnected.withLock { $0 += 1 } }
    func check(_ channel: ConnectedChannel) async -> ChannelCheck { checkResult.withLock { $0 } }
    func verify(_ request: WebhookRequest, for channel: ConnectedChannel, at now: Date) throws -> VerifiedEvent { throw WebhookRefusal.unverified }
    func parse(_ event: VerifiedEvent, for channel: ConnectedChannel) throws -> ParsedWebhook { throw WebhookRefusal.malformed }
    func run(_ channel: ConnectedChannel, state: Value?, saveState: @escaping @Sendable (Value) async -> Void, into sink: any InboundSink) async throws {}
    func render(_ markdown: String, for group: Group) -> [Chunk] { [] }
    func send(_ chunk: Chunk, to target: ReplyTarget, key: String) async throws(SendFailure) -> String { key }
    func sendFile(_ file: OutboundFile, to target: ReplyTarget, key: String) async throws(SendFailure) -> String { key }
    func setActivity(_ activity: Activity, target: ReplyTarget) async {}
    func fetch(_ attachment: Platform.Attachment, for channel: ConnectedChannel, limit: Int) async throws -> FetchedFile {
        FetchedFile(content: Data(), mimeType: "text/plain", fileName: nil)
    }
}
