import Foundation
import Platform
import Synchronization

/// The buckets of API.md §1.7: how many requests a key may make in 60 s.
///
/// A sliding window from two fixed ones: the last window's count weighs by how much of it still lies within 60 s.
public final class RateLimits: Sendable {
    public enum Bucket: String, Sendable, CaseIterable {
        /// Per user.
        case api, chat, provider
        /// Per address.
        case signIn, open
        /// Per bot and channel type.
        case webhook

        public var standard: Int {
            switch self {
            case .api: 600
            case .chat: 30
            case .provider: 10
            case .signIn: 20
            case .open: 300
            case .webhook: 1200
            }
        }
    }
    public struct Verdict: Sendable, Equatable {
        public var allowed: Bool
        public var limit: Int
        public var remaining: Int
        /// Seconds until a refused caller may come again, or until the window is empty.
        public var reset: Int
    }
    private struct Window { var start: Int; var count: Int; var previous: Int }
    private struct Key: Hashable { var bucket: Bucket; var key: String }
    private struct State { var windows: [Key: Window] = [:]; var swept = 0 }

    private static let span = 60.0
    /// Above this many keys, stale ones are swept more often than once per window.
    private static let crowd = 50_000
    private let limits: [Bucket: Int]
    private let time: any TimeSource
    private let state = Mutex(State())

    public init(limits: [Bucket: Int] = [:], time: any TimeSource = SystemTime()) { self.limits = limits; self.time = time }

    public func limit(_ bucket: Bucket) -> Int { limits[bucket] ?? bucket.standard }

    /// Counts one request, unless it is over the limit. With `counting: false` only looks.
    public func take(_ bucket: Bucket, _ key: String, counting: Bool = true) -> Verdict {
        let limit = limit(bucket)
        let now = time.now().timeIntervalSince1970
        let index = Int(now / Self.span)
        let elapsed = now - Double(index) * Self.span
        return state.withLock { state in
            sweep(&state, index)
            let name = Key(bucket: bucket, key: key)
            var window = state.windows[name] ?? Window(start: index, count: 0, previous: 0)
            if window.start != index {
                window = Window(start: index, count: 0, previous: window.start == index - 1 ? window.count : 0)
            }
            let used = Double(window.count) + Double(window.previous) * (1 - elapsed / Self.span)
            let allowed = used + 1 <= Double(limit)
            if allowed && counting { window.count += 1 }
            state.windows[name] = window
            let left = max(0, Int((Double(limit) - used).rounded(.down)) - (allowed && counting ? 1 : 0))
            return Verdict(allowed: allowed, limit: limit, remaining: left, reset: max(1, Int((Self.span - elapsed).rounded(.up))))
        }
    }

    private func sweep(_ state: inout State, _ index: Int) {
        guard state.swept != index || state.windows.count > Self.crowd else { return }
        state.swept = index
        state.windows = state.windows.filter { $0.value.start >= index - 1 }
    }
}
