#if os(Linux)
import CLinux
import Foundation
import Glibc
import Logging
import Platform

/// Starts agents as sandboxed processes of this machine: each `clawbot agent` in a bubblewrap of its own (AGENT.md §6).
///
///     let launcher = try await ProcessLauncher(SandboxSettings(payload: .agent(executable: path), runtimeDirectory: "/run/clawbot"), logger: logger)
///     try await launcher.preflight()
///     let task = try await launcher.launch(request)   // task.endpoint: the agent's socket
///
/// A cold start costs about as much as handing work to a warm process would, and mounts cannot change after it,
/// so there are no warm tasks here. Everything dies with this process (SEC-67).
public actor ProcessLauncher: TaskLauncher {
    public nonisolated let supportsWarmTasks = false
    public nonisolated let isolation: IsolationLevel
    /// What `clawbot doctor` says about isolation and limits, a sentence each.
    public nonisolated let remarks: [String]

    private let settings: SandboxSettings
    private let logger: Logger
    private let runtime: RuntimeDirectory
    private let etcDirectory: String
    private let executable: ExecutableFiles?
    private let thread = SpawnThread()
    private let identities: SubordinateIdentities?
    private let groups: ControlGroups?
    private let filter = SystemCallFilter().program
    private let events: DescriptorThread
    private var processes: [LaunchID: AgentProcess] = [:]
    /// Why launches ended, the newest last, for `describe` after the end.
    private var ended: [(LaunchID, String)] = []
    private var lastPreflight: ContinuousClock.Instant?

    /// - Throws: ``ComputeError`` when the runtime directory cannot be used. Whether the sandbox works tells ``preflight()``.
    public init(_ settings: SandboxSettings, logger: Logger) async throws {
        self.settings = settings
        self.logger = logger
        runtime = try RuntimeDirectory(under: settings.runtimeDirectory)
        events = try DescriptorThread()
        etcDirectory = "\(runtime.path)/etc"
        mkdir(etcDirectory, 0o755)
        for (name, text) in SandboxCommand.generatedEtc { try Data(text.utf8).write(to: URL(filePath: "\(etcDirectory)/\(name)")) }
        if case .agent(let path) = settings.payload { executable = ExecutableFiles(executable: path) } else { executable = nil }
        executable?.warmPageCache()
        if settings.mode == .bubblewrap, let program = executable?.program {
            Orphans.end(running: [program, "agent"], bubblewrap: settings.bubblewrap, logger: logger)
        }

        var remarks: [String] = []
        guard settings.mode == .bubblewrap else {
            (identities, groups, isolation) = (nil, nil, .none)
            self.remarks = ["agents run without a sandbox (compute.sandbox: none): they can read and change everything that the server can"]
            return
        }
        if geteuid() != 0 {
            identities = nil
            remarks.append("sessions share the server's user id, since the server does not run as root")
        } else if let first = settings.subordinateUIDs {
            let places = [runtime.path] + (settings.dataDirectory.map { [$0] } ?? [])
            do { identities = try await thread.run { try SubordinateIdentities(first: first, probing: places) } }
            catch {
                identities = nil
                remarks.append("sessions run under the host's root id, since user ids cannot be mapped here (\(error)): run the server as another user")
            }
        } else {
            identities = nil
            remarks.append("sessions run under the host's root id by choice: run the server as another user")
        }
        isolation = identities == nil ? .namespaces : .namespacesAndUID
        groups = ControlGroups(root: settings.controlGroupRoot)
        if groups == nil { remarks.append("no writable cgroup v2 with memory and pids controllers: agents are bounded by rlimits only") }
        self.remarks = remarks
    }

    // MARK: TaskLauncher

    public func launch(_ request: LaunchRequest) async throws -> LaunchedTask {
        guard processes[request.id] == nil else { throw ComputeError.refused("launch \(request.id) exists already") }
        try checkTool()
        try check(request.mounts)
        let process = try await start(request, payload: settings.payload)
        if case .agent = settings.payload { await Self.listening(process) }
        let gateway = settings.mode == .none
            ? request.gatewaySocket : request.gatewaySocket.map { "\(SandboxLayout.gatewayDirectory)/\(($0 as NSString).lastPathComponent)" }
        return LaunchedTask(id: request.id, endpoint: .unixSocket(process.endpoint), gatewayURL: gateway.map { "unix:\($0)" })
    }

    /// Waits until the agent says that it listens, or is gone; a slow one is left to the caller's patience.
    private static func listening(_ process: AgentProcess) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await process.waitUntilReady() }
            group.addTask { try? await Task.sleep(for: .seconds(5)) }
            await group.next()
            group.cancelAll()
        }
    }

    public func describe(_ ids: [LaunchID]) -> [LaunchID: LaunchState] {
        var states: [LaunchID: LaunchState] = [:]
        for id in ids {
            if let process = processes[id] {
                states[id] = process.gone.map { .gone(reason: $0) } ?? (access(process.endpoint, F_OK) == 0 ? .running : .starting)
            } else {
                states[id] = .gone(reason: ended.last { $0.0 == id }?.1 ?? "not known here")
            }
        }
        return states
    }

    /// Kills the tree and returns when it is gone, which takes milliseconds.
    public func stop(_ id: LaunchID) async {
        guard let process = processes[id] else { return }
        process.kill()
        await process.waitUntilGone()
    }

    public func list() -> [LaunchID] { processes.filter { $0.value.gone == nil }.keys.sorted() }

    public func waitUntilGone(_ id: LaunchID) async { await processes[id]?.waitUntilGone() }

    /// Cheap after a success: the full check runs once a minute at most.
    public func probe() async throws {
        if let lastPreflight, ContinuousClock.now - lastPreflight < .seconds(60) { return }
        try await preflight()
    }

    /// Ends every agent and the thread that started them, and removes the sockets. Nothing can be launched afterwards.
    public func shutdown() async {
        for process in processes.values { process.kill() }
        for process in processes.values { await process.waitUntilGone() }
        thread.close()
        events.close()
        runtime.remove()
    }

    // MARK: Preflight

    /// Builds a real sandbox and looks whether the filter is on in it.
    /// - Throws: ``ComputeError/isolationUnavailable(_:)`` naming what is missing (SEC-56).
    public func preflight() async throws {
        lastPreflight = nil
        guard settings.mode == .bubblewrap else { return }
        try checkTool()
        let script = "while read k v; do [ \"$k\" = Seccomp: ] && [ \"$v\" = 2 ] && exit 0; done < /proc/self/status; exit 9"
        let request = LaunchRequest(id: LaunchID("preflight-\(ULID.make())"), session: nil, mounts: [], processKey: Secret(""), gatewaySocket: nil, idleTimeout: .seconds(10))
        let reason: String
        do {
            let process = try await start(request, payload: .command(["/bin/sh", "-c", script]))
            await process.waitUntilGone()
            try Task.checkCancellation()
            reason = process.gone ?? ""
        } catch ComputeError.launchFailed(let why) {
            reason = why
        }
        if reason == "exited with code 0" { lastPreflight = .now; return }
        throw ComputeError.isolationUnavailable(Self.explain(reason))
    }

    /// Says which feature is missing.
    static func explain(_ reason: String) -> String {
        if reason.contains("code 9") || reason.lowercased().contains("seccomp") { return "seccomp filters are not available in this kernel (\(reason))" }
        let words = ["namespace", "uid map", "clone", "NEWUSER", "Operation not permitted"]
        if words.contains(where: reason.contains) {
            return "user namespaces are forbidden for this user; allow them (kernel.unprivileged_userns_clone, user.max_user_namespaces, AppArmor's restriction) or use compute.backend: container (\(reason))"
        }
        return "the sandbox does not start (\(reason))"
    }

    private func checkTool() throws {
        guard settings.mode == .bubblewrap, access(settings.bubblewrap, X_OK) != 0 else { return }
        throw ComputeError.isolationUnavailable("bubblewrap is missing (no executable \(settings.bubblewrap)); install the package bubblewrap")
    }

    // MARK: Starting

    private func check(_ mounts: [LaunchRequest.Mount]) throws {
        guard settings.mode == .bubblewrap else { return }
        for mount in mounts {
            guard SandboxCommand.isAllowed(target: mount.target) else { throw ComputeError.refused("\(mount.target) cannot be a mount point in the sandbox") }
            guard mount.source.hasPrefix("/"), access(mount.source, F_OK) == 0 else { throw ComputeError.launchFailed("nothing to mount at \(mount.target)") }
        }
        guard Set(mounts.map(\.target)).count == mounts.count else { throw ComputeError.refused("two mounts have the same target") }
        do { try MountPoints.prepare(mounts) } catch { throw ComputeError.launchFailed("a mount point cannot be made: \(error)") }
    }

    private func start(_ request: LaunchRequest, payload: SandboxSettings.Payload) async throws -> AgentProcess {
        do {
            return settings.mode == .none ? try await startPlain(request) : try await startSandboxed(request, payload: payload)
        } catch let error as KernelError {
            throw ComputeError.launchFailed("\(error)")
        }
    }

    private func startSandboxed(_ request: LaunchRequest, payload: SandboxSettings.Payload) async throws -> AgentProcess {
        let directory = try runtime.makeLaunchDirectory()
        let process = AgentProcess(id: request.id, endpoint: "\(directory)/agent/agent.sock", thread: events, logger: logger)
        var slot: SubordinateIdentities.Slot?
        do { slot = try identities?.take() } catch { try? FileManager.default.removeItem(atPath: directory); throw error }
        process.whenGone { [identities, slot] in
            try? FileManager.default.removeItem(atPath: directory)
            if let slot { identities?.give(slot) }
        }
        let pipes = Pipes()
        defer { pipes.closeAll() }
        var settings = self.settings
        settings.payload = payload
        let executable = if case .agent = payload { self.executable } else { ExecutableFiles?.none }
        let gatewayFile = request.gatewaySocket.map { ($0 as NSString).lastPathComponent }
        let command = SandboxCommand(
            settings: settings, executable: executable, mounts: request.mounts, agentDirectory: "\(directory)/agent",
            gatewayDirectory: request.gatewaySocket.map { ($0 as NSString).deletingLastPathComponent }, etcDirectory: etcDirectory,
            environment: PayloadEnvironment.make(
                for: request, settings: settings, agentSocket: SandboxLayout.agentSocket,
                gateway: gatewayFile.map { "unix:\(SandboxLayout.gatewayDirectory)/\($0)" }, home: SandboxLayout.home, libraryPath: executable?.libraryPath),
            staged: slot != nil)
        let built = command.build()
        let child: pid_t
        do {
            let output = try pipes.make(), errors = try pipes.make(), status = try pipes.make(), gate = try pipes.make()
            let input = try pipes.open("/dev/null")
            let options = try pipes.memory(built.options.joined(separator: "\0") + "\0"), filter = try pipes.memory(self.filter)
            typealias Descriptor = SandboxCommand.Descriptor
            let plan = SpawnPlan(
                arguments: [settings.bubblewrap, "--args", "\(Descriptor.arguments)", "--"] + command.program, environment: [],
                descriptors: [
                    (0, input), (1, output.write), (2, errors.write), (Descriptor.arguments, options), (Descriptor.filter, filter),
                    (Descriptor.status, status.write), (Descriptor.gate, gate.read),
                ],
                identity: slot.map { .init(uid: $0.uid, namespace: $0.namespace, home: identities!.home, staged: built.staged) })
            let monitor = try await thread.run { try plan.start() }
            try process.capture(output: pipes.release(output.read), errors: pipes.release(errors.read))
            try process.watch(monitor)
            processes[request.id] = process
            process.whenGone { [weak self] in Task { await self?.forget(request.id) } }
            for descriptor in [output.write, errors.write, status.write, gate.read] { pipes.close(descriptor) }

            guard let pid = try await StatusLine.childPID(from: pipes.release(status.read), on: events, giveUp: { process.kill() }) else {
                process.kill()
                await process.waitUntilGone()
                throw ComputeError.launchFailed(process.lastWords.isEmpty ? process.gone ?? "the sandbox did not start" : process.lastWords)
            }
            child = pid
            // The sandbox waits at the gate before it runs anything of the agent's.
            try await confine(child, process: process, uid: slot?.uid)
            guard write(gate.write, "1", 1) == 1 else { throw KernelError("opening the gate") }
        } catch {
            if processes[request.id] === process { process.kill() } else { process.abandon() }
            throw error
        }
        return process
    }

    private func confine(_ child: pid_t, process: AgentProcess, uid: UInt32?) async throws {
        try process.attach(child: child)
        let limits = settings.limits
        var table: [(Int32, UInt64)] = [
            (Int32(RLIMIT_CORE.rawValue), 0), (Int32(RLIMIT_NOFILE.rawValue), limits.openFiles), (Int32(RLIMIT_FSIZE.rawValue), limits.fileBytes),
            (Int32(__RLIMIT_NPROC.rawValue), limits.processes), (Int32(__RLIMIT_MEMLOCK.rawValue), 64 << 10), (Int32(__RLIMIT_MSGQUEUE.rawValue), 0),
        ]
        if let groups {
            let group = try groups.make(process.id.rawValue, holding: child, limits)
            process.whenGone { ControlGroups.remove(group) }
        } else {
            table.append((Int32(RLIMIT_DATA.rawValue), limits.memoryBytes))
        }
        // As the child's own uid: a container's root often lacks CAP_SYS_RESOURCE, which the kernel asks of others.
        try await thread.run { [table] in
            if let uid {
                guard clinux_thread_become(uid) == 0 else { _ = clinux_thread_return(); throw KernelError("setresuid") }
            }
            defer { if uid != nil { _ = clinux_thread_return() } }
            for (resource, value) in table {
                guard clinux_lower_limit(child, resource, value) == 0 else { throw KernelError("prlimit \(resource)") }
            }
        }
        // When memory runs out, agents go first.
        let score = open("/proc/\(child)/oom_score_adj", O_WRONLY | O_CLOEXEC)
        if score >= 0 {
            _ = write(score, "1000", 4)
            close(score)
        }
    }

    /// `sandbox: none`: a plain process in a session of its own. It learns by `CLAWBOT_MOUNTS` where its directories are.
    private func startPlain(_ request: LaunchRequest) async throws -> AgentProcess {
        let directory = try runtime.makeLaunchDirectory()
        let process = AgentProcess(id: request.id, endpoint: "\(directory)/agent/agent.sock", thread: events, logger: logger)
        process.whenGone { try? FileManager.default.removeItem(atPath: directory) }
        let pipes = Pipes()
        defer { pipes.closeAll() }
        do {
            let home = "\(directory)/home"
            mkdir(home, 0o700)
            var environment = PayloadEnvironment.make(
                for: request, settings: settings, agentSocket: process.endpoint, gateway: request.gatewaySocket.map { "unix:\($0)" }, home: home,
                libraryPath: executable?.libraryPath)
            environment["CLAWBOT_MOUNTS"] = try JSON.text(Dictionary(request.mounts.map { ($0.target, $0.source) }, uniquingKeysWith: { $1 }))
            let words = switch settings.payload {
            case .agent(let path): [path, "agent"]
            case .command(let words): words
            }
            let output = try pipes.make(), errors = try pipes.make(), input = try pipes.open("/dev/null")
            let tie = access("/usr/bin/setpriv", X_OK) == 0 ? ["/usr/bin/setpriv", "--pdeathsig", "KILL"] : []
            let plan = SpawnPlan(
                arguments: tie + words, environment: environment.map { "\($0)=\($1)" }, descriptors: [(0, input), (1, output.write), (2, errors.write)],
                newSession: true)
            let pid = try await thread.run { try plan.start() }
            try process.capture(output: pipes.release(output.read), errors: pipes.release(errors.read))
            process.owns(group: pid)
            try process.watch(pid)
            processes[request.id] = process
            process.whenGone { [weak self] in Task { await self?.forget(request.id) } }
        } catch {
            if processes[request.id] === process { process.kill() } else { process.abandon() }
            throw error
        }
        return process
    }

    private func forget(_ id: LaunchID) {
        guard let process = processes.removeValue(forKey: id), let reason = process.gone else { return }
        ended.append((id, reason))
        if ended.count > 256 { ended.removeFirst() }
        logger.debug("agent process gone: \(reason)", metadata: ["launch": "\(id)"])
    }
}
#endif
