#if os(Linux)
import CLinux
import Foundation
import Synchronization

/// The one thread from which sandboxes are started. It lives as long as the launcher, for two reasons:
/// the kernel sends the parent-death signal (`--die-with-parent`) when the *thread* that forked ends, and a pool's threads
/// come and go; and a root launcher changes this thread's ids and mount namespace, which no other work may meet.
final class SpawnThread: Sendable {
    private struct State {
        var jobs: [@Sendable () -> Void] = []
        var closed = false
    }
    private let state = Mutex(State())
    private let signal = DispatchSemaphore(value: 0)

    init() {
        let thread = Thread { [state = Box(self)] in state.run() }
        thread.name = "sandbox-spawn"
        thread.stackSize = 1 << 20
        thread.start()
    }

    /// Ends the thread after the jobs given before; what it started dies with it.
    func close() {
        state.withLock { $0.closed = true }
        signal.signal()
    }

    func run<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            let taken = state.withLock { state in
                if state.closed { return false }
                state.jobs.append { continuation.resume(with: Result(catching: work)) }
                return true
            }
            if taken { signal.signal() } else { continuation.resume(throwing: CancellationError()) }
        }
    }

    /// The thread keeps the queue, not its owner, alive.
    private struct Box: Sendable {
        let owner: SpawnThread
        init(_ owner: SpawnThread) { self.owner = owner }
        func run() {
            while true {
                owner.signal.wait()
                let (job, closed) = owner.state.withLock { state in (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.closed) }
                if let job { job() } else if closed { return }
            }
        }
    }
}

/// What went wrong in a kernel call, for the log.
struct KernelError: Error, CustomStringConvertible {
    var call: String
    var code: Int32
    init(_ call: String, code: Int32 = errno) { self.call = call; self.code = code }
    var description: String { "\(call): \(String(cString: strerror(code)))" }
}

/// One program to start: descriptors, identity, and the mounts that it needs to see.
struct SpawnPlan: Sendable {
    var arguments: [String]
    var environment: [String]
    /// Target descriptor → descriptor of ours; everything else above 2 is closed in the child (SEC-58).
    var descriptors: [(Int32, Int32)]
    var newSession = false
    /// Set when the launcher is root: the child runs as this uid and gid, in a mount namespace where `staged` lies.
    var identity: Identity?

    struct Identity: Sendable {
        var uid: UInt32
        /// Descriptor of a user namespace that maps on-disk id 0 to `uid`.
        var namespace: Int32
        /// Private mount namespace of the spawning thread.
        var home: Int32
        var staged: [Staged]
    }
    /// A host path bound at a place that every uid can reach, with its ids mapped where `mapped`.
    struct Staged: Sendable { var source: String; var target: String; var mapped: Bool }

    /// Where staged mounts lie; the host's `/tmp` is covered there.
    static let stage = "/tmp"

    /// Starts it. On a ``SpawnThread`` only.
    func start() throws -> pid_t {
        guard let identity else { return try spawn() }
        let trees = try identity.staged.map { staged -> (Staged, Int32) in
            let tree = clinux_open_tree(staged.source)
            guard tree >= 0 else { throw KernelError("open_tree \(staged.source)") }
            return (staged, tree)
        }
        defer { for (_, tree) in trees { close(tree) } }
        for (staged, tree) in trees where staged.mapped {
            guard clinux_map_ids(tree, identity.namespace) == 0 else { throw KernelError("mapping ids of \(staged.source)") }
        }
        guard clinux_unshare_mounts() == 0 else { throw KernelError("unshare") }
        defer { _ = clinux_enter_mounts(identity.home) }
        guard mount("sandbox", Self.stage, "tmpfs", UInt(MS_NOSUID) | UInt(MS_NODEV), "mode=0755,size=1m") == 0 else { throw KernelError("mount tmpfs") }
        for (staged, tree) in trees {
            try Self.makeTarget(staged.target, like: tree)
            guard clinux_move_mount(tree, staged.target) == 0 else { throw KernelError("move_mount \(staged.source)") }
        }
        guard clinux_thread_become(identity.uid) == 0 else { _ = clinux_thread_return(); throw KernelError("setresuid") }
        defer { _ = clinux_thread_return() }
        return try spawn()
    }

    private static func makeTarget(_ path: String, like tree: Int32) throws {
        var status = stat()
        guard fstat(tree, &status) == 0 else { throw KernelError("fstat") }
        let parts = path.split(separator: "/")
        var parent = ""
        for part in parts.dropLast() { parent += "/" + part; mkdir(parent, 0o755) }
        if status.st_mode & S_IFMT == S_IFDIR {
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw KernelError("mkdir \(path)") }
        } else {
            let file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)
            guard file >= 0 else { throw KernelError("open \(path)") }
            close(file)
        }
    }

    private func spawn() throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Our descriptors are moved out of the way of the target numbers first.
        var moved: [Int32] = []
        defer { for descriptor in moved { close(descriptor) } }
        var highest: Int32 = 2
        for (target, source) in descriptors {
            let copy = fcntl(source, F_DUPFD_CLOEXEC, 64)
            guard copy >= 0 else { throw KernelError("fcntl") }
            moved.append(copy)
            posix_spawn_file_actions_adddup2(&actions, copy, target)
            highest = max(highest, target)
        }
        posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1)
        posix_spawn_file_actions_addchdir_np(&actions, "/")

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        var flags = Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK)
        if newSession { flags |= 0x80 } // POSIX_SPAWN_SETSID
        posix_spawnattr_setflags(&attributes, flags)

        let argv = arguments.map { strdup($0) } + [nil]
        let envp = environment.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, arguments[0], &actions, &attributes, argv, envp)
        guard code == 0 else { throw KernelError("starting \(arguments[0])", code: code) }
        return pid
    }
}
#endif
