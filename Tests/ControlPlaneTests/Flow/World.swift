import Channels
import Foundation
import Logging
import Platform
import ServiceLifecycle
import Synchronization
import Testing

@testable import ControlPlane

/// A whole control plane over in-memory ports, with a channel and agents that a test scripts.
struct World: Sendable {
    let ports: Ports
    let foundation: ControlPlane.Foundation
    let plane: ControlPlane
    let agents: ScriptedAgents
    let vendor: ScriptedChannel
    let user: User
    let bot: Bot
    let channel: ConnectedChannel

    init(
        plan: Plan = .enterprise, quota: Quota? = nil, bot change: (inout Bot) -> Void = { _ in }, vendor: ScriptedChannel = ScriptedChannel(),
        records: (any RecordStore)? = nil, node: String? = nil, observer: @escaping Observer = { _ in }
    ) async throws {
        let time = SystemTime()
        let store = records ?? InMemoryRecordStore(time: time)
        ports = Ports(
            records: store, objects: InMemoryObjectStore(time: time), inbound: InMemoryMessageQueue(time: time),
            replies: InMemoryMessageQueue(time: time), secrets: InMemorySecretStore(), scheduler: NoScheduler(), live: InMemoryLiveEvents(),
            time: time)
        var user = User(userId: UserID(ULID.make()), email: "owner@example.test", plan: plan, at: time.now())
        if let quota { user.quota = quota }
        var bot = Bot(botId: BotID(ULID.make()), userId: user.userId, name: "Claw", at: time.now())
        bot.status = .active
        change(&bot)
        var channel = Channel(
            botId: bot.botId, userId: user.userId, channelType: .telegram, channelId: ChannelID(ULID.make()), mode: .webhook, accountId: "42",
            accountName: "claw_bot", at: time.now())
        channel.healthStatus = .healthy
        var provider = Provider(providerId: Provider.demoID, name: "Demo", type: .demo, modelIds: ["demo-1"], at: time.now())
        provider.isDefault = true
        try await store.prepare(Tables.all)
        try await store.put(user)
        try await store.put(bot)
        try await store.put(channel)
        try await store.put(provider)
        self.user = user
        self.bot = bot
        self.channel = ConnectedChannel(channel: channel, credentials: [:])
        self.vendor = vendor
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        foundation = ControlPlane.Foundation(ports: ports, logger: logger, node: node, observer: observer)
        agents = ScriptedAgents(ports: ports, board: foundation.board)
        plane = ControlPlane(
            foundation, channels: ChannelRegistry([vendor, ScriptedChannel(type: .web)]), compute: agents, tasks: TaskService(records: store, scheduler: NoScheduler()), ending: NoEnding(),
            signer: GrantSigner(keys: [.init(size: .bits256)]))
    }

    /// Runs the services while `body` goes on.
    func running(_ body: @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in plane.services { group.addTask { try await service.run() } }
            try await body()
            group.cancelAll()
        }
    }

    func inbound(_ text: String, chat: Int = 7, id: Int = 1, at date: Date = Date(timeIntervalSince1970: 1_760_000_000), group: Bool = false) -> InboundMessage {
        var message = InboundMessage(
            messageId: MessageID("tg-\(id)"), groupJid: GroupJID("tg:\(chat)"), chatName: "Chat \(chat)", senderId: "9", senderName: "Ann", text: text,
            isGroup: group, timestamp: date + Double(id))
        message.mentionsBot = group
        return message
    }

    func say(_ text: String, chat: Int = 7, id: Int = 1) async throws {
        try await plane.ingest.accept(.message(inbound(text, chat: chat, id: id)), from: channel)
    }

    func session(_ chat: Int = 7) -> SessionKey { SessionKey(botId: bot.botId, groupJid: GroupJID("tg:\(chat)")) }

    func message(_ id: Int, chat: Int = 7) async throws -> Message? {
        try await MessageLookup(records: ports.records).message(MessageID("tg-\(id)"), in: session(chat))
    }

    func settled(_ id: Int, chat: Int = 7) async throws -> Message {
        try await eventually("message \(id) of chat \(chat) is settled") { try await message(id, chat: chat).flatMap { $0.state.isSettled ? $0 : nil } }
    }
}

