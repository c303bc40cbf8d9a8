import Foundation
import Platform
import Synchronization

/// Receivers that wait for work, woken one per piece of work, and all of them when the time changes at which a
/// delivery that is out comes back.
final class WaitingLine: Sendable {
    private struct State {
        /// Grows with every wake, so that one that falls between looking and waiting is not lost.
        var version: UInt64 = 0
        /// Earliest known time at which something becomes visible again.
        var alarm: Date?
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Void, Never>)] = []
        var lastID: UInt64 = 0
    }
    private let state = Mutex(State())
    private let time: any TimeSource

    init(time: any TimeSource) { self.time = time }

    /// To be taken before looking for work, and passed to ``wait(since:until:)``.
    var version: UInt64 { state.withLock { $0.version } }
    /// How many wait now.
    var count: Int { state.withLock { $0.waiters.count } }

    /// New work for `count` receivers.
    func ring(_ count: Int = 1) {
        guard count > 0 else { return }
        let woken = state.withLock { state in
            state.version += 1
            defer { state.waiters.removeFirst(min(count, state.waiters.count)) }
            return state.waiters.prefix(count)
        }
        for waiter in woken { waiter.continuation.resume() }
    }

    /// Something comes back at `date`: who sleeps longer than that looks at the clock anew.
    func expect(at date: Date) {
        let woken = state.withLock { state in
            if let alarm = state.alarm, alarm <= date { return [(id: UInt64, continuation: CheckedContinuation<Void, Never>)]() }
            state.alarm = date
            state.version += 1
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in woken { waiter.continuation.resume() }
    }

    /// The exact time of the next return, as just read from the database; nil = nothing is out.
    func setAlarm(_ date: Date?) { state.withLock { $0.alarm = date } }

    /// Waits for a ring after `version` was read, for the alarm, for the deadline or for cancellation.
    func wait(since version: UInt64, until deadline: Date) async {
        let limit = state.withLock { state in state.alarm.map { min($0, deadline) } ?? deadline }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await self.time.sleep(until: limit) }
            group.addTask { await self.suspend(since: version) }
            await group.next()
            group.cancelAll()
        }
    }

    private func suspend(since version: UInt64) async {
        let id = state.withLock { state in state.lastID += 1; return state.lastID }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    guard state.version == version, !Task.isCancelled else { return false }
                    state.waiters.append((id, continuation))
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume()
        }
    }
}
