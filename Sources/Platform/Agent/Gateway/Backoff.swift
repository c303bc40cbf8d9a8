import Foundation

/// Waiting times between tries: exponential with full jitter in the upper half, so that many agents do not knock at once.
struct Backoff: Sendable {
    var first: Duration = .milliseconds(200)
    var most: Duration = .seconds(10)

    /// The wait before try `attempt + 1`; `attempt` counts from 0.
    func delay(_ attempt: Int) -> Duration {
        let ceiling = min(most.seconds, first.seconds * pow(2, Double(min(attempt, 20))))
        return Duration(seconds: ceiling * Double.random(in: 0.5...1))
    }
}
