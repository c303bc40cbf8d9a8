import Foundation
import Platform
import Synchronization

/// How fast something may be sent: `burst` at once, then one per `interval`.
struct PaceRule: Sendable {
    var interval: TimeInterval
    var burst: Int
}

/// Token buckets by key, kept as the time at which each would be full again (the generic cell rate algorithm), so that an idle one costs nothing.
final class SendPace: Sendable {
    private let time: any TimeSource
    private let fullAt = Mutex<[String: Date]>([:])
    init(time: any TimeSource) { self.time = time }

    /// Takes one token from every bucket and waits until all of them allow it. A longer wait than `patience` takes nothing and
    /// is returned instead, for the caller to do. Throws `CancellationError`.
    func wait(_ buckets: [(key: String, rule: PaceRule)], patience: Duration) async throws -> Duration? {
        let now = time.now()
        let due = fullAt.withLock { fullAt in
            if fullAt.count > 4096 { fullAt = fullAt.filter { $0.value > now } }
            let due = buckets.map { max(fullAt[$0.key] ?? now, now) - $0.rule.interval * Double($0.rule.burst - 1) }.max().map { max($0, now) } ?? now
            if due.timeIntervalSince(now) <= patience.seconds {
                for (key, rule) in buckets { fullAt[key] = max(fullAt[key] ?? now, now) + rule.interval }
            }
            return due
        }
        guard due > now else { return nil }
        guard due.timeIntervalSince(now) <= patience.seconds else { return Duration(seconds: due.timeIntervalSince(now)) }
        try await time.sleep(until: due)
        return nil
    }

    /// The vendor asked to wait: nothing goes out under this key before.
    func block(_ key: String, rule: PaceRule, for duration: Duration) {
        let until = time.now() + duration.seconds + rule.interval * Double(rule.burst - 1)
        fullAt.withLock { $0[key] = max($0[key] ?? until, until) }
    }
}
