import Foundation
import Synchronization

/// A FIFO queue with groups in memory, for tests: the port's semantics exactly, not durable.
public final class InMemoryMessageQueue: MessageQueue {
    private struct Item {
        var sequence: UInt64
        var body: String
        var group: String
        var deduplicationID: String
        var sentAt: Date
        var receiveCount = 0
        /// When it may be received (again).
        var visibleAt: Date
        /// Of the newest receive; nil before the first.
        var receipt: QueueReceipt?
        var receivedAt: Date?
    }
    private struct State {
        /// Per group in order of sending.
        var groups: [String: [Item]] = [:]
        /// Which group a message is in, by its sequence number.
        var place: [UInt64: String] = [:]
        var seen: [String: Date] = [:]
        var nextSequence: UInt64 = 0
        /// Raised by everything that may make a message receivable.
        var version: UInt64 = 0
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter: UInt64 = 0
    }
    private let state = Mutex(State())
    private let time: any TimeSource
    private let maxReceives: Int?
    private let dead: InMemoryMessageQueue?

    /// A queue with its dead-letter queue.
    public convenience init(time: any TimeSource = SystemTime(), maxReceives: Int = QueueLimits.maxReceives) {
        self.init(time: time, maxReceives: maxReceives, dead: InMemoryMessageQueue(time: time, maxReceives: nil, dead: nil))
    }
    private init(time: any TimeSource, maxReceives: Int?, dead: InMemoryMessageQueue?) {
        self.time = time; self.maxReceives = maxReceives; self.dead = dead
    }
    public var deadLetters: (any MessageQueue)? { dead }

