import Synchronization

/// Passes values from one producer to one consumer, one at a time: the producer waits until its value was taken.
/// Anyone may end it with an error, which the consumer sees at once.
final class Handoff<Element: Sendable>: Sendable {
    private enum State {
        case idle
        case offered(Element, CheckedContinuation<Void, any Error>)
        case awaited(CheckedContinuation<Element?, any Error>)
        case ended((any Error)?)
    }
    private let state = Mutex(State.idle)

    /// Waits for the consumer to take `element`. Throws when the handoff has ended.
    func send(_ element: Element) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let after: (() -> Void)? = state.withLock { state in
                    switch state {
                    case .idle:
                        state = .offered(element, continuation)
                        return nil
                    case .awaited(let consumer):
                        state = .idle
                        return {
                            consumer.resume(returning: element); continuation.resume()
                        }
                    case .ended(let error):
                        return { continuation.resume(throwing: error ?? CancellationError()) }
                    case .offered:
                        return { continuation.resume(throwing: CancellationError()) }
                    }
                }
                after?()
            }
        } onCancel: {
            end(CancellationError())
        }
    }

    /// The next value; nil at the end. Throws what the handoff was ended with.
    func next() async throws -> Element? {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Element?, any Error>) in
                let after: (() -> Void)? = state.withLock { state in
                    switch state {
                    case .idle:
                        state = .awaited(continuation)
                        return nil
                    case .offered(let element, let producer):
                        state = .idle
                        return {
                            producer.resume(); continuation.resume(returning: element)
                        }
                    case .ended(let error):
                        return { if let error { continuation.resume(throwing: error) } else { continuation.resume(returning: nil) } }
                    case .awaited:
                        return { continuation.resume(throwing: CancellationError()) }
                    }
                }
                after?()
            }
        } onCancel: {
            end(CancellationError())
        }
    }

    /// No more values; with an error, values offered and not taken are dropped. The first end counts.
    func end(_ error: (any Error)? = nil) {
        let after: (() -> Void)? = state.withLock { state in
            switch state {
            case .ended: return nil
            case .idle:
                state = .ended(error)
                return nil
            case .offered(_, let producer):
                state = .ended(error)
                return { producer.resume(throwing: error ?? CancellationError()) }
            case .awaited(let consumer):
                state = .ended(error)
                return { if let error { consumer.resume(throwing: error) } else { consumer.resume(returning: nil) } }
            }
        }
        after?()
    }
}

/// Fires once; whoever waits is told then, or at once when it has fired.
final class EndSignal: Sendable {
    private struct State { var fired = false; var next: UInt64 = 0; var actions: [UInt64: @Sendable () -> Void] = [:] }
    private let state = Mutex(State())

    var hasFired: Bool { state.withLock { $0.fired } }

    /// Runs `action` when the signal fires. Returns what ``forget(_:)`` takes.
    func onFire(_ action: @escaping @Sendable () -> Void) -> UInt64 {
        let (id, now) = state.withLock { state in
            state.next += 1
            if !state.fired { state.actions[state.next] = action }
            return (state.next, state.fired)
        }
        if now { action() }
        return id
    }
    func forget(_ id: UInt64) { state.withLock { $0.actions[id] = nil } }

    func fire() {
        let actions = state.withLock { state in
            state.fired = true
            defer { state.actions = [:] }
            return Array(state.actions.values)
        }
        for action in actions { action() }
    }
}
