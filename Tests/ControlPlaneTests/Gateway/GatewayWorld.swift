import Foundation
import NIOCore
import Platform
import Synchronization

@testable import ControlPlane

/// A tenant with a bot, a conversation and a run in it, over in-memory stores.
struct GatewayWorld {
    let time = ManualTime()
    let records: InMemoryRecordStore
    let objects: InMemoryObjectStore
    let replies: InMemoryMessageQueue
    let live = InMemoryLiveEvents()
    let secrets = InMemorySecretStore()
    let scheduler = RecordingScheduler()
    let quota: ScriptedQuota
    let provider = ScriptedProvider()
    let signer: GrantSigner
    let tasks: TaskService
    let gateway: AgentGateway
    let userId = UserID("01J00000000000000000000USR")
    let botId = BotID("01J00000000000000000000B0T")
    let group = GroupJID("web:main")
    var session: SessionKey { SessionKey(botId: botId, groupJid: group) }
    var layout: ObjectLayout { ObjectLayout(userId: userId, botId: botId) }

    init(
        tokens: Int = 1_000_000, granted: Int = 0, mcp: ((InMemoryRecordStore, InMemorySecretStore) -> MCPRelay)? = nil,
        with change: (inout AgentGateway.Hooks) -> Void = { _ in }
    ) async throws {
        records = InMemoryRecordStore(time: time)
        objects = InMemoryObjectStore(time: time)
        replies = InMemoryMessageQueue(time: time)
        quota = ScriptedQuota(granted: granted, left: tokens)
        signer = PlatformKeys(roots: [Data(repeating: 7, count: 32)]).grantSigner
        tasks = TaskService(records: records, scheduler: scheduler, time: time)
        let resolution = ProviderResolution(records: records, secrets: secrets, stage: "test", kinds: [.anthropicCompatible: provider])
        var hooks = AgentGateway.Hooks()
        hooks.mcp = mcp?(records, secrets)
        change(&hooks)
        gateway = AgentGateway(
            records: records, objects: objects, replies: replies, live: live, tasks: tasks, providers: resolution, quota: quota, signer: signer,
            time: time, hooks: hooks)
        var user = User(userId: userId, email: "a@example.org", at: time.now())
        user.quota.maxTasksPerBot = 3
        try await records.put(user)
        var bot = Bot(botId: botId, userId: userId, name: "Bo", at: time.now())
        bot.status = .active
        try await records.put(bot)
        try await records.put(Group(botId: botId, groupJid: group, userId: userId, name: "main", channelType: .web, isGroup: false, at: time.now()))
        var endpoint = Provider(providerId: ProviderID("p1"), name: "P", type: .anthropicCompatible, modelIds: ["m-1", "m-2"], at: time.now())
        endpoint.baseUrl = "http://127.0.0.1:1"
        endpoint.fallbackModelId = "m-2"
        try await records.put(endpoint)
    }

    /// Starts a run in the conversation and returns its grant.
    @discardableResult
    func start(
        _ invocation: InvocationID = InvocationID(ULID.make()), group: GroupJID? = nil, memoryWritable: Bool = true,
        change: (inout Session) -> Void = { _ in }
    ) async throws -> (token: String, id: InvocationID) {
        let key = SessionKey(botId: botId, groupJid: group ?? self.group)
        var session = Session(session: key, userId: userId)
        var run = Run(
            invocationId: invocation, attempt: 1, startedAt: time.now(), deadline: time.now() + 600, node: "n", channelType: .web, isGroup: false,
            slot: "s1",
            model: "m-1", providerId: ProviderID("p1"), toolWhitelist: ToolWhitelist())
        run.messageId = MessageID("q1")
        run.messageTimestamp = time.now()
        run.replyContext = .object(["thread": "t1"])
        session.run = run
        change(&session)
        try await records.put(session)
        return (try token(invocation, group: key.groupJid, epoch: session.epoch, memoryWritable: memoryWritable), invocation)
    }

    func token(
        _ invocation: InvocationID, group: GroupJID? = nil, epoch: Int = 0, scopes: Set<Grant.Scope> = Set(Grant.Scope.allCases),
        memoryWritable: Bool = true
    ) throws -> String {
        try signer.sign(
            Grant(
                userId: userId, botId: botId, groupJid: group ?? self.group, channelType: .web, invocationId: invocation, sessionEpoch: epoch,
                scopes: scopes,
                issuedAt: time.now(), expiresAt: time.now() + 660, memoryWritable: memoryWritable))
    }

