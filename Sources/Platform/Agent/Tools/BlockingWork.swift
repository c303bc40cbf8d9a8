import NIOPosix
import Synchronization

/// Whether the task that waits for some blocking work was cancelled; asked by that work now and then.
final class CancellationSignal: Sendable {
    private let flag = Atomic(false)
    var isCancelled: Bool { flag.load(ordering: .relaxed) }
    func cancel() { flag.store(true, ordering: .relaxed) }
    func check() throws { if isCancelled { throw CancellationError() } }
}

/// Runs work that blocks (files, directories, matching) on NIO's thread pool, away from the threads that Swift's tasks share.
func blocking<T: Sendable>(_ work: @escaping @Sendable (CancellationSignal) throws -> T) async throws -> T {
    let signal = CancellationSignal()
    return try await withTaskCancellationHandler {
        try await NIOThreadPool.singleton.runIfActive { try work(signal) }
    } onCancel: {
        signal.cancel()
    }
}
