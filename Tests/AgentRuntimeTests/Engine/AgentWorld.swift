import AsyncHTTPClient
import Crypto
import Foundation
import Logging
import NIOCore
import Platform
import Synchronization
import Testing

@testable import AgentRuntime

let quietLogger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

/// A real agent process (its server and engine, in this process) against a fake gateway, each on a unix socket in a directory of its own.
struct AgentWorld: Sendable {
    let directory: URL
    let gateway: FakeGateway
    let socket: String
    let key: Secret?
    var signer = GrantSigner(keys: [SymmetricKey(size: .bits256)])
    var user = UserID(ULID.make())
    var bot = BotID(ULID.make())
    var group = GroupJID("web:main")

    var workspace: URL { directory.appendingPathComponent("workspace") }
    var groupDirectory: URL { workspace.appendingPathComponent("group") }
    var home: URL { directory.appendingPathComponent("home") }

    struct Setup: Sendable {
        var key: String? = nil
        var idle: Duration? = nil
        var session: SessionKey? = nil
        var time: any TimeSource = SystemTime()
        var options = AgentWorld.quickOptions
        /// The gateway only; the body starts agents itself.
        var withoutAgent = false
    }
    static var quickOptions: NativeEngine.Options {
        var options = NativeEngine.Options()
        options.backoff = Backoff(first: .milliseconds(5), most: .milliseconds(20))
        return options
    }

    static func with(_ setup: Setup = Setup(), _ body: @escaping @Sendable (AgentWorld) async throws -> Void) async throws {
        // Short: socket paths have at most 107 bytes.
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("cb-" + String(ULID.make().suffix(10)))
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let world = AgentWorld(
            directory: directory, gateway: FakeGateway(in: directory), socket: directory.appendingPathComponent("agent.sock").path,
            key: setup.key.map { Secret($0) })
        for path in ["workspace/group", "workspace/learnings", "workspace/shared", "workspace/attachments", "home/.claude"] {
            try FileManager.default.createDirectory(at: directory.appendingPathComponent(path), withIntermediateDirectories: true)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            let ready = Latch(setup.withoutAgent ? 1 : 2)
            group.addTask { try await world.gateway.serve { ready.arrive() } }
            if !setup.withoutAgent {
                group.addTask { try await world.runAgent(setup) { ready.arrive() } }
            }
            group.addTask {
                await ready.wait()
                try await body(world)
                throw Finished()
            }
            do {
                while let _ = try await group.next() {}
            } catch is Finished {}
            group.cancelAll()
            // What the servers say when they are cancelled is of no interest.
            while let result = await group.nextResult() { _ = result }
        }
    }
    private struct Finished: Error {}

    /// Serves until cancelled, or idle for too long.
    func runAgent(_ setup: Setup = Setup(), ready: @escaping @Sendable () -> Void) async throws {
        var environment = [
            "CLAWBOT_AGENT_SOCKET": socket, "HOME": home.path,
            "CLAWBOT_MOUNTS": try JSON.text(
                Dictionary(uniqueKeysWithValues: ["group", "learnings", "shared", "attachments"].map { ("/workspace/\($0)", workspace.path + "/\($0)") })),
        ]
        environment["CLAWBOT_SESSION"] = setup.session?.partition
        var configuration = try AgentConfiguration(environment: environment, processKey: key)
        configuration.idleTimeout = setup.idle
        configuration.options = setup.options
        try await AgentProcess.serve(configuration, time: setup.time, logger: quietLogger, handlesSignals: false, onListening: { ready() })
    }

    // MARK: Invocations

    func payload(_ prompt: String = "hello", change: (inout InvocationPayload) -> Void = { _ in }) throws -> InvocationPayload {
        let layout = ObjectLayout(userId: user, botId: bot)
        let now = Date()
        var payload = InvocationPayload(
            invocationId: InvocationID(ULID.make()), botId: bot, userId: user, groupJid: group, botName: "Clawd", channelType: .web,
            prompt: "<messages><message sender=\"Ann\" time=\"\(Timestamp.text(now))\">\(prompt)</message></messages>", engine: .native,
            providerType: .anthropicCompatible, model: "test-model", gatewayUrl: gateway.url, grant: "",
            deadline: now + 60, sessionPath: layout.sessions(group),
            memoryPaths: .init(sharedClaude: layout.sharedMemory, botClaude: layout.botMemory, groupPrefix: layout.workspace(group), learnings: layout.learnings),
            toolWhitelist: ToolWhitelist(), maxTurns: 20, timezone: "UTC")
        change(&payload)
        if payload.grant.isEmpty { payload.grant = try grant(payload) }
        return payload
    }

