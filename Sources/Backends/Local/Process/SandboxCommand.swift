#if os(Linux)
import Foundation
import Platform

/// Bubblewrap's options for one launch. They go over a descriptor, so that neither the host's process list nor the
/// sandbox shows them (SEC-58).
struct SandboxCommand {
    /// Descriptors of the sandbox tool; it closes them before the payload runs.
    enum Descriptor {
        static let arguments: Int32 = 3, filter: Int32 = 4, status: Int32 = 5, gate: Int32 = 6
    }

    var settings: SandboxSettings
    var executable: ExecutableFiles?
    var mounts: [LaunchRequest.Mount]
    var agentDirectory: String
    var gatewayDirectory: String?
    /// Generated files for `/etc`.
    var etcDirectory: String
    var environment: [String: String]
    /// True when sources must be reachable and readable for another uid than ours.
    var staged: Bool

    static let etcFiles = [
        "alternatives", "ca-certificates", "ca-certificates.conf", "bash.bashrc", "inputrc", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types",
        "pki", "profile", "protocols", "services", "shells", "ssl", "terminfo", "timezone",
    ]
    /// Written by us: the host's own would name its users and hosts.
    static let generatedEtc = [
        "passwd": "root:x:0:0:root:/root:/usr/sbin/nologin\nagent:x:1000:1000:agent:/home/agent:/bin/bash\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
        "group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost agent\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "gitconfig": "[safe]\n\tdirectory = *\n",
    ]

    var program: [String] {
        switch settings.payload {
        case .agent: [executable?.program ?? "", "agent"]
        case .command(let words): words
        }
    }

    /// The options, and what has to be staged for them.
    func build() -> (options: [String], staged: [SpawnPlan.Staged]) {
        var options: [String] = [], staging: [SpawnPlan.Staged] = []
        func source(_ path: String, mapped: Bool = true) -> String {
            guard staged else { return path }
            let place = "\(SpawnPlan.stage)/\(staging.count)"
            staging.append(.init(source: path, target: place, mapped: mapped))
            return place
        }
        options += ["--unshare-user", "--disable-userns", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]
        options += ["--cap-drop", "ALL", "--uid", "\(SandboxLayout.uid)", "--gid", "\(SandboxLayout.uid)", "--hostname", "agent"]
        options += ["--seccomp", "\(Descriptor.filter)", "--json-status-fd", "\(Descriptor.status)", "--block-fd", "\(Descriptor.gate)"]

        options += ["--ro-bind", "/usr", "/usr"]
        for name in ["bin", "sbin", "lib", "lib32", "lib64"] {
            if let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/\(name)") { options += ["--symlink", link, "/\(name)"] }
            else if FileManager.default.fileExists(atPath: "/\(name)") { options += ["--ro-bind", "/\(name)", "/\(name)"] }
        }
        for name in Self.etcFiles { options += ["--ro-bind-try", "/etc/\(name)", "/etc/\(name)"] }
        for name in Self.generatedEtc.keys.sorted() { options += ["--ro-bind", source("\(etcDirectory)/\(name)"), "/etc/\(name)"] }

        options += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
        for name in ["sysrq-trigger", "kcore", "keys", "timer_list"] where FileManager.default.fileExists(atPath: "/proc/\(name)") {
            options += ["--ro-bind", "/dev/null", "/proc/\(name)"]
        }
        // Process 1 is the sandbox tool's own reaper: same uid, but without the filter, and its memory is writable through
        // /proc/1/mem (measured on 0.8.0), which would be a way around the filter. So it is not to be seen.
        options += ["--size", "4096", "--tmpfs", "/proc/1", "--remount-ro", "/proc/1"]
        // Without a size, a tmpfs may take half the machine's memory.
        let scratch = "\(settings.limits.scratchBytes)"
        options += ["--dev", "/dev", "--size", scratch, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        options += ["--size", scratch, "--tmpfs", "/tmp", "--size", scratch, "--tmpfs", SandboxLayout.home, "--dir", SandboxLayout.workspace]
        options += ["--bind", source(agentDirectory), SandboxLayout.agentDirectory]
        if let gatewayDirectory { options += ["--ro-bind", source(gatewayDirectory), SandboxLayout.gatewayDirectory] }
        if let executable {
            for mount in executable.mounts { options += ["--ro-bind", source(mount.source, mapped: false), mount.target] }
        }
        if let cli = settings.claudeCLI { options += ["--ro-bind", source(cli, mapped: false), SandboxLayout.claudeCLI] }
        for path in settings.readOnlyPaths { options += ["--ro-bind", source(path, mapped: false), path] }
        for mount in mounts.sorted(by: { $0.target < $1.target }) {
            options += [mount.writable ? "--bind" : "--ro-bind", source(mount.source), mount.target]
        }
        options += ["--setenv", "CLAWBOT_SANDBOX", "1"]
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) { options += ["--setenv", name, value] }
        let group = "\(SandboxLayout.workspace)/group"
        options += ["--chdir", mounts.contains { $0.target == group } ? group : SandboxLayout.workspace]
        options += ["--remount-ro", "/"]
        return (options, staging)
    }

    /// Targets that a session may have: beneath its workspace and home, without dots.
    static func isAllowed(target: String) -> Bool {
        let parts = target.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.first == "", !parts.dropFirst().contains(where: { $0.isEmpty || $0 == "." || $0 == ".." }) else { return false }
        return target.hasPrefix(SandboxLayout.workspace + "/") || target.hasPrefix(SandboxLayout.home + "/")
    }
}

/// Variables of the payload: a fixed list, nothing of the control plane's own (SEC-58).
enum PayloadEnvironment {
    static func make(for request: LaunchRequest, settings: SandboxSettings, agentSocket: String, gateway: String?, home: String, libraryPath: String?) -> [String: String] {
        var variables = settings.environment
        variables["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        variables["HOME"] = home
        variables["USER"] = "agent"
        variables["LOGNAME"] = "agent"
        variables["SHELL"] = "/bin/bash"
        variables["LANG"] = "C.UTF-8"
        variables["TERM"] = "dumb"
        // One heap arena instead of eight a core: 11 MB instead of 30 MB dirty after load (FACTS.md).
        variables["MALLOC_ARENA_MAX"] = "1"
        variables["LD_LIBRARY_PATH"] = libraryPath
        variables["CLAWBOT_PROCESS_KEY"] = request.processKey.reveal()
        variables["CLAWBOT_AGENT_SOCKET"] = agentSocket
        variables["CLAWBOT_GATEWAY"] = gateway
        variables["CLAWBOT_IDLE_SECONDS"] = "\(Int(request.idleTimeout.seconds.rounded(.up)))"
        variables["CLAWBOT_CLAUDE_CLI"] = settings.mode == .none ? settings.claudeCLI : settings.claudeCLI.map { _ in SandboxLayout.claudeCLI }
        variables["CLAWBOT_SESSION"] = request.session?.partition
        return variables
    }
}
#endif
