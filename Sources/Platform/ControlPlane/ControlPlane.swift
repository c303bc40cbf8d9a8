import Channels
import Foundation
import Logging
import Platform
import ServiceLifecycle

/// The ports that a control plane stands on; the composition root fills them from the configured backends.
public struct Ports: Sendable {
    public var records: any RecordStore
    public var objects: any ObjectStore
    public var inbound: any MessageQueue
    public var replies: any MessageQueue
    public var secrets: any SecretStore
    public var scheduler: any Scheduler
    public var live: any LiveEvents
    public var time: any TimeSource
    public init(
        records: any RecordStore, objects: any ObjectStore, inbound: any MessageQueue, replies: any MessageQueue, secrets: any SecretStore,
        scheduler: any Scheduler, live: any LiveEvents, time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.objects = objects; self.inbound = inbound; self.replies = replies
        self.secrets = secrets; self.scheduler = scheduler; self.live = live; self.time = time
    }
}

/// A message's whole way, put together: ingest, dispatch, delivery, settlement, and the services that keep it going.
///
/// Parts that others need are public; the rest is reached through ``services``.
public struct ControlPlane: Sendable {
    /// What is built before the control plane because others need it too.
    public struct Foundation: Sendable {
        public let ports: Ports
        public let directory: Directory
        public let groups: GroupRegistry
        public let board: SettlementBoard
        public let ledger: QuotaLedger
        public let events: EventLog
        public let history: MemoryHistory
        /// This process, as runs and leases name it.
        public let node: String
        /// This process as leases name it: the same over restarts where only one process can hold the store.
        public let leaseOwner: String
        public let logger: Logger
        /// Told of what operators count.
        public let observer: Observer

        public init(ports: Ports, logger: Logger, node: String? = nil, leaseOwner: String? = nil, observer: @escaping Observer = { _ in }) {
            self.ports = ports
            self.logger = logger
            self.observer = observer
            self.node = node ?? ULID.make(at: ports.time.now())
            self.leaseOwner = leaseOwner ?? self.node
            directory = Directory(records: ports.records, secrets: ports.secrets, time: ports.time)
            groups = GroupRegistry(records: ports.records, time: ports.time)
            board = SettlementBoard()
            ledger = QuotaLedger(records: ports.records, time: ports.time)
            events = EventLog(records: ports.records, live: ports.live, time: ports.time)
            history = MemoryHistory(objects: ports.objects, time: ports.time)
        }
    }

    public let foundation: Foundation
    public let ingest: Ingest
    public let deadLetters: DeadLetterBook
    public let health: ChannelHealth
    public let wake: ChannelWake
    public let settlement: Settlement
    public let runs: RunStopper
    /// Everything that runs while the process serves, in the order of start; stopped in reverse.
    public let services: [any Service]

    public init(
        _ foundation: Foundation, channels: ChannelRegistry, compute: any AgentCompute, tasks: TaskService, ending: any RunEnding, signer: GrantSigner,
        searchesWeb: Bool = false, mcp: MCPRelay? = nil
    ) {
        let ports = foundation.ports
        let logger = foundation.logger
        self.foundation = foundation
        let answers = PlatformAnswers(replies: ports.replies, records: ports.records, time: ports.time)
        let memory = MemoryKeeper(history: foundation.history, logger: logger)
        var settlement = Settlement(
            records: ports.records, ledger: foundation.ledger, events: foundation.events, tasks: tasks, board: foundation.board, time: ports.time, logger: logger,
            onSettled: memory.note)
        settlement.observer = foundation.observer
        var deadLetters = DeadLetterBook(records: ports.records, inbound: ports.inbound, replies: ports.replies, time: ports.time)
        deadLetters.observer = foundation.observer
        let health = ChannelHealth(
            records: ports.records, channels: channels, directory: foundation.directory, answers: answers, time: ports.time, logger: logger)
        let wake = ChannelWake()
        let cancellation = Cancellation(ending: ending, board: foundation.board)
        let side = SideDoor(
            records: ports.records, answers: answers, directory: foundation.directory, settlement: settlement, runs: cancellation, time: ports.time)
        var ingest = Ingest(
            records: ports.records, inbound: ports.inbound, directory: foundation.directory, groups: foundation.groups, channels: channels,
            events: foundation.events, answers: answers, side: side, loops: LoopGuard(), time: ports.time, logger: logger)
        ingest.observer = foundation.observer
        // Commands without a network of their own cannot reach the credential proxy, so none is promised.
        var proxyPrefixes: (@Sendable (UserID) async throws -> [String])?
        if compute.isolation >= .namespaces { proxyPrefixes = { [records = ports.records] in try await ProxyRule.prefixes(of: $0, in: records) } }
        var driver = RunDriver(
            records: ports.records, replies: ports.replies, compute: compute, directory: foundation.directory, channels: channels,
            ledger: foundation.ledger, settlement: settlement, answers: answers, deadLetters: deadLetters,
            builder: InvocationBuilder(
                signer: signer, prompts: PromptBuilder(records: ports.records), mcp: mcp?.selection,
                proxyPrefixes: proxyPrefixes,
                skills: SkillSelection(records: ports.records), time: ports.time, searchesWeb: searchesWeb),
            fetcher: AttachmentFetcher(
                records: ports.records, objects: ports.objects, channels: channels, directory: foundation.directory, logger: logger),
            board: foundation.board, ending: ending, node: foundation.node, time: ports.time, logger: logger)
        driver.observer = foundation.observer
        let delivery = Delivery(
            records: ports.records, objects: ports.objects, channels: channels, directory: foundation.directory, events: foundation.events,
            settlement: settlement, deadLetters: deadLetters, health: health, time: ports.time, logger: logger)
        self.ingest = ingest
        self.deadLetters = deadLetters
        self.health = health
        self.wake = wake
        self.settlement = settlement
        runs = RunStopper(records: ports.records, runs: cancellation)
        services = [
            Deliverer(queue: ports.replies, delivery: delivery, deadLetters: deadLetters, time: ports.time, logger: logger),
            Dispatcher(queue: ports.inbound, driver: driver, deadLetters: deadLetters, time: ports.time, logger: logger),
            DeadLetterDrain(book: deadLetters, records: ports.records, answers: answers, settlement: settlement, time: ports.time, logger: logger),
            ChannelGateways(
                records: ports.records, channels: channels, directory: foundation.directory, sink: ingest, wake: wake, owner: foundation.leaseOwner,
                time: ports.time, logger: logger),
            health, memory,
        ]
    }

    /// `/stop` as it reaches a run: its streams are cut, its process cancels, its dispatcher looks at the record.
    private struct Cancellation: RunControl {
        let ending: any RunEnding
        let board: SettlementBoard
        func cancel(_ session: SessionKey, _ invocation: InvocationID) async {
            _ = await ending.end(invocation)
            await board.changed(session)
        }
    }
}
