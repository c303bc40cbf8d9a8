import Foundation
import Platform
import Synchronization

/// Stops two bots that answer each other: more than 30 runs within a minute in one conversation → context only for 60 s.
public final class LoopGuard: Sendable {
    public enum Verdict: Sendable, Equatable {
        case run
        /// The limit was just passed: say so in the conversation, once, and do not run.
        case tripped
        /// Still within the pause.
        case muted
    }
    private struct Entry {
        var runs: [Date] = []
        var mutedUntil: Date?
    }
    private let limit: Int
    private let window: TimeInterval
    private let entries = Mutex<[SessionKey: Entry]>([:])

    public init(limit: Int = 30, window: Duration = .seconds(60)) { self.limit = limit; self.window = window.seconds }

    /// Counts one run that is about to start.
    public func admit(_ session: SessionKey, at now: Date) -> Verdict {
        entries.withLock { entries in
            if entries.count > 1000 {
                entries = entries.filter { _, entry in entry.mutedUntil.map { $0 > now } ?? false || entry.runs.last.map { now.timeIntervalSince($0) < window } ?? false }
            }
            var entry = entries[session] ?? Entry()
            defer { entries[session] = entry }
            if let end = entry.mutedUntil {
                if now < end { return .muted }
                entry = Entry()
            }
            entry.runs.removeAll { now.timeIntervalSince($0) >= window }
            guard entry.runs.count < limit else {
                entry.mutedUntil = now + window
                entry.runs = []
                return .tripped
            }
            entry.runs.append(now)
            return .run
        }
    }
}
