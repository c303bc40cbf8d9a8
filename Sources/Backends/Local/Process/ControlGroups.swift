#if os(Linux)
import Foundation
import Glibc

/// A group of this service's own in cgroup v2 under which each agent gets one (SEC-62).
struct ControlGroups: Sendable {
    let parent: String

    /// nil when there is no unified hierarchy here, or it is not ours to use (no delegation); then rlimits bound the agents.
    ///
    /// A group with children that have controllers may hold no processes itself, so the control plane moves into a leaf,
    /// which it does only when it is alone in its group.
    init?(root: String, membership: String = "/proc/self/cgroup", pid: pid_t = getpid()) {
        guard let lines = try? String(contentsOfFile: membership, encoding: .utf8),
            let path = lines.split(separator: "\n").first(where: { $0.hasPrefix("0::") })?.dropFirst(3),
            FileManager.default.fileExists(atPath: "\(root)/cgroup.controllers")
        else { return nil }
        var own = path == "/" ? root : root + path
        if own.hasSuffix("/clawbot-server") { own = String(own.dropLast("/clawbot-server".count)) }
        guard let available = Self.read("\(own)/cgroup.controllers") else { return nil }
        let controllers = Set(available.split(whereSeparator: \.isWhitespace))
        guard controllers.contains("memory"), controllers.contains("pids") else { return nil }
        let members = Self.read("\(own)/cgroup.procs")?.split(whereSeparator: \.isWhitespace) ?? []
        if !members.isEmpty {
            guard members.allSatisfy({ $0 == "\(pid)" }) else { return nil }
            let leaf = "\(own)/clawbot-server"
            mkdir(leaf, 0o755)
            guard Self.write("\(leaf)/cgroup.procs", "\(pid)") else { return nil }
        }
        for controller in ["memory", "pids", "cpu"] where controllers.contains(Substring(controller)) {
            guard Self.write("\(own)/cgroup.subtree_control", "+\(controller)") || controller == "cpu" else { return nil }
        }
        parent = own
    }

    /// Puts a process, and so its later children, into a new group with these limits.
    func make(_ name: String, holding pid: pid_t, _ limits: SandboxSettings.Limits) throws -> String {
        let group = "\(parent)/clawbot-\(name)"
        guard mkdir(group, 0o755) == 0 || errno == EEXIST else { throw KernelError("mkdir \(group)") }
        _ = Self.write("\(group)/memory.swap.max", "0")
        _ = Self.write("\(group)/memory.oom.group", "1")
        _ = Self.write("\(group)/cpu.weight", "\(limits.cpuWeight)")
        for (file, value) in [("memory.max", "\(limits.memoryBytes)"), ("pids.max", "\(limits.processes)"), ("cgroup.procs", "\(pid)")] {
            guard Self.write("\(group)/\(file)", value) else {
                rmdir(group)
                throw KernelError("writing \(file)")
            }
        }
        return group
    }

    static func kill(_ group: String) { _ = write("\(group)/cgroup.kill", "1") }
    static func remove(_ group: String) { rmdir(group) }

    private static func read(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
    private static func write(_ path: String, _ text: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Glibc.write(file, text, text.utf8.count) == text.utf8.count
    }
}
#endif
