import Foundation
import Platform
import Synchronization

/// How many calls to each provider run at once on this node, against the provider's `maxConcurrency`. Who finds no place waits a
/// little, in the order of coming.
final class ProviderLoad: Sendable {
    /// How long a call waits for a place before it is told to come again.
    static let patience = Duration.seconds(3)

    private struct Line {
        var open = 0
        var waiting: [(place: Place, limit: Int)] = []
    }
    private let lines = Mutex<[ProviderID: Line]>([:])

    /// Takes a place, waiting for one if need be; false when none came free in time, or the task was cancelled.
    func enter(_ provider: Provider, time: any TimeSource) async -> Bool {
        let place = Place()
        let limit = provider.maxConcurrency ?? .max
        let entered = lines.withLock { lines in
            var line = lines[provider.providerId] ?? Line()
            let free = line.open < limit && line.waiting.isEmpty
            if free { line.open += 1 } else { line.waiting.append((place, limit)) }
            lines[provider.providerId] = line
            return free
        }
        if entered { return true }
        return await withTaskGroup(of: Void.self) { group in
            group.addTask {
                try? await time.sleep(for: Self.patience)
                place.decide(false)
            }
            let entered = await place.decision()
            group.cancelAll()
            if !entered {
                lines.withLock { lines in
                    guard var line = lines[provider.providerId] else { return }
                    line.waiting.removeAll { $0.place === place }
                    lines[provider.providerId] = line.open > 0 || !line.waiting.isEmpty ? line : nil
                }
            }
            return entered
        }
    }

    /// Gives a place back, to the first who still waits for one.
    func leave(_ id: ProviderID) {
        lines.withLock { lines in
            guard var line = lines[id] else { return }
            line.open -= 1
            while let next = line.waiting.first, line.open < next.limit {
                line.waiting.removeFirst()
                if next.place.decide(true) { line.open += 1 }
            }
            lines[id] = line.open > 0 || !line.waiting.isEmpty ? line : nil
        }
    }

    /// One who waits. Decided once.
    private final class Place: Sendable {
        private enum State { case undecided, awaited(CheckedContinuation<Bool, Never>), decided(Bool) }
        private let state = Mutex(State.undecided)

        /// Whether this was the decision.
        @discardableResult
        func decide(_ entered: Bool) -> Bool {
            let (first, waiter): (Bool, CheckedContinuation<Bool, Never>?) = state.withLock { state in
                switch state {
                case .decided: return (false, nil)
                case .undecided:
                    state = .decided(entered)
                    return (true, nil)
                case .awaited(let waiter):
                    state = .decided(entered)
                    return (true, waiter)
                }
            }
            waiter?.resume(returning: entered)
            return first
        }

        func decision() async -> Bool {
            await withCheckedContinuation { continuation in
                let known: Bool? = state.withLock { state in
                    if case .decided(let entered) = state { return entered }
                    state = .awaited(continuation)
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        }
    }
}
