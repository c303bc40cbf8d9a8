import Platform
import Synchronization

/// The way to end a run from outside: the first reason counts.
public final class RunControl: Sendable {
    public enum Reason: Sendable, Equatable {
        /// `POST /stop`: the control plane settles, nothing is said.
        case stopped
        /// The payload's deadline: the run ends with `agent-timeout`.
        case deadline
        /// 401 of the gateway: nothing can be said.
        case grantDead
        /// The process ends; the control plane tries the message again elsewhere.
        case shutdown
    }
    private struct State { var reason: Reason?; var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]; var next: UInt64 = 0 }
    private let state = Mutex(State())
    public init() {}

    public var reason: Reason? { state.withLock { $0.reason } }

    public func cancel(_ reason: Reason) {
        let waiters = state.withLock { state in
            if state.reason == nil { state.reason = reason }
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns once the run is to end, or the waiting task is cancelled.
    public func wait() async {
        let id = state.withLock { state in state.next += 1; return state.next }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let atOnce = state.withLock { state in
                    if state.reason != nil || Task.isCancelled { return true }
                    state.waiters[id] = continuation
                    return false
                }
                if atOnce { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: id) }?.resume()
        }
    }
}
