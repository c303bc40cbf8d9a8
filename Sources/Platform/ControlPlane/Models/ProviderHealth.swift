import Foundation
import Platform
import Synchronization

/// Circuit breakers of this node, one for each model of a provider: an endpoint that fails call after call is left alone for a while,
/// so that runs neither hang on it nor keep it down, then tried by a single call.
///
/// Overload (429, 529) is no failure here: such an endpoint works, and runs wait as it tells them.
public final class ProviderHealth: Sendable {
    /// Failures in a row that open the circuit.
    static let threshold = 5
    /// The first pause; each failed probe doubles it, up to `longestPause`.
    static let pause = Duration.seconds(10)
    static let longestPause = Duration.seconds(60)
    /// A probe that never reports, because its run ended, blocks the next one for so long.
    private static let probeTime = Duration.seconds(60)

    public enum State: Sendable, Equatable {
        case closed(failures: Int)
        case open(until: Date, pauses: Int)
        /// Half-open: one call is on its way to find out; the next may go when it has not reported by then.
        case probing(until: Date, pauses: Int)
    }
    enum Outcome { case worked, failed, neither }

    private struct Key: Hashable { var provider: ProviderID; var model: String }
    private struct Entry { var state: State; var updatedAt: Date }
    private let entries = Mutex<[Key: Entry]>([:])
    private let time: any TimeSource

    public init(time: any TimeSource = SystemTime()) { self.time = time }

    public func state(_ provider: Provider, _ model: String) -> State { entries.withLock { Self.state(&$0, provider, model) } }

    /// A changed record is another endpoint: its past does not count.
    private static func state(_ entries: inout [Key: Entry], _ provider: Provider, _ model: String) -> State {
        let key = Key(provider: provider.providerId, model: model)
        guard let entry = entries[key] else { return .closed(failures: 0) }
        if entry.updatedAt == provider.updatedAt { return entry.state }
        entries[key] = nil
        return .closed(failures: 0)
    }

    /// Nil when a call may go; else how long to wait. A call that may go when the circuit is open is the probe.
    func refusal(_ provider: Provider, _ model: String) -> Duration? {
        let now = time.now()
        return entries.withLock { entries in
            switch Self.state(&entries, provider, model) {
            case .closed: return nil
            case .open(let until, let pauses), .probing(let until, let pauses):
                if now < until { return Duration(seconds: until.timeIntervalSince(now)) }
                entries[Key(provider: provider.providerId, model: model)] = Entry(
                    state: .probing(until: now + Self.probeTime.seconds, pauses: pauses), updatedAt: provider.updatedAt)
                return nil
            }
        }
    }

    func report(_ outcome: Outcome, _ provider: Provider, _ model: String) {
        let now = time.now()
        entries.withLock { entries in
            let key = Key(provider: provider.providerId, model: model)
            let next: State?
            switch (outcome, Self.state(&entries, provider, model)) {
            case (.worked, _): next = nil
            case (.neither, .probing(_, let pauses)): next = .open(until: now, pauses: pauses)
            case (.neither, let state): next = state
            case (.failed, .closed(let failures)):
                next = failures + 1 >= Self.threshold ? .open(until: now + Self.pause.seconds, pauses: 1) : .closed(failures: failures + 1)
            case (.failed, .probing(_, let pauses)):
                let pause = min(Self.longestPause.seconds, Self.pause.seconds * pow(2, Double(pauses)))
                next = .open(until: now + pause, pauses: pauses + 1)
            // A call that was on its way before the circuit opened.
            case (.failed, .open(let until, let pauses)): next = .open(until: until, pauses: pauses)
            }
            entries[key] = next.flatMap { $0 == .closed(failures: 0) ? nil : Entry(state: $0, updatedAt: provider.updatedAt) }
        }
    }

    /// The circuits that are not closed, for `/metrics`.
    public var open: [(provider: ProviderID, model: String)] {
        entries.withLock { entries in
            entries.compactMap { key, entry -> (provider: ProviderID, model: String)? in
                if case .closed = entry.state { return nil }
                return (key.provider, key.model)
            }.sorted { ($0.provider, $0.model) < ($1.provider, $1.model) }
        }
    }
}
