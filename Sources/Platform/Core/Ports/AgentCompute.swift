import Foundation

/// Runs agents: one compute unit per conversation, for its life.
public protocol AgentCompute: Sendable {
    /// Hands the invocation to the conversation's agent, starting one where there is none.
    func start(_ invocation: InvocationPayload) async throws -> StartOutcome
    /// Cancels the run if it is the one named (`nil` = whatever runs); the unit may live on.
    func stop(_ session: SessionKey, invocation: InvocationID?) async
    /// Ends the conversation's unit when it is idle, so that the next run starts afresh (memory edited, bot deleted).
    func retire(_ session: SessionKey) async
    func status(_ session: SessionKey) async -> SessionStatus
    /// How well runs are separated from the host and from each other (SEC-70).
    var isolation: IsolationLevel { get }
    func probe() async throws
}

public enum StartOutcome: Sendable, Equatable {
    case accepted
    /// The unit runs something else already: wait, it is no error.
    case busy
    /// No room for another unit now.
    case full(retryAfter: Duration)
}

public enum SessionStatus: Sendable, Equatable {
    case running(InvocationID?)
    case idle
    case gone
    /// This backend or node cannot tell; a run without a gateway call or beat for 120 s is dead.
    case unknown
}

public enum IsolationLevel: Int, Sendable, Comparable, Codable {
    case none, namespaces, namespacesAndUID, vm
    public static func < (a: IsolationLevel, b: IsolationLevel) -> Bool { a.rawValue < b.rawValue }
}

public enum ComputeError: Error, Sendable {
    /// The sandbox cannot be built; names the missing feature (SEC-56).
    case isolationUnavailable(String)
    case launchFailed(String)
    case refused(String)
}

/// The four calls that differ between a sandboxed process, a container and a Fargate task.
/// The warm pool, claiming, idle stop and limits are one manager in `ControlPlane/Compute` above it.
public protocol TaskLauncher: Sendable {
    /// Starts one agent process. Returns once it was started; where the launcher can tell, once it listens.
    func launch(_ request: LaunchRequest) async throws -> LaunchedTask
    func describe(_ ids: [LaunchID]) async throws -> [LaunchID: LaunchState]
    /// Kills the whole tree; harmless when it is gone.
    func stop(_ id: LaunchID) async throws
    func list() async throws -> [LaunchID]
    /// Suspends until that task is gone (at once when it is). Launchers without a signal poll.
    func waitUntilGone(_ id: LaunchID) async
    /// Whether a task can be launched unbound and receive its conversation later (warm pool).
    var supportsWarmTasks: Bool { get }
    var isolation: IsolationLevel { get }
    func probe() async throws
}

public struct LaunchRequest: Sendable {
    public var id: LaunchID
    /// The conversation it is for; nil = a warm, unbound task.
    public var session: SessionKey?
    /// Host directories and files to mount, for launchers on this machine.
    public var mounts: [Mount]
    /// Key with which calls to the process are signed (`X-Clawbot-Signature`); of this process alone.
    public var processKey: Secret
    /// Host path of the gateway's socket for this session, for launchers on this machine.
    public var gatewaySocket: String?
    public var idleTimeout: Duration
    public init(id: LaunchID, session: SessionKey?, mounts: [Mount], processKey: Secret, gatewaySocket: String?, idleTimeout: Duration) {
        self.id = id; self.session = session; self.mounts = mounts; self.processKey = processKey
        self.gatewaySocket = gatewaySocket; self.idleTimeout = idleTimeout
    }

    public struct Mount: Sendable, Hashable {
        public var source: String
        /// Absolute path in the sandbox, such as `/workspace/group`.
        public var target: String
        public var writable: Bool
        public init(source: String, target: String, writable: Bool) { self.source = source; self.target = target; self.writable = writable }
    }
}

public struct LaunchedTask: Sendable {
    public enum Endpoint: Sendable, Hashable {
        /// Host path of the socket on which the agent serves `/invocations`, `/stop`, `/ping`.
        case unixSocket(String)
        /// `http://10.0.1.2:8080`
        case url(String)
    }
    public var id: LaunchID
    public var endpoint: Endpoint
    /// What the agent must be told as its `gatewayUrl` (`unix:/run/agent/gateway.sock`); nil = the public one.
    public var gatewayURL: String?
    public init(id: LaunchID, endpoint: Endpoint, gatewayURL: String?) { self.id = id; self.endpoint = endpoint; self.gatewayURL = gatewayURL }
}

public enum LaunchState: Sendable, Hashable {
    case starting, running
    /// A sentence for the log.
    case gone(reason: String)
}
