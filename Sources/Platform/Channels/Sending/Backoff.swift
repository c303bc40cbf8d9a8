import Foundation
import Platform

/// 1 s × 2ⁿ with full jitter, at most 60 s (CHANNELS.md §1.8).
struct Backoff {
    private var failures = 0
    private let cap: TimeInterval
    init(cap: TimeInterval = 60) { self.cap = cap }

    mutating func next() -> Duration {
        let ceiling = min(cap, pow(2, Double(min(failures, 16))))
        failures += 1
        // Never zero: a loop that fails at once must not spin.
        return Duration(seconds: Double.random(in: min(0.1, ceiling)...ceiling))
    }
    mutating func reset() { failures = 0 }
}
