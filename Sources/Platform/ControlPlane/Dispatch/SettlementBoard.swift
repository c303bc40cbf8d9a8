import Platform

/// Wakes those on this node who wait for something of a conversation to change: a settlement, a stop, the death of its agent,
/// or a freed slot. Only a wake-up: whoever is woken looks at the records.
public actor SettlementBoard {
    private var waiting: [SessionKey: [UInt64: CheckedContinuation<Void, Never>]] = [:]
    /// Who waits for a slot of a user's plan, or (nil) for room on this node.
    private var capacity: [UserID?: [UInt64: CheckedContinuation<Void, Never>]] = [:]
    private var nextWaiter: UInt64 = 0
    /// Counts changes over all conversations; `last` holds the count of each one's newest change.
    private var count: UInt64 = 0
    private var last: [SessionKey: UInt64] = [:]
    /// Below this count `last` was forgotten: an older mark wakes at once.
    private var floor: UInt64 = 0

    public init() {}

    /// The conversation's run was settled: its waiters look again, and so do those who wait for a slot of the same user.
    /// Other tenants' waiters sleep on: a long backlog of one costs the others nothing.
    public func settled(_ session: SessionKey, of user: UserID) {
        changed(session)
        freed(user)
    }

    /// The conversation's process became idle or ended: there may be room on this node.
    public func idle(_ session: SessionKey) {
        changed(session)
        freed(nil)
    }

    private func freed(_ what: UserID?) {
        for continuation in capacity.removeValue(forKey: what)?.values ?? [:].values { continuation.resume() }
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

    /// Suspends until a slot of the user (nil = room on this node) may have become free, or the task is cancelled.
    public func waitForCapacity(of user: UserID?) async {
        nextWaiter += 1
        let id = nextWaiter
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if Task.isCancelled { continuation.resume() } else { capacity[user, default: [:]][id] = continuation }
            }
        } onCancel: {
            Task { await self.cancelCapacity(user, id) }
        }
    }

    private func cancel(_ session: SessionKey, _ id: UInt64) {
        waiting[session]?.removeValue(forKey: id)?.resume()
        if waiting[session]?.isEmpty == true { waiting[session] = nil }
    }
    private func cancelCapacity(_ user: UserID?, _ id: UInt64) {
        capacity[user]?.removeValue(forKey: id)?.resume()
        if capacity[user]?.isEmpty == true { capacity[user] = nil }
    }
}
