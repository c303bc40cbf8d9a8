import Platform

/// Wakes those on this node who wait for something of a conversation to change: a settlement, a stop, the death of its agent,
/// or a freed slot. Only a wake-up: whoever is woken looks at the records.
public actor SettlementBoard {
    private var waiting: [SessionKey: [UInt64: CheckedContinuation<Void, Never>]] = [:]
    private var capacity: [UInt64: CheckedContinuation<Void, Never>] = [:]
    private var nextWaiter: UInt64 = 0
    /// Counts changes over all conversations; `last` holds the count of each one's newest change.
    private var count: UInt64 = 0
    private var last: [SessionKey: UInt64] = [:]
    /// Below this count `last` was forgotten: an older mark wakes at once.
    private var floor: UInt64 = 0

    public init() {}

    /// The conversation's run ended: its waiters look again, and so do those who wait for any slot.
    public func settled(_ session: SessionKey) {
        changed(session)
        for continuation in capacity.values { continuation.resume() }
        capacity = [:]
    }

    /// The conversation's state changed, but nothing was freed.
    public func changed(_ session: SessionKey) {
        count += 1
        if last.count >= 10_000 { last = [:]; floor = count }
        last[session] = count
        for continuation in waiting.removeValue(forKey: session)?.values ?? [:].values { continuation.resume() }
    }

    /// A point in time to pass to ``wait(_:since:)``; take it before looking at the records.
    public func mark() -> UInt64 { count }

    /// Suspends until the conversation changed after `mark`, or the task is cancelled.
    public func wait(_ session: SessionKey, since mark: UInt64) async {
        if Task.isCancelled || mark < floor || last[session] ?? 0 > mark { return }
        nextWaiter += 1
        let id = nextWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { continuation.resume() } else { waiting[session, default: [:]][id] = continuation }
            }
        } onCancel: {
            Task { await self.cancel(session, id) }
        }
    }

    /// Suspends until a slot may have become free on this node, or the task is cancelled.
    public func waitForCapacity() async {
        nextWaiter += 1
        let id = nextWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { continuation.resume() } else { capacity[id] = continuation }
            }
        } onCancel: {
            Task { await self.cancelCapacity(id) }
        }
    }

    private func cancel(_ session: SessionKey, _ id: UInt64) {
        waiting[session]?.removeValue(forKey: id)?.resume()
        if waiting[session]?.isEmpty == true { waiting[session] = nil }
    }
    private func cancelCapacity(_ id: UInt64) { capacity.removeValue(forKey: id)?.resume() }
}