/// Waits for a condition; the limit is only reached when something is broken.
func eventually<T: Sendable>(_ what: String, seconds: Double = 60, _ look: () async throws -> T?) async throws -> T {
    let end = Date() + seconds
    while Date() < end {
        if let value = try await look() { return value }
        try await Task.sleep(for: .milliseconds(5))
    }
    throw Never_(what: what)
}
struct Never_: Error, CustomStringConvertible { var what: String; var description: String { "it never happened that \(what)" } }

/// Agents that do what a test says, through the same records and queue as the gateway does it for real ones.
final class ScriptedAgents: AgentCompute {
    enum Act: Sendable {
        case reply(String)
        case fail(FailureCode)
        /// Ends without a word.
        case die
        /// Runs until it is stopped.
        case hang
        case full
    }
    private struct State {
        var script: [Act] = []
        var running: [SessionKey: InvocationID] = [:]
        var started: [InvocationPayload] = []
        var stops = 0
        var most = 0
    }
    private let state = Mutex(State())
    private let ports: Ports
    private let board: SettlementBoard
    init(ports: Ports, board: SettlementBoard) { self.ports = ports; self.board = board }

    func script(_ acts: Act...) { state.withLock { $0.script = acts } }
    var started: [InvocationPayload] { state.withLock { $0.started } }
    var stops: Int { state.withLock { $0.stops } }
    var mostAtOnce: Int { state.withLock { $0.most } }
    var isolation: IsolationLevel { .vm }
    func probe() async throws {}
    func retire(_ session: SessionKey) async { state.withLock { $0.running[session] = nil } }

    func start(_ invocation: InvocationPayload) async throws -> StartOutcome {
        let act = state.withLock { state -> Act in
            let act = state.script.isEmpty ? Act.reply("echo") : state.script.removeFirst()
            if case .full = act { return act }
            state.started.append(invocation)
            state.running[invocation.session] = invocation.invocationId
            state.most = max(state.most, state.running.count)
            return act
        }
        switch act {
        case .full: return .full(retryAfter: .milliseconds(20))
        case .hang: break
        case .die:
            state.withLock { $0.running[invocation.session] = nil }
            await board.idle(invocation.session)
        case .reply(let text): Task { try await self.finish(invocation, text == "echo" ? "echo: \(self.words(invocation.prompt))" : text, nil) }
        case .fail(let code): Task { try await self.finish(invocation, code.sentence, code) }
        }
        return .accepted
    }

    private func words(_ prompt: String) -> String {
        String(prompt.components(separatedBy: "</message>").dropLast().last?.components(separatedBy: ">").last ?? "")
    }

    func finish(_ invocation: InvocationPayload, _ text: String, _ code: FailureCode?) async throws {
        let final = FinalReply(sequence: 0, messageId: MessageID(ULID.make()), text: text, errorCode: code, newSessionId: "s-\(invocation.invocationId)")
        var usage = TokenUsage()
        usage.inputTokens = 10
        usage.outputTokens = 5
        do {
            try await ports.records.update(
                Session.key(invocation.session),
                [.set("run.final", .object(try DocumentCoder.encode(final))), .set("run.usage", .object(try DocumentCoder.encode(usage)))],
                if: .and([.equals("run.invocationId", .value(.string(invocation.invocationId.rawValue))), .absent("run.final"), .equals("run.stopped", false)]))
        } catch RecordStoreError.conditionFailed {
            state.withLock { $0.running[invocation.session] = nil }
            return
        }
        let reply = ReplyPayload(
            session: invocation.session, userId: invocation.userId, at: ports.time.now(), channelType: invocation.channelType,
            invocationId: invocation.invocationId, sequence: 0, messageId: final.messageId, text: text, settles: .run(invocation.invocationId))
        try await ports.replies.send(JSON.text(reply), group: invocation.session.partition, deduplicationID: "\(invocation.invocationId)#0")
        state.withLock { if $0.running[invocation.session] == invocation.invocationId { $0.running[invocation.session] = nil } }
        await board.idle(invocation.session)
    }

