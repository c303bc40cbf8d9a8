import AsyncHTTPClient
import Foundation
import HTTPTypes
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

/// Starts real HTTP servers on loopback that speak the runtime contract, in this process.
final class ServerLauncher: TaskLauncher {
    private struct Running { var channel: any NIOCore.Channel; var session: SessionKey?; var invocations: [String] = []; var gone: [CheckedContinuation<Void, Never>] = [] }
    private let tasks = Mutex<[LaunchID: Running]>([:])
    private let order = Mutex<[LaunchID]>([])
    let supportsWarmTasks: Bool
    let isolation = IsolationLevel.vm
    init(warm: Bool = false) { supportsWarmTasks = warm }

    var launched: Int { order.withLock { $0.count } }
    var alive: [LaunchID] { tasks.withLock { Array($0.keys) } }
    func probe() async throws {}
    func describe(_ ids: [LaunchID]) async throws -> [LaunchID: LaunchState] {
        tasks.withLock { tasks in Dictionary(uniqueKeysWithValues: ids.map { ($0, tasks[$0] == nil ? .gone(reason: "ended") : .running) }) }
    }
    func list() async throws -> [LaunchID] { alive }
    func waitUntilGone(_ id: LaunchID) async {
        await withCheckedContinuation { continuation in
            let gone = tasks.withLock { tasks in
                if tasks[id] == nil { return true }
                tasks[id]?.gone.append(continuation)
                return false
            }
            if gone { continuation.resume() }
        }
    }
    func stop(_ id: LaunchID) async throws {
        guard let running = tasks.withLock({ $0.removeValue(forKey: id) }) else { return }
        try? await running.channel.close()
        for continuation in running.gone { continuation.resume() }
    }
    func launch(_ request: LaunchRequest) async throws -> LaunchedTask {
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Runtime())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        tasks.withLock { $0[request.id] = Running(channel: channel, session: request.session) }
        order.withLock { $0.append(request.id) }
        return LaunchedTask(id: request.id, endpoint: .url("http://127.0.0.1:\(channel.localAddress?.port ?? 0)"), gatewayURL: "https://gateway.example.test")
    }

    /// Answers every call well.
    private final class Runtime: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .end = unwrapInboundIn(data) else { return }
            let body = ByteBuffer(string: #"{"status":"Healthy","time_of_last_update":1}"#)
            context.write(wrapOutboundOut(.head(.init(version: .http1_1, status: .ok, headers: ["content-length": "\(body.readableBytes)"]))), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }
}

private struct NoMounts: SessionMounts { func mounts(for invocation: InvocationPayload) async throws -> [LaunchRequest.Mount] { [] } }
private struct NoDoor: GatewayDoor {
    func open(_ session: SessionKey) async throws -> String { "/nowhere" }
    func close(_ session: SessionKey) async {}
}

@Suite("Dedicated tasks", .paced)
struct DedicatedTasksTests {
    private func withTasks(_ launcher: ServerLauncher, maxTasks: Int = 4, minWarm: Int = 0, _ body: (DedicatedTasks) async throws -> Void) async throws {
        let http = HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
        let tasks = DedicatedTasks(
            launcher: launcher, mounts: NoMounts(), door: NoDoor(), http: http, limits: .init(maxTasks: maxTasks, minWarm: minWarm), board: SettlementBoard(),
            time: SystemTime(), logger: Logger(label: "test"))
        do {
            try await body(tasks)
            await tasks.shutDown()
            try await http.shutdown()
        } catch {
            await tasks.shutDown()
            try await http.shutdown()
            throw error
        }
    }

    private func invocation(_ chat: Int, _ id: String = ULID.make()) -> InvocationPayload {
        InvocationPayload(
            invocationId: InvocationID(id), botId: BotID("b"), userId: UserID("u"), groupJid: GroupJID("tg:\(chat)"), botName: "Claw", channelType: .telegram,
            prompt: "hi", engine: .native, providerType: .demo, model: "demo", gatewayUrl: "", grant: "g", deadline: Date() + 60, sessionPath: "s",
            memoryPaths: .init(sharedClaude: "", botClaude: "", groupPrefix: "", learnings: ""), toolWhitelist: ToolWhitelist(), maxTurns: 1, timezone: "UTC")
    }

    @Test("a conversation keeps its process; a second run while one is under way is busy, the same one is accepted again")
    func keeps() async throws {
        let launcher = ServerLauncher()
        try await withTasks(launcher) { tasks async throws in
            let first = invocation(1)
            #expect(try await tasks.start(first) == .accepted)
            #expect(try await tasks.start(first) == .accepted)
            #expect(try await tasks.start(invocation(1)) == .busy)
            #expect(await tasks.status(first.session) == .running(first.invocationId))
            await tasks.finished(first.session, first.invocationId)
            #expect(await tasks.status(first.session) == .idle)
            #expect(try await tasks.start(invocation(1)) == .accepted)
            #expect(launcher.launched == 1)
        }
        #expect(launcher.alive.isEmpty)
    }

    @Test("a full node gives up its longest idle process first, and is full when all are busy")
    func full() async throws {
        let launcher = ServerLauncher()
        try await withTasks(launcher, maxTasks: 2) { tasks async throws in
            let one = invocation(1), two = invocation(2)
            #expect(try await tasks.start(one) == .accepted)
            #expect(try await tasks.start(two) == .accepted)
            guard case .full = try await tasks.start(invocation(3)) else { Issue.record("there was room"); return }
            await tasks.finished(one.session, one.invocationId)
            #expect(try await tasks.start(invocation(3)) == .accepted)
            #expect(await tasks.status(one.session) == .gone)
            #expect(await tasks.status(two.session) == .running(two.invocationId))
        }
    }

    @Test("a process that dies is noticed at once, and the next run gets another")
    func dies() async throws {
        let launcher = ServerLauncher()
        try await withTasks(launcher) { tasks async throws in
            let first = invocation(1)
            #expect(try await tasks.start(first) == .accepted)
            try await launcher.stop(launcher.alive[0])
            _ = try await eventually("the death was noticed") { await tasks.status(first.session) == .gone ? true : nil }
            #expect(try await tasks.start(invocation(1)) == .accepted)
            #expect(launcher.launched == 2)
        }
    }

    @Test("where a launcher can start unbound, a warm process is claimed and the pool is filled again")
    func warm() async throws {
        let launcher = ServerLauncher(warm: true)
        try await withTasks(launcher, maxTasks: 8, minWarm: 2) { tasks async throws in
            await tasks.fillWarmPool()
            _ = try await eventually("two are warm") { launcher.launched == 2 ? true : nil }
            let first = invocation(1)
            _ = try await eventually("it was accepted") { try await tasks.start(first) == .accepted ? true : nil }
            _ = try await eventually("the pool is full again") { launcher.alive.count == 3 ? true : nil }
            #expect(await tasks.status(first.session) == .running(first.invocationId))
        }
        _ = try await eventually("all have ended") { launcher.alive.isEmpty ? true : nil }
    }
}
