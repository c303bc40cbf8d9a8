import Foundation
import Synchronization

/// Live events within one process; the production backend `live: memory` too. A reader that does not keep up loses
/// the oldest events, never holds up a publisher, and disappears with its stream.
public final class InMemoryLiveEvents: LiveEvents {
    private struct State {
        var readers: [BotID: [UInt64: AsyncStream<LiveEvent>.Continuation]] = [:]
        var next: UInt64 = 0
    }
    private let state = Mutex(State())
    private let bufferedEvents: Int

    /// - Parameter bufferedEvents: per reader; the default holds some ten seconds of fast text.
    public init(bufferedEvents: Int = 512) { self.bufferedEvents = bufferedEvents }

    public func publish(_ event: LiveEvent, bot: BotID) async {
        let readers = state.withLock { state in state.readers[bot].map { Array($0.values) } ?? [] }
        for reader in readers { reader.yield(event) }
    }

    public func subscribe(bot: BotID) async -> AsyncStream<LiveEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: LiveEvent.self, bufferingPolicy: .bufferingNewest(bufferedEvents))
        let id = state.withLock { state in
            state.next += 1
            state.readers[bot, default: [:]][state.next] = continuation
            return state.next
        }
        continuation.onTermination = { [weak self] _ in self?.remove(id, bot) }
        return stream
    }

    public func probe() async throws {}

    /// How many streams are open, over all bots.
    public var readers: Int { state.withLock { $0.readers.values.reduce(0) { $0 + $1.count } } }

    private func remove(_ id: UInt64, _ bot: BotID) {
        state.withLock { state in
            state.readers[bot]?[id] = nil
            if state.readers[bot]?.isEmpty == true { state.readers[bot] = nil }
        }
    }
}