    func stop(_ session: SessionKey, invocation: InvocationID?) async {
        state.withLock { $0.stops += 1; $0.running[session] = nil }
        await board.idle(session)
    }
    func status(_ session: SessionKey) async -> SessionStatus {
        state.withLock { $0.running[session].map { .running($0) } ?? .idle }
    }
}

/// A channel whose vendor accepts or refuses as a test says, and remembers what it was sent.
final class ScriptedChannel: ChannelAdapter {
    let type: ChannelType
    private struct State { var sent: [(group: String, text: String)] = []; var failures: [SendFailure] = [] }
    private let state = Mutex(State())
    init(type: ChannelType = .telegram) { self.type = type }

    var capabilities: ChannelCapabilities { ChannelCapabilities(guidance: "", showsTyping: false) }
    func failNext(_ failures: SendFailure...) { state.withLock { $0.failures = failures } }
    var sent: [(group: String, text: String)] { state.withLock { $0.sent } }
    func texts(_ chat: Int = 7) -> [String] { sent.filter { $0.group == "tg:\(chat)" }.map(\.text) }

    func connect(_ draft: ChannelDraft) async throws -> VendorAccount { throw ChannelSetupError.unsupported("test") }
    func register(_ channel: ConnectedChannel) async throws {}
    func disconnect(_ channel: ConnectedChannel) async {}
    func check(_ channel: ConnectedChannel) async -> ChannelCheck { ChannelCheck(.healthy) }
    func verify(_ request: WebhookRequest, for channel: ConnectedChannel, at now: Date) throws -> VerifiedEvent { throw WebhookRefusal.unverified }
    func parse(_ event: VerifiedEvent, for channel: ConnectedChannel) throws -> ParsedWebhook { throw WebhookRefusal.malformed }
    func run(_ channel: ConnectedChannel, state: Value?, saveState: @escaping @Sendable (Value) async -> Void, into sink: any InboundSink) async throws {}
    func render(_ markdown: String, for group: Group) -> [Chunk] { markdown.split(separator: "|").map { Chunk(text: String($0), plain: String($0)) } }
    func send(_ chunk: Chunk, to target: ReplyTarget, key: String) async throws(SendFailure) -> String {
        let failure = state.withLock { $0.failures.isEmpty ? nil : $0.failures.removeFirst() }
        if let failure { throw failure }
        return state.withLock {
            $0.sent.append((target.groupJid.rawValue, chunk.text.isEmpty ? chunk.plain : chunk.text))
            return "v\($0.sent.count)"
        }
    }
    func sendFile(_ file: OutboundFile, to target: ReplyTarget, key: String) async throws(SendFailure) -> String {
        state.withLock { $0.sent.append((target.groupJid.rawValue, "file:\(file.name)")); return "f\($0.sent.count)" }
    }
    func setActivity(_ activity: Activity, target: ReplyTarget) async {}
    func fetch(_ attachment: Platform.Attachment, for channel: ConnectedChannel, limit: Int) async throws -> FetchedFile {
        FetchedFile(content: Data("file".utf8), mimeType: "text/plain", fileName: nil)
    }
}

struct NoScheduler: Scheduler {
    func put(_ schedule: TaskSchedule) async throws {}
    func remove(_ botId: BotID, _ taskId: TaskID) async throws {}
    func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {}
    func probe() async throws {}
}
struct NoEnding: RunEnding { func end(_ invocation: InvocationID) async -> TokenUsage? { nil } }
