import Foundation
import Platform
import Synchronization

/// The state of an agent process: whom it serves, what runs, what ended. One conversation for life, one run at a time (SEC-69).
public final class RunHost: Sendable {
    public struct Job: Sendable {
        public let payload: InvocationPayload
        public let control: RunControl
    }
    enum Admission: Equatable { case accepted, busy, otherSession, replayed }

    private struct Binding: Equatable { var userId: UserID; var session: SessionKey }
    private struct State {
        var launchedFor: SessionKey?
        var binding: Binding?
        var active: Job?
        /// Admitted, not yet taken by the worker.
        var pending: Job?
        var ended: Set<InvocationID> = []
        var closing = false
        var lastUpdate: Date
        var worker: CheckedContinuation<Void, Never>?
    }
    private let state: Mutex<State>
    private let time: any TimeSource

    /// - Parameter session: the conversation that the process was launched for; nil = the first payload decides.
    public init(session: SessionKey?, time: any TimeSource = SystemTime()) {
        self.time = time
        state = Mutex(State(launchedFor: session, lastUpdate: time.now()))
    }

    // MARK: For the server

    func admit(_ payload: InvocationPayload, grant: Grant) -> Admission {
        wake { state in
            let binding = Binding(userId: payload.userId, session: payload.session)
            guard grant.userId == payload.userId, grant.session == payload.session, grant.invocationId == payload.invocationId,
                state.binding == nil || state.binding == binding, state.launchedFor == nil || state.launchedFor == payload.session
            else { return .otherSession }
            guard !state.ended.contains(payload.invocationId) else { return .replayed }
            guard state.active == nil, !state.closing else { return .busy }
            state.binding = binding
            let job = Job(payload: payload, control: RunControl())
            state.active = job
            state.pending = job
            return .accepted
        }
    }

    /// Whether that run is active, and now told to end.
    func stop(_ invocation: InvocationID) -> Bool {
        let job = state.withLock { $0.active?.payload.invocationId == invocation ? $0.active : nil }
        job?.control.cancel(.stopped)
        return job != nil
    }

    /// `Healthy`/`HealthyBusy` and when that last changed, by the rule of API.md §6.1.
    func health() -> (busy: Bool, updated: Date) {
        let now = time.now()
        return state.withLock { $0.active == nil ? (false, $0.lastUpdate) : (true, now) }
    }

    /// Of the active run.
    var grant: String? { state.withLock { $0.active?.payload.grant } }

    // MARK: For the worker

    /// The next run; nil when the process is to end: told so, or idle for longer than `idleTimeout`.
    /// A process that nobody has claimed yet (warm pool) is never idle.
    func nextJob(idleTimeout: Duration?) async -> Job? {
        while !Task.isCancelled {
            let (job, closing, claimed) = state.withLock { state in
                defer { state.pending = nil }
                return (state.pending, state.closing, state.binding != nil || state.launchedFor != nil)
            }
            if let job { return job }
            if closing { return nil }
            let timeout = claimed ? idleTimeout : nil
            await withTaskGroup(of: Bool.self) { group in
                group.addTask { await self.waitForWork(); return false }
                if let timeout { group.addTask { (try? await self.time.sleep(for: timeout)) != nil } }
                if await group.next() == true { self.closeIfIdle() }
                group.cancelAll()
            }
        }
        return nil
    }

    func end(_ job: Job) {
        let now = time.now()
        state.withLock { state in
            state.active = nil
            state.ended.insert(job.payload.invocationId)
            state.lastUpdate = now
        }
    }

    /// No further run; the active one goes on until it is done or cancelled.
    func close() { wake { $0.closing = true } }
    func cancelActive(_ reason: RunControl.Reason) { state.withLock { $0.active }?.control.cancel(reason) }

    private func closeIfIdle() { state.withLock { if $0.active == nil { $0.closing = true } } }

    private func waitForWork() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let atOnce = state.withLock { state in
                    guard state.pending == nil, !state.closing, !Task.isCancelled else { return true }
                    state.worker = continuation
                    return false
                }
                if atOnce { continuation.resume() }
            }
        } onCancel: {
            wake { _ in }
        }
    }

    private func wake<T: Sendable>(_ change: (inout State) -> T) -> T {
        let (result, worker) = state.withLock { state in
            let result = change(&state)
            defer { state.worker = nil }
            return (result, state.worker)
        }
        worker?.resume()
        return result
    }
}
