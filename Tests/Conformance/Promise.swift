import Foundation
import Platform

// A port's promises, to be run unchanged against every backend. Use:
//
//     @Test(arguments: RecordStorePromises.all)          // + .afterRestart for a backend that persists
//     func keeps(_ promise: Promise<RecordStoreHarness>) async throws {
//         let time = ManualTime()
//         try await promise.check(RecordStoreHarness(store: …, time: time, reopen: { … }))
//     }
//
// Each check gets a FRESH backend of its own, built with the harness's `ManualTime`: every notion of now that decides
// something (expiry, visibility, deduplication, due times, leases) must come from it, and whoever waits for a time must
// `sleep` on it: checks move the clock while somebody sleeps. `reopen` closes the backend
// and opens it again on the same data, as after a restart of the process; only `afterRestart` promises call it.
// A check throws ``PromiseBroken`` with what was expected and what was seen. The library knows no test framework.

/// One promise of a port: a sentence, and how to see that it is kept.
public struct Promise<Harness: Sendable>: Sendable, CustomStringConvertible {
    public let name: String
    public let check: @Sendable (Harness) async throws -> Void
    public var description: String { name }

    init(_ name: String, _ check: @escaping @Sendable (Harness) async throws -> Void) {
        self.name = name
        self.check = check
    }
}

public struct PromiseBroken: Error, CustomStringConvertible {
    public let expected: String
    public let seen: String
    public let line: Int
    public let file: String
    public var description: String { "expected \(expected), saw \(seen) (\(file):\(line))" }
}

// MARK: - What checks are written with

func expect<T: Equatable>(_ seen: T, is expected: T, _ what: String = "", file: String = #fileID, line: Int = #line) throws {
    guard seen == expected else {
        throw PromiseBroken(expected: "\(what.isEmpty ? "" : what + " = ")\(expected)", seen: "\(seen)", line: line, file: file)
    }
}

func expect(_ condition: Bool, _ what: String, seen: Any? = nil, file: String = #fileID, line: Int = #line) throws {
    guard condition else {
        throw PromiseBroken(expected: what, seen: seen.map { "\($0)" } ?? "otherwise", line: line, file: file)
    }
}

func present<T>(_ value: T?, _ what: String, file: String = #fileID, line: Int = #line) throws -> T {
    guard let value else { throw PromiseBroken(expected: what, seen: "nothing", line: line, file: file) }
    return value
}

/// Expects that `body` throws an error that `matches` knows; returns it.
@discardableResult
func expectThrow(
    _ what: String, file: String = #fileID, line: Int = #line, _ matches: (any Error) -> Bool, _ body: () async throws -> Void
) async throws -> any Error {
    do { try await body() } catch {
        guard matches(error) else { throw PromiseBroken(expected: what, seen: "\(error)", line: line, file: file) }
        return error
    }
    throw PromiseBroken(expected: what, seen: "no error", line: line, file: file)
}

/// Waits, without a fixed time, until `condition` holds; gives up after 60 s.
func eventually(_ what: String, file: String = #fileID, line: Int = #line, _ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while try await !condition() {
        guard ContinuousClock.now < end else {
            throw PromiseBroken(expected: "in the end: \(what)", seen: "not within 60 s", line: line, file: file)
        }
        try await Task.sleep(for: .milliseconds(2))
    }
}

/// Runs `body` and fails when it does not end within 60 s of real time.
func promptly<T: Sendable>(
    _ what: String, file: String = #fileID, line: Int = #line, _ body: @escaping @Sendable () async throws -> T
) async throws -> T {
    try await withThrowingTaskGroup(of: T.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: .seconds(60))
            throw PromiseBroken(expected: "\(what) at once", seen: "nothing within 60 s", line: line, file: file)
        }
        defer { group.cancelAll() }
        return try await group.next()!
    }
}

/// Waits until somebody sleeps on the clock.
func asleep(_ time: ManualTime, file: String = #fileID, line: Int = #line) async throws {
    try await eventually("a waiter that sleeps on the given time source", file: file, line: line) { time.sleepers > 0 }
}

/// Runs `body` while the clock is moved on in steps whenever somebody sleeps on it.
func advancing<T: Sendable>(_ time: ManualTime, by step: Duration, _ body: @escaping @Sendable () async throws -> T) async throws
    -> T
{
    try await withThrowingTaskGroup(of: T?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            while !Task.isCancelled {
                if time.sleepers > 0 { time.advance(by: step) }
                try? await Task.sleep(for: .milliseconds(2))
            }
            return nil
        }
        defer { group.cancelAll() }
        return try await group.next()!!
    }
}
