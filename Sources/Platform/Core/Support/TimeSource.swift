import Foundation
import Synchronization

/// Where the platform takes the time from, so that tests hold it in their hand.
public protocol TimeSource: Sendable {
    func now() -> Date
    /// Suspends until `deadline`; throws `CancellationError` when cancelled.
    func sleep(until deadline: Date) async throws
}

extension TimeSource {
    public func sleep(for duration: Duration) async throws { try await sleep(until: now() + duration.seconds) }
}

public struct SystemTime: TimeSource {
    public init() {}
    public func now() -> Date { Date() }
    public func sleep(until deadline: Date) async throws {
        try await Task.sleep(for: .seconds(max(0, deadline.timeIntervalSinceNow)))
    }
}

extension Duration {
    public var seconds: TimeInterval {
        let parts = components
        return TimeInterval(parts.seconds) + TimeInterval(parts.attoseconds) * 1e-18
    }
    public var milliseconds: Int { Int((seconds * 1000).rounded()) }
    public init(seconds: TimeInterval) { self = .nanoseconds(Int64(seconds * 1e9)) }
}

/// A clock that stands still until a test moves it.
public final class ManualTime: TimeSource {
    private struct State { var now: Date; var sleepers: [UInt64: (Date, CheckedContinuation<Void, any Error>)] = [:]; var next: UInt64 = 0 }
    private let state: Mutex<State>
    public init(_ start: Date = Date(timeIntervalSince1970: 1_760_000_000)) { state = Mutex(State(now: start)) }

    public func now() -> Date { state.withLock { $0.now } }

    public func advance(by duration: Duration) {
        let due = state.withLock { state in
            state.now += duration.seconds
            let due = state.sleepers.filter { $0.value.0 <= state.now }
            for id in due.keys { state.sleepers[id] = nil }
            return due.values.map(\.1)
        }
        for continuation in due { continuation.resume() }
    }

    /// How many tasks sleep on this clock now: a test waits for that before it moves the time.
    public var sleepers: Int { state.withLock { $0.sleepers.count } }

    /// When the first of them wants to wake; nil when nobody sleeps. Tells one sleep of a task from its next.
    public var nextWakeUp: Date? { state.withLock { $0.sleepers.values.map(\.0).min() } }

    public func sleep(until deadline: Date) async throws {
        let id = state.withLock { state in state.next += 1; return state.next }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let finished: Result<Void, any Error>? = state.withLock { state in
                    if Task.isCancelled { return .failure(CancellationError()) }
                    if deadline <= state.now { return .success(()) }
                    state.sleepers[id] = (deadline, continuation)
                    return nil
                }
                if let finished { continuation.resume(with: finished) }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: id)?.1 }?.resume(throwing: CancellationError())
        }
    }
}
