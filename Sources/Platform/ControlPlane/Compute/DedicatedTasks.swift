import AsyncHTTPClient
import Foundation
import Logging
import Platform
import ServiceLifecycle

/// One agent process per conversation over a `TaskLauncher`: started cold or taken from the warm pool, kept while it is idle for
/// a while, replaced when it dies. Never more than `maxTasks`; a full node gives up its longest idle unit first.
///
/// Bindings live in memory: the units of this family's local launchers die with the control plane, so a new one starts with none.
public actor DedicatedTasks: AgentCompute {
    public struct Limits: Sendable {
        public var maxTasks: Int
        public var minWarm: Int
        public var idleTimeout: Duration
        /// How long a started process may take until it answers.
        public var bootWait: Duration
        public init(maxTasks: Int = 16, minWarm: Int = 0, idleTimeout: Duration = .seconds(900), bootWait: Duration = .seconds(30)) {
            self.maxTasks = maxTasks; self.minWarm = minWarm; self.idleTimeout = idleTimeout; self.bootWait = bootWait
        }
    }

    private struct Unit {
        var task: LaunchedTask
        var key: Secret
        var running: InvocationID?
        var idleSince: Date
        /// What it was launched with; nil of one that was launched for nobody.
        var skills: [SkillUse]?
    }
    private enum Binding {
        /// A start is under way; a second one waits for it.
        case starting
        case unit(Unit)
    }

    private let launcher: any TaskLauncher
    private let mounts: any SessionMounts
    private let door: any GatewayDoor
    private let http: HTTPClient
    private let limits: Limits
    private let board: SettlementBoard
    private let time: any TimeSource
    private let logger: Logger
    private var bindings: [SessionKey: Binding] = [:]
    /// Started, answering, and bound to nobody yet; only of launchers that can start unbound.
    private var warm: [Unit] = []
    private var warming = 0
    private var closing = false
    public nonisolated let isolation: IsolationLevel

    public init(
        launcher: any TaskLauncher, mounts: any SessionMounts, door: any GatewayDoor, http: HTTPClient, limits: Limits, board: SettlementBoard,
        time: any TimeSource, logger: Logger
    ) {
        self.launcher = launcher; self.mounts = mounts; self.door = door; self.http = http; self.limits = limits
        self.board = board; self.time = time; self.logger = logger
        isolation = launcher.isolation
    }

    public func probe() async throws { try await launcher.probe() }

    /// How many units there are, and how many of them run something: for metrics and readiness.
    public var load: (units: Int, running: Int) {
        (bindings.count + warm.count + warming, bindings.values.count { if case .unit(let unit) = $0 { unit.running != nil } else { true } })
    }

    // MARK: Starting

    public func start(_ invocation: InvocationPayload) async throws -> StartOutcome {
        if closing { return .full(retryAfter: .seconds(5)) }
        for _ in 0..<3 {
            switch bindings[invocation.session] {
            case .starting: return .busy
            case .unit(let unit):
                if let running = unit.running { return running == invocation.invocationId ? .accepted : .busy }
                // Mounts are fixed at the start: other skills need another process.
                let isCurrent = unit.skills == nil || unit.skills == (invocation.skills ?? [])
                if isCurrent, let outcome = try await hand(invocation, to: unit) { return outcome }
                // It died or belongs to something else: forget it and start afresh.
                await drop(invocation.session, unit.task.id)
            case nil:
                if let ready = warm.popLast() {
                    // Claimed by its first invocation, for life.
                    bindings[invocation.session] = .unit(ready)
                    watch(invocation.session, ready.task.id)
                    fillWarmPool()
                    continue
                }
                guard load.units < limits.maxTasks || evictIdle() else { return .full(retryAfter: .seconds(5)) }
                bindings[invocation.session] = .starting
                do {
                    let id = LaunchID(ULID.make(at: time.now()))
                    var unit = try await launch(
                        LaunchRequest(
                            id: id, session: invocation.session, mounts: try await mounts.mounts(for: invocation), processKey: Secret(Digest.randomToken()),
                            gatewaySocket: try await door.open(invocation.session), idleTimeout: limits.idleTimeout))
                    unit.skills = invocation.skills ?? []
                    bindings[invocation.session] = .unit(unit)
                    watch(invocation.session, id)
                } catch {
                    bindings[invocation.session] = nil
                    await door.close(invocation.session)
                    throw error
                }
            }
        }
        throw ComputeError.launchFailed("three agent processes in a row did not take the invocation")
    }

    private func hand(_ invocation: InvocationPayload, to unit: Unit) async throws -> StartOutcome? {
        set(invocation.session, unit.task.id) { $0.running = invocation.invocationId }
        var payload = invocation
        if let url = unit.task.gatewayURL { payload.gatewayUrl = url }
        do {
            switch try await AgentClient(http: http, endpoint: unit.task.endpoint, key: unit.key, time: time).invoke(payload) {
            case .accepted: return .accepted
            case .busy:
                // The runtime ends its run a moment after its final reply was accepted.
                set(invocation.session, unit.task.id) { $0.running = nil }
                return .busy
            case .refused(let status):
                logger.warning("agent refused an invocation", metadata: ["status": "\(status)", "launch": "\(unit.task.id)"])
                return nil
            }
        } catch is CancellationError { throw CancellationError() } catch {
            logger.notice("agent not reachable", metadata: ["launch": "\(unit.task.id)", "error": "\(error)"])
            return nil
        }
    }

    /// Starts a process and waits until it answers.
    private func launch(_ request: LaunchRequest) async throws -> Unit {
        let id = request.id, key = request.processKey
        let begun = ContinuousClock.now
        let task = try await launcher.launch(request)
        let client = AgentClient(http: http, endpoint: task.endpoint, key: key, time: time)
        let deadline = time.now() + limits.bootWait.seconds
        var pause = Duration.milliseconds(2)
        while true {
            do {
                _ = try await client.ping()
                logger.info("agent started", metadata: ["launch": "\(id)", "ms": "\((ContinuousClock.now - begun).milliseconds)"])
                return Unit(task: task, key: key, running: nil, idleSince: time.now())
            } catch is CancellationError {
                try? await launcher.stop(id)
                throw CancellationError()
            } catch {
                if case .gone(let reason) = try await launcher.describe([id])[id] { throw ComputeError.launchFailed(reason) }
                guard time.now() < deadline else {
                    try? await launcher.stop(id)
                    throw ComputeError.launchFailed("the agent process did not answer within \(limits.bootWait)")
                }
                try await time.sleep(for: pause)
                pause = min(pause * 2, .milliseconds(50))
            }
        }
    }

    /// Keeps `minWarm` processes waiting where the launcher can start them unbound; a sandbox on this machine cannot, because its
    /// mounts are fixed at its start (docs/sandbox.md has the figures).
    public func fillWarmPool() {
        guard launcher.supportsWarmTasks, !closing else { return }
        while warm.count + warming < limits.minWarm, load.units < limits.maxTasks {
            warming += 1
            Task { await warmOne() }
        }
    }

    private func warmOne() async {
        defer { warming -= 1 }
        let id = LaunchID(ULID.make(at: time.now()))
        do {
            let unit = try await launch(
                LaunchRequest(id: id, session: nil, mounts: [], processKey: Secret(Digest.randomToken()), gatewaySocket: nil, idleTimeout: limits.idleTimeout))
            if closing {
                try await launcher.stop(id)
                return
            }
            warm.append(unit)
            Task {
                await launcher.waitUntilGone(id)
                warm.removeAll { $0.task.id == id }
            }
        } catch { logger.warning("warm agent not started", metadata: ["error": "\(error)"]) }
    }

    /// Notices the process's death, whenever it comes.
    private func watch(_ session: SessionKey, _ id: LaunchID) {
        Task {
            await launcher.waitUntilGone(id)
            await self.drop(session, id)
        }
    }

    private func drop(_ session: SessionKey, _ id: LaunchID) async {
        guard case .unit(let unit) = bindings[session], unit.task.id == id else { return }
        bindings[session] = nil
        try? await launcher.stop(id)
        await door.close(session)
        await board.idle(session)
    }

    private func set(_ session: SessionKey, _ id: LaunchID, _ change: (inout Unit) -> Void) {
        guard case .unit(var unit) = bindings[session], unit.task.id == id else { return }
        change(&unit)
        bindings[session] = .unit(unit)
    }

    /// Ends the longest idle unit to make room; false when all are busy.
    private func evictIdle() -> Bool {
        let idle = bindings.compactMap { key, binding -> (SessionKey, Unit)? in
            if case .unit(let unit) = binding, unit.running == nil { (key, unit) } else { nil }
        }
        guard let (session, unit) = idle.min(by: { $0.1.idleSince < $1.1.idleSince }) else { return false }
        bindings[session] = nil
        Task {
            try? await launcher.stop(unit.task.id)
            await door.close(session)
        }
        return true
    }

    // MARK: Watching and stopping

    /// The gateway accepted the final reply of a run: its unit is idle from now on.
    public func finished(_ session: SessionKey, _ invocation: InvocationID) async {
        guard case .unit(let unit) = bindings[session], unit.running == invocation else { return }
        set(session, unit.task.id) { $0.running = nil; $0.idleSince = time.now() }
        await board.idle(session)
    }

    public func status(_ session: SessionKey) async -> SessionStatus {
        switch bindings[session] {
        case nil: .gone
        case .starting: .running(nil)
        case .unit(let unit): unit.running.map { .running($0) } ?? .idle
        }
    }

    public func stop(_ session: SessionKey, invocation: InvocationID?) async {
        guard case .unit(let unit) = bindings[session], let running = unit.running, invocation == nil || invocation == running else { return }
        let client = AgentClient(http: http, endpoint: unit.task.endpoint, key: unit.key, time: time)
        // A process that does not take the stop within a second is ended; the next run starts another.
        let heard = await withTaskGroup(of: Bool.self) { group in
            group.addTask { (try? await client.stop(running)) ?? false }
            group.addTask { [time] in
                try? await time.sleep(for: .seconds(1))
                return false
            }
            let first = await group.next() ?? false
            group.cancelAll()
            return first
        }
        if heard {
            set(session, unit.task.id) { $0.running = nil; $0.idleSince = time.now() }
            await board.idle(session)
        } else {
            await drop(session, unit.task.id)
        }
    }

    public func retire(_ session: SessionKey) async {
        guard case .unit(let unit) = bindings[session] else { return }
        if let running = unit.running { await stop(session, invocation: running) }
        await drop(session, unit.task.id)
    }

    /// Ends the unit of a conversation when it is idle, so that the next run sees what was changed outside.
    public func retireIdle(_ session: SessionKey) async {
        guard case .unit(let unit) = bindings[session], unit.running == nil else { return }
        await drop(session, unit.task.id)
    }
    /// The same for all conversations of a bot.
    public func retireIdle(of bot: BotID) async { for session in sessions(of: bot) { await retireIdle(session) } }
    /// Ends all units of a bot, also running ones: it was paused or deleted.
    public func retireAll(_ bot: BotID) async { for session in sessions(of: bot) { await retire(session) } }

    private func sessions(of bot: BotID) -> [SessionKey] { bindings.keys.filter { $0.botId == bot } }

    /// Ends every unit: the control plane goes down. Their runs are taken up by the next one.
    public func shutDown() async {
        closing = true
        for unit in warm { try? await launcher.stop(unit.task.id) }
        warm = []
        for (session, binding) in bindings {
            if case .unit(let unit) = binding { await drop(session, unit.task.id) }
        }
    }
}

/// Where a conversation's directories lie on this machine, for launchers that mount them.
public protocol SessionMounts: Sendable {
    func mounts(for invocation: InvocationPayload) async throws -> [LaunchRequest.Mount]
}

/// A conversation's own entrance to the gateway: a unix socket that only its sandbox sees.
public protocol GatewayDoor: Sendable {
    /// Opens it (or finds it open); answers the host path of the socket.
    func open(_ session: SessionKey) async throws -> String
    func close(_ session: SessionKey) async
}