    public func send(_ body: String, group: String, deduplicationID: String) async throws {
        guard body.utf8.count <= QueueLimits.maxBodyBytes else { throw MessageQueueError.tooLarge }
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            let now = time.now()
            state.seen = state.seen.filter { $0.value + QueueLimits.deduplicationWindow.seconds > now }
            guard state.seen[deduplicationID] == nil else { return [] }
            state.seen[deduplicationID] = now
            Self.append(
                Item(sequence: 0, body: body, group: group, deduplicationID: deduplicationID, sentAt: now, visibleAt: now),
                to: &state)
            return Self.wake(&state)
        }
        for waiter in waiters { waiter.resume() }
    }

    public func receive(max: Int, wait: Duration, visibility: Duration) async throws -> [QueueDelivery] {
        let deadline = time.now() + wait.seconds
        while !Task.isCancelled {
            let (deliveries, dead, version, nextVisible) = state.withLock { state in take(max, visibility, &state) }
            self.dead?.bury(dead)
            if !deliveries.isEmpty { return deliveries }
            guard time.now() < deadline else { return [] }
            await self.wait(until: min(deadline, nextVisible ?? deadline), unlessChangedSince: version)
        }
        return []
    }

    public func acknowledge(_ receipt: QueueReceipt) async throws {
        try change(receipt, absentIsFine: true) { state, group, position in
            let item = state.groups[group]?.remove(at: position)
            if state.groups[group]?.isEmpty == true { state.groups[group] = nil }
            if let item { state.place[item.sequence] = nil }
        }
    }

    public func extend(_ receipt: QueueReceipt, by duration: Duration) async throws {
        try change(receipt) { [time] state, group, position in
            let limit = (state.groups[group]?[position].receivedAt ?? time.now()) + QueueLimits.maxInFlight.seconds
            state.groups[group]?[position].visibleAt = min(limit, time.now() + duration.seconds)
        }
    }

    public func release(_ receipt: QueueReceipt, after delay: Duration) async throws {
        try change(receipt) { [time] state, group, position in
            state.groups[group]?[position].visibleAt = time.now() + delay.seconds
        }
    }

    public func depth() async throws -> QueueDepth {
        state.withLock { state in
            let now = time.now()
            let items = state.groups.values.flatMap { $0 }
            let inFlight = items.count { $0.receipt != nil && $0.visibleAt > now }
            return QueueDepth(waiting: items.count - inFlight, inFlight: inFlight, oldest: items.map(\.sentAt).min())
        }
    }

    /// Gives back at once whatever is in flight, as an embedded backend does at start for the process that died.
    public func giveBack() {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            let now = time.now()
            for group in state.groups.keys {
                for position in state.groups[group, default: []].indices { state.groups[group]?[position].visibleAt = now }
            }
            return Self.wake(&state)
        }
        for waiter in waiters { waiter.resume() }
    }

    // MARK: -

    private static func append(_ item: Item, to state: inout State) {
        var item = item
        state.nextSequence += 1
        item.sequence = state.nextSequence
        state.groups[item.group, default: []].append(item)
        state.place[item.sequence] = item.group
    }

    private static func wake(_ state: inout State) -> [CheckedContinuation<Void, Never>] {
        state.version += 1
        defer { state.waiters = [:] }
        return Array(state.waiters.values)
    }

    /// Takes over messages that were received too often elsewhere. Their ids are not deduplicated again.
    private func bury(_ items: [Item]) {
        guard !items.isEmpty else { return }
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            for var item in items {
                item.receiveCount = 0
                item.receipt = nil
                item.visibleAt = time.now()
                Self.append(item, to: &state)
            }
            return Self.wake(&state)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Receives the heads of groups that have nothing in flight, oldest first.
    private func take(_ max: Int, _ visibility: Duration, _ state: inout State) -> (
        [QueueDelivery], dead: [Item], version: UInt64, nextVisible: Date?
    ) {
        let now = time.now()
        var dead: [Item] = []
        var heads: [Item] = []
        var nextVisible: Date?
        for group in Array(state.groups.keys) {
            while let head = state.groups[group]?.first {
                guard head.visibleAt <= now else { nextVisible = min(nextVisible ?? head.visibleAt, head.visibleAt); break }
                guard let maxReceives, head.receiveCount >= maxReceives else { heads.append(head); break }
                dead.append(head)
                state.groups[group]?.removeFirst()
                state.place[head.sequence] = nil
            }
            if state.groups[group]?.isEmpty == true { state.groups[group] = nil }
        }
        let deliveries = heads.sorted { $0.sequence < $1.sequence }.prefix(Swift.max(1, max)).map { head in
            let count = head.receiveCount + 1
            let receipt = QueueReceipt("\(head.sequence).\(count).\(Digest.randomToken(bytes: 6))")
            state.groups[head.group]?[0].receiveCount = count
            state.groups[head.group]?[0].visibleAt = now + visibility.seconds
            state.groups[head.group]?[0].receipt = receipt
            state.groups[head.group]?[0].receivedAt = now
            return QueueDelivery(
                body: head.body, group: head.group, deduplicationID: head.deduplicationID, receipt: receipt, receiveCount: count,
                sentAt: head.sentAt)
        }
        return (Array(deliveries), dead.sorted { $0.sequence < $1.sequence }, state.version, nextVisible)
    }

    private func change(_ receipt: QueueReceipt, absentIsFine: Bool = false, _ body: (inout State, String, Int) -> Void) throws {
        let waiters = try state.withLock { state throws -> [CheckedContinuation<Void, Never>] in
            guard let sequence = receipt.rawValue.split(separator: ".").first.flatMap({ UInt64($0) }) else {
                throw MessageQueueError.staleReceipt
            }
            guard let group = state.place[sequence],
                let position = state.groups[group]?.firstIndex(where: { $0.sequence == sequence })
            else {
                if absentIsFine, sequence <= state.nextSequence { return [] }
                throw MessageQueueError.staleReceipt
            }
            guard state.groups[group]?[position].receipt == receipt else { throw MessageQueueError.staleReceipt }
            body(&state, group, position)
            return Self.wake(&state)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Suspends until something changes, the deadline comes or the task is cancelled.
    private func wait(until deadline: Date, unlessChangedSince version: UInt64) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [time] in try? await time.sleep(until: deadline) }
            group.addTask { await self.waitForChange(since: version) }
            await group.next()
            group.cancelAll()
        }
    }

    private func waitForChange(since version: UInt64) async {
        let id = state.withLock { state in
            state.nextWaiter += 1; return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    guard state.version == version, !Task.isCancelled else { return false }
                    state.waiters[id] = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }
}
