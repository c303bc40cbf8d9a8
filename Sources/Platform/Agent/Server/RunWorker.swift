import Logging
import Platform
import ServiceLifecycle

/// Takes admitted invocations one after the other and runs them. Returns when the process is idle for too long, or told to end
/// and the active run has ended: finished within `grace`, else cancelled (its transcript stays valid, the control plane tries again).
struct RunWorker: Service {
    let host: RunHost
    let idleTimeout: Duration?
    /// How long the active run may go on after SIGTERM; the whole shutdown has 20 s (AGENT.md §2).
    var grace = Duration.seconds(14)
    let logger: Logger
    let perform: @Sendable (RunHost.Job) async -> Void

    func run() async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                // Suspends until shutdown begins, or this task is cancelled because the worker is done.
                try? await gracefulShutdown()
                guard !Task.isCancelled else { return }
                host.close()
                try? await Task.sleep(for: grace)
                guard !Task.isCancelled else { return }
                host.cancelActive(.shutdown)
            }
            await work()
            group.cancelAll()
        }
    }

    private func work() async {
        while let job = await host.nextJob(idleTimeout: idleTimeout) {
            await withTaskCancellationHandler {
                await perform(job)
            } onCancel: {
                job.control.cancel(.shutdown)
            }
            host.end(job)
        }
        logger.info("agent ends: idle or told to")
    }
}
