#if os(Linux)
import CLinux
import Foundation
import Synchronization

/// Host uids for sessions when the control plane is root (SEC-63). Each running session has its own; files on disk stay
/// root's, since the session's mounts show id 0 as that uid (idmapped mounts, Linux 5.12; tmpfs 6.3), so that two sessions of
/// a bot can share a directory and nothing is ever chowned.
///
/// It is a must rather than a nicety: with plain bubblewrap a root launcher's agent is the host's uid 0, which may write
/// `/proc/sys/kernel/core_pattern` even without a capability.
final class SubordinateIdentities: Sendable {
    struct Slot: Sendable { var uid: UInt32; var namespace: Int32 }
    private struct State { var free: [Slot] = []; var made: UInt32 = 0 }
    private let state = Mutex(State())
    private let first: UInt32
    /// How many sessions at once; far above any `maxTasks`.
    private static let most: UInt32 = 60_000
    /// Private mount namespace of the spawning thread, entered again after each start.
    let home: Int32

    /// Throws when this machine or the file system of a directory cannot do it. On the spawning thread only.
    init(first: UInt32, probing directories: [String]) throws {
        self.first = first
        guard clinux_unshare_mounts() == 0 else { throw KernelError("unshare") }
        guard mount("none", "/", nil, UInt(MS_REC) | UInt(MS_SLAVE), nil) == 0 else { throw KernelError("mount --make-rslave") }
        home = open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)
        guard home >= 0 else { throw KernelError("opening the mount namespace") }
        let slot = try take()
        defer { give(slot) }
        for directory in directories {
            let tree = clinux_open_tree(directory)
            guard tree >= 0 else { throw KernelError("open_tree") }
            defer { close(tree) }
            guard clinux_map_ids(tree, slot.namespace) == 0 else { throw KernelError("mapping ids on the file system of \(directory)") }
        }
    }

    deinit {
        close(home)
        state.withLock { for slot in $0.free { close(slot.namespace) } }
    }

    /// A uid that no running session has.
    func take() throws -> Slot {
        let (known, next) = state.withLock { state -> (Slot?, UInt32?) in
            if let slot = state.free.popLast() { return (slot, nil) }
            guard state.made < Self.most else { return (nil, nil) }
            state.made += 1
            return (nil, first + state.made - 1)
        }
        if let known { return known }
        guard let uid = next else { throw KernelError("no free subordinate uid", code: EAGAIN) }
        return Slot(uid: uid, namespace: try Self.namespace(mapping: uid))
    }

    func give(_ slot: Slot) { state.withLock { $0.free.append(slot) } }

    private static func namespace(mapping uid: UInt32) throws -> Int32 {
        let holder = clinux_userns_holder()
        guard holder > 0 else { throw KernelError("clone(CLONE_NEWUSER)") }
        defer { kill(holder, SIGKILL); waitpid(holder, nil, 0) }
        for file in ["uid_map", "gid_map"] {
            let descriptor = open("/proc/\(holder)/\(file)", O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw KernelError("opening \(file)") }
            defer { close(descriptor) }
            let line = "0 \(uid) 1\n"
            guard write(descriptor, line, line.utf8.count) == line.utf8.count else { throw KernelError("writing \(file)") }
        }
        let namespace = open("/proc/\(holder)/ns/user", O_RDONLY | O_CLOEXEC)
        guard namespace >= 0 else { throw KernelError("opening the user namespace") }
        return namespace
    }
}
#endif