    func grant(_ payload: InvocationPayload, group: GroupJID? = nil) throws -> String {
        try signer.sign(
            Grant(
                userId: payload.userId, botId: payload.botId, groupJid: group ?? payload.groupJid, channelType: payload.channelType,
                invocationId: payload.invocationId, sessionEpoch: 0, issuedAt: Date(), expiresAt: payload.deadline + 60))
    }

    struct Answer: Sendable { var status: Int; var headers: [String: String]; var body: Value }

    @discardableResult
    func invoke(_ payload: InvocationPayload) async throws -> Answer { try await post("/invocations", JSON.encode(payload)) }

    func post(_ path: String, _ body: Data, signature: String? = nil, signed: Bool = true) async throws -> Answer {
        var request = HTTPClientRequest(url: "http+unix://" + GatewayAddress.percentEncoded(socket) + path)
        request.method = .POST
        request.body = .bytes(ByteBuffer(bytes: body))
        if let signature {
            request.headers.add(name: RuntimeSignature.header, value: signature)
        } else if signed, let key {
            request.headers.add(name: RuntimeSignature.header, value: RuntimeSignature.sign(path: path, body: body, key: key, at: Date()))
        }
        return try await send(request)
    }
    func get(_ path: String) async throws -> Answer {
        try await send(HTTPClientRequest(url: "http+unix://" + GatewayAddress.percentEncoded(socket) + path))
    }
    private func send(_ request: HTTPClientRequest) async throws -> Answer {
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
        let body = Data(buffer: try await response.body.collect(upTo: 1 << 20))
        return Answer(
            status: Int(response.status.code), headers: Dictionary(response.headers.map { ($0.name.lowercased(), $0.value) }, uniquingKeysWith: { a, _ in a }),
            body: (try? JSON.value(body)) ?? .null)
    }

    /// Runs one message to its end and returns the final (or error) reply.
    @discardableResult
    func ask(_ prompt: String = "hello", change: (inout InvocationPayload) -> Void = { _ in }) async throws -> Value {
        try await ask(as: payload(prompt, change: change))
    }

    @discardableResult
    func ask(as payload: InvocationPayload) async throws -> Value {
        try await whenIdle()
        let before = gateway.replies.count
        // Sequences start anew with each invocation.
        gateway.change { $0.accepted = [:] }
        let answer = try await invoke(payload)
        #expect(answer.status == 200, "\(answer.body)")
        try await gateway.wait("the end of the run") { state in
            state.replies.dropFirst(before).contains { ["final", "error"].contains($0["kind"]?.string) }
        }
        try await whenIdle()
        return gateway.replies.last ?? .null
    }

    /// Where the transcripts are.
    var sessions: String { home.path + "/.claude" }

    /// The same world for a second process.
    func onOtherSocket() -> AgentWorld {
        AgentWorld(directory: directory, gateway: gateway, socket: directory.appendingPathComponent("other.sock").path, key: key, signer: signer, user: user, bot: bot, group: group)
    }

    /// Waits until the process serves nothing.
    func whenIdle() async throws {
        try await eventually("the agent is idle") { try await get("/ping").body["status"] == "Healthy" }
    }
}

/// Tries a condition until it holds; the wait between is short and grows.
func eventually(_ what: String, seconds: Double = 60, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(seconds)
    var pause = Duration.milliseconds(1)
    while true {
        if try await condition() { return }
        guard ContinuousClock.now < deadline else { throw FakeGateway.Timeout(what: what) }
        try await Task.sleep(for: pause)
        pause = min(pause * 2, .milliseconds(50))
    }
}

/// Opens after so many arrivals.
final class Latch: Sendable {
    private let state: Mutex<(left: Int, waiters: [CheckedContinuation<Void, Never>])>
    init(_ count: Int) { state = Mutex((count, [])) }
    func arrive() {
        let waiters = state.withLock { state in
            state.left -= 1
            guard state.left <= 0 else { return [CheckedContinuation<Void, Never>]() }
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
    func wait() async {
        await withCheckedContinuation { continuation in
            let open = state.withLock { state in
                if state.left <= 0 { return true }
                state.waiters.append(continuation)
                return false
            }
            if open { continuation.resume() }
        }
    }
}
