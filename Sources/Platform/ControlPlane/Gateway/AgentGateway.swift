import Foundation
import Logging
import Platform

/// The agent gateway: everything that an agent may ask of the platform, by its grant and nothing else (AGENT.md §1).
///
/// HTTP-neutral: `GatewayRoutes` in WebAPI is its door on the public listener and on the sockets of local sandboxes. Every call
/// is authorised anew against the session record; what is kept in memory (meters, replies, streams) decides nothing about that.
///
/// Methods throw ``GatewayError``, ``TaskError`` and ``ModelError``; errors of the stores pass through.
public struct AgentGateway: Sendable {
    let records: any RecordStore
    let objects: any ObjectStore
    let replies: any MessageQueue
    let live: any LiveEvents
    let tasks: TaskService
    let providers: ProviderResolution
    let quota: any TokenQuota
    let signer: GrantSigner
    let time: any TimeSource
    let logger: Logger
    let runs: LiveRuns
    let load = ProviderLoad()
    let health: ProviderHealth
    let hooks: Hooks

    /// What the rest of the control plane wants to know at once.
    public struct Hooks: Sendable {
        /// A final or error reply was accepted.
        public var finalAccepted: @Sendable (SessionKey, InvocationID) async -> Void = { _, _ in }
        /// A sign of life of a run.
        public var alive: @Sendable (SessionKey, InvocationID) async -> Void = { _, _ in }
        /// The platform's web search; nil = there is none.
        public var search: WebSearch?
        /// The way to remote MCP servers; nil = there is none here.
        public var mcp: MCPRelay?
        /// The credential proxy; nil = there is none here.
        public var proxy: CredentialProxy?
        /// The way out for commands; nil = there is none here.
        public var egress: EgressDoor?
        public init() {}
    }

    public init(
        records: any RecordStore, objects: any ObjectStore, replies: any MessageQueue, live: any LiveEvents, tasks: TaskService,
        providers: ProviderResolution, quota: any TokenQuota, signer: GrantSigner, health: ProviderHealth? = nil,
        time: any TimeSource = SystemTime(), logger: Logger = Logger(label: "clawbot.gateway"), hooks: Hooks = Hooks()
    ) {
        self.records = records; self.objects = objects; self.replies = replies; self.live = live; self.tasks = tasks
        self.providers = providers; self.quota = quota; self.signer = signer; self.time = time; self.logger = logger; self.hooks = hooks
        self.health = health ?? ProviderHealth(time: time)
        runs = LiveRuns(since: time.now())
    }

    /// Cuts the run's open streams and refuses what it still tries on this node; the record decides everywhere else.
    /// Called on settlement, `/stop` and by the accepted final reply. Repeatable.
    /// - Returns: the tokens that the run has used as far as this node metered them; nil when it never called here.
    @discardableResult
    public func end(_ invocation: InvocationID) async -> TokenUsage? {
        guard let run = runs.end(invocation) else { return nil }
        return await run.meter.usage
    }

    /// Model and tool calls of a run as this node saw them, after those that its record had.
    public func trace(of invocation: InvocationID) -> [TraceStep] { runs.known(invocation)?.trace ?? [] }

    /// Tokens that a run has used so far as this node metered them; fresher than the record's checkpoint.
    public func usage(of invocation: InvocationID) async -> TokenUsage? {
        await runs.known(invocation)?.meter.usage
    }
}
