import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Looks at a conversation's memory after each settled run and keeps what its agent changed. Behind the settlement, so that no answer
/// waits for it; what a crash leaves out is kept after the next run.
struct MemoryKeeper: Service {
    struct Settled: Sendable {
        var session: SessionKey
        var userId: UserID
        var invocation: InvocationID
    }
    let history: MemoryHistory
    let logger: Logger
    private let runs: AsyncStream<Settled>
    private let feed: AsyncStream<Settled>.Continuation

    init(history: MemoryHistory, logger: Logger) {
        self.history = history; self.logger = logger
        // A burst beyond this only makes versions coarser: the next run of the same conversation looks again.
        (runs, feed) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(10_000))
    }

    func note(_ session: SessionKey, of user: UserID, _ invocation: InvocationID) {
        feed.yield(Settled(session: session, userId: user, invocation: invocation))
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            for await run in runs {
                do { try await history.settled(run.session, of: run.userId, run.invocation) } catch {
                    logger.warning("memory version not kept", metadata: ["bot": "\(run.session.botId)", "error": "\(error)"])
                }
            }
        }
    }
}
