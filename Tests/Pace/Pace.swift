import Foundation
import Synchronization
import Testing

/// Lets a few test cases run at once instead of all of them.
///
/// Swift Testing starts every case of every suite at the same time. On few cores each then waits behind hundreds of others, and
/// whoever watches for something to happen "soon" waits for the whole run. With this trait on every suite a case gets the machine
/// nearly to itself, in whatever way the tests are started. Use: `@Suite("Grants", .paced)`.
public struct Pace: SuiteTrait, TestTrait, TestScoping {
    /// Two per core: while one waits for a process or a socket another computes.
    private static let lanes = Lanes(max(4, 2 * ProcessInfo.processInfo.activeProcessorCount))
    /// A suite inside of a suite has the trait twice; its cases enter once.
    @TaskLocal private static var isInside = false

    public var isRecursive: Bool { true }

    public func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
        guard testCase != nil, !Self.isInside else { return try await function() }
        await Self.lanes.enter()
        defer { Self.lanes.leave() }
        try await Self.$isInside.withValue(true) { try await function() }
    }
}

extension Trait where Self == Pace {
    public static var paced: Pace { Pace() }
}

/// A counting semaphore for tasks, first come, first served.
private final class Lanes: Sendable {
    private struct State {
        var free: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }
    private let state: Mutex<State>
    init(_ count: Int) { state = Mutex(State(free: count)) }

    func enter() async {
        await withCheckedContinuation { continuation in
            let mayEnter = state.withLock { state in
                guard state.free == 0 else { state.free -= 1; return true }
                state.waiting.append(continuation)
                return false
            }
            if mayEnter { continuation.resume() }
        }
    }

    func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.waiting.isEmpty else { state.free += 1; return nil }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