    func run(_ token: String, _ scope: Grant.Scope = .objects) async throws -> AuthorizedRun {
        try await gateway.authorize(token: token, socketSession: nil, scope: scope)
    }
    func reply(_ token: String, _ body: [String: Value]) async throws -> MessageID {
        try await gateway.reply(token: token, socketSession: nil, body: try JSON.data(.object(body)))
    }
    func storedRun() async throws -> Run? { try await records.get(Session.self, Session.key(session))?.run }
    /// What is in the reply queue, in order.
    func queued() async throws -> [ReplyPayload] {
        var all: [ReplyPayload] = []
        while let delivery = try await replies.receive(max: 1, wait: .zero, visibility: .seconds(60)).first {
            all.append(try JSON.decode(ReplyPayload.self, from: delivery.body))
            try await replies.acknowledge(delivery.receipt)
        }
        return all
    }
    func denials() async throws -> [Denial] { try await records.all(Denial.self, RecordQuery(Denial.table, partition: botId.rawValue)) }
    func change(_ key: RecordKey, _ changes: Change...) async throws { try await records.update(key, changes) }

    /// A Messages API request.
    func request(model: String = "m-1", maxTokens: Int = 100, stream: Bool = true, text: String = "hi") -> ByteBuffer {
        ByteBuffer(string: #"{"model":"\#(model)","max_tokens":\#(maxTokens),"stream":\#(stream),"messages":[{"role":"user","content":"\#(text)"}]}"#)
    }
}

/// A ledger with so many tokens left; grants what is asked or what is left.
actor ScriptedQuota: TokenQuota {
    private var grantedTokens: Int
    private(set) var left: Int
    private(set) var topUps: [Int] = []
    init(granted: Int, left: Int) { grantedTokens = granted; self.left = left }
    func granted(_ userId: UserID, slot: String) async throws -> Int { grantedTokens }
    func topUp(_ userId: UserID, slot: String, by tokens: Int) async throws(QuotaExceeded) -> Int {
        guard left > 0 else { throw QuotaExceeded(resetsAt: Date(timeIntervalSince1970: 1_761_955_200)) }
        let given = min(tokens, left)
        left -= given
        grantedTokens += given
        topUps.append(given)
        return given
    }
}

final class RecordingScheduler: Scheduler {
    let schedules = Mutex<[TaskID: TaskSchedule]>([:])
    let refusal = Mutex<ScheduleError?>(nil)
    func put(_ schedule: TaskSchedule) async throws {
        if let refusal = refusal.withLock({ $0 }) { throw refusal }
        schedules.withLock { $0[schedule.taskId] = schedule }
    }
    func remove(_ botId: BotID, _ taskId: TaskID) async throws { schedules.withLock { $0[taskId] = nil } }
    func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws { schedules.withLock { $0[taskId]?.enabled = enabled } }
    func probe() async throws {}
}

/// Answers with what the test scripted.
final class ScriptedProvider: ModelProvider {
    typealias Answer = @Sendable (ModelCall) async throws(ModelFailure) -> ModelResponse
    private let answer = Mutex<Answer>({ _ in ScriptedProvider.stream(["hello"]) })
    let calls = Mutex<[ModelCall]>([])
    func respond(_ answer: @escaping Answer) { self.answer.withLock { $0 = answer } }
    func send(_ call: ModelCall) async throws(ModelFailure) -> ModelResponse {
        calls.withLock { $0.append(call) }
        let answer = answer.withLock { $0 }
        return try await answer(call)
    }

    static func event(_ json: String) -> ByteBuffer { ByteBuffer(string: "event: x\ndata: \(json)\n\n") }
    static func start(input: Int, cacheRead: Int = 0) -> ByteBuffer {
        event(#"{"type":"message_start","message":{"usage":{"input_tokens":\#(input),"output_tokens":1,"cache_read_input_tokens":\#(cacheRead)}}}"#)
    }
    static func text(_ text: String) -> ByteBuffer {
        event(#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\#(text)"}}"#)
    }
    static func end(output: Int) -> ByteBuffer {
        event(#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":\#(output)}}"#)
    }
    static let stop = event(#"{"type":"message_stop"}"#)

    static func stream(_ texts: [String], input: Int = 10, output: Int = 5) -> ModelResponse {
        stream { write in
            try await write(start(input: input))
            for text in texts { try await write(Self.text(text)) }
            try await write(end(output: output))
            try await write(stop)
        }
    }
    static func stream(_ body: @escaping @Sendable (_ write: ModelResponse.Writer) async throws -> Void) -> ModelResponse {
        ModelResponse(status: 200, headers: [("content-type", "text/event-stream")], body: body)
    }
}

extension ModelResponse {
    /// The whole body as text.
    func text() async throws -> String {
        var all = ByteBuffer()
        try await body { all.writeImmutableBuffer($0) }
        return String(buffer: all)
    }
}
