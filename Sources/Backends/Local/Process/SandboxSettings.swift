import Platform

/// How agents are sandboxed on this machine, and what each may use.
public struct SandboxSettings: Sendable {
    public enum Mode: String, Sendable {
        case bubblewrap
        /// No sandbox at all: only by explicit choice (SEC-56).
        case none
    }

    /// What runs in the sandbox.
    public enum Payload: Sendable {
        /// `EXECUTABLE agent`; it and the libraries that it loads from outside the system directories are mounted read-only.
        case agent(executable: String)
        /// Any command that the sandbox's own file system holds.
        case command([String])
    }

    /// What one agent may use. Where the machine has no writable cgroup v2 with these controllers, `memoryBytes` bounds each
    /// process by itself (RLIMIT_DATA) and `processes` is RLIMIT_NPROC, which counts only under a uid other than the host's 0.
    public struct Limits: Sendable {
        public var memoryBytes: UInt64 = 2 << 30
        public var processes: UInt64 = 256
        public var openFiles: UInt64 = 4096
        public var fileBytes: UInt64 = 100 << 20
        /// Each of `/tmp` and `/home/agent`; they live in memory.
        public var scratchBytes: UInt64 = 256 << 20
        /// 1...10000; the kernel's default is 100.
        public var cpuWeight = 50
        public init() {}
    }

    public var mode: Mode
    public var payload: Payload
    /// Short: an agent's socket lies 31 bytes below it and must fit into 107 bytes. Made 0711 when absent.
    public var runtimeDirectory: String
    /// A directory on the file system that holds the sessions' files: tells whether ids can be mapped there. nil = not asked.
    public var dataDirectory: String?
    /// First host uid for sessions when the control plane runs as root; nil = sessions keep the server's own uid.
    public var subordinateUIDs: UInt32?
    public var limits: Limits
    /// Directories of the host that the sandbox sees at the same place, read-only. Never anything with secrets in it.
    public var readOnlyPaths: [String]
    /// The `claude` CLI on the host, one file; mounted read-only into each sandbox. nil = agents have none.
    public var claudeCLI: String?
    public var bubblewrap: String
    /// Root of the cgroup v2 hierarchy.
    public var controlGroupRoot: String
    /// More variables for the payload; secrets have no business here.
    public var environment: [String: String]

    public init(mode: Mode = .bubblewrap, payload: Payload, runtimeDirectory: String, dataDirectory: String? = nil) {
        self.mode = mode; self.payload = payload; self.runtimeDirectory = runtimeDirectory; self.dataDirectory = dataDirectory
        subordinateUIDs = 2_000_000
        limits = Limits()
        readOnlyPaths = []
        bubblewrap = "/usr/bin/bwrap"
        controlGroupRoot = "/sys/fs/cgroup"
        environment = [:]
    }
}

/// Where things are inside the sandbox; the agent learns them from its environment.
enum SandboxLayout {
    static let agentDirectory = "/run/agent"
    static let agentSocket = "/run/agent/agent.sock"
    static let gatewayDirectory = "/run/gateway"
    static let home = "/home/agent"
    static let workspace = "/workspace"
    static let programs = "/opt/clawbot"
    static let claudeCLI = "/opt/clawbot/claude"
    /// Uid and gid that the agent sees itself as.
    static let uid = 1000
}
