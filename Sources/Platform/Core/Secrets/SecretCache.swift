import Foundation
import Synchronization

/// Opened values for at most 60 s and 1000 names; absence is remembered too, as an absent optional secret is asked for
/// with every message.
final class SecretCache<Value: Sendable>: Sendable {
    private struct State { var entries: [String: (value: Value, until: Date)] = [:]; var drops: UInt64 = 0 }
    private let state = Mutex(State())
    private let time: any TimeSource
    private let lifetime: Duration
    private let limit: Int

    init(time: any TimeSource, lifetime: Duration = .seconds(60), limit: Int = 1000) {
        self.time = time; self.lifetime = lifetime; self.limit = limit
    }

    func get(_ name: String) -> Value? {
        state.withLock { state in
            guard let entry = state.entries[name] else { return nil }
            let now = time.now()
            // A clock that was set back must not lengthen a life.
            guard now < entry.until, entry.until <= now + lifetime.seconds else { state.entries[name] = nil; return nil }
            return entry.value
        }
    }

    /// To be read before the store is asked, and passed to ``keep(_:_:since:)``.
    var version: UInt64 { state.withLock { $0.drops } }

    /// Keeps what was read, unless something was dropped meanwhile: it may be older than that write.
    func keep(_ name: String, _ value: Value, since version: UInt64) {
        state.withLock { state in
            guard state.drops == version else { return }
            if state.entries[name] == nil, state.entries.count >= limit { makeRoom(&state) }
            state.entries[name] = (value, time.now() + lifetime.seconds)
        }
    }

    func drop(_ name: String) { state.withLock { $0.drops += 1; $0.entries[name] = nil } }
    var count: Int { state.withLock { $0.entries.count } }

    private func makeRoom(_ state: inout State) {
        let now = time.now()
        state.entries = state.entries.filter { $0.value.until > now }
        // Of the rest the oldest tenth goes, so that a full cache is not searched on every miss.
        guard state.entries.count >= limit else { return }
        for entry in state.entries.sorted(by: { $0.value.until < $1.value.until }).prefix(max(1, limit / 10)) { state.entries[entry.key] = nil }
    }
}
