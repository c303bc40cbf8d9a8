import Dispatch
import Synchronization

/// Blocking file work, off the threads that run tasks: a few workers over one line of jobs.
final class FileWork: Sendable {
    private struct State { var jobs: [@Sendable () -> Void] = []; var workers = 0 }
    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "clawbot.files", attributes: .concurrent)
    private let width: Int

    init(width: Int = 4) { self.width = width }

    /// Runs `body` on a worker. It is carried out even when the caller is cancelled.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            submit { continuation.resume(with: Result(catching: body)) }
        }
    }

    private func submit(_ job: @escaping @Sendable () -> Void) {
        let starts = state.withLock { state in
            state.jobs.append(job)
            guard state.workers < width else { return false }
            state.workers += 1
            return true
        }
        if starts { queue.async { self.work() } }
    }

    private func work() {
        while true {
            let job = state.withLock { state -> (@Sendable () -> Void)? in
                if state.jobs.isEmpty {
                    state.workers -= 1
                    return nil
                }
                return state.jobs.removeFirst()
            }
            guard let job else { return }
            job()
        }
    }
}
