import Foundation
import Platform
import Synchronization

/// Commands that were started to go on beside the conversation, by their ids (`bash_1`, …). They live as long as the agent's process.
public final class BackgroundJobs: Sendable {
    /// Ended ones are kept for so many others, so that their last words can be read.
    private static let keptAfterEnd = 50
    private struct State { var next = 1; var jobs: [(id: String, job: BackgroundJob)] = [] }
    private let state = Mutex(State())
    public init() {}

    /// Starts a command.
    /// - Parameter most: as many may run at once.
    func start(_ command: Command, most: Int, output: CapturedOutput) throws(ToolError) -> BackgroundJob {
        let job: BackgroundJob? = state.withLock { state in
            guard state.jobs.count(where: { $0.job.isRunning }) < most else { return nil }
            let job = BackgroundJob(id: "bash_\(state.next)", output: output)
            state.next += 1
            state.jobs.append((job.id, job))
            while state.jobs.count > Self.keptAfterEnd, let old = state.jobs.firstIndex(where: { !$0.job.isRunning }) { state.jobs.remove(at: old) }
            return job
        }
        guard let job else { throw ToolError("\(most) commands run in the background already. End one with KillShell first.") }
        job.run(command)
        return job
    }

    func job(_ id: String) throws(ToolError) -> BackgroundJob {
        let (job, known) = state.withLock { state in (state.jobs.first { $0.id == id }?.job, state.jobs.map(\.id)) }
        guard let job else {
            throw ToolError("There is no background command \(id.prefix(100)).\(known.isEmpty ? "" : " There are \(known.joined(separator: ", ")).")")
        }
        return job
    }

    /// Ends all that run.
    func endAll() {
        for job in state.withLock({ $0.jobs.map(\.job) }) { job.end() }
    }
}

/// One command in the background.
final class BackgroundJob: Sendable {
    enum Status: Sendable, Hashable {
        case running
        case ended(Command.End)
        /// It could not be started.
        case failed(String)
    }
    private struct State {
        var status = Status.running
        /// Bytes of its output that were shown.
        var shown = 0
        var work: Task<Void, Never>?
        var waiters: [UInt64: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter: UInt64 = 0
    }
    let id: String
    let output: CapturedOutput
    private let state = Mutex(State())

    init(id: String, output: CapturedOutput) { self.id = id; self.output = output }

    var status: Status { state.withLock { $0.status } }
    var isRunning: Bool { status == .running }

    /// A task of its own, because it outlives the call and the run that started it; ended by ``end()``.
    fileprivate func run(_ command: Command) {
        output.keepInFile()
        let work = Task {
            let status: Status
            do {
                status = .ended(try await command.run(into: output, timeout: .seconds(7 * 86_400)))
            } catch {
                status = .failed((error as? ToolError)?.sentence ?? "\(error)")
            }
            let waiters = state.withLock { state in
                state.status = status
                state.work = nil
                defer { state.waiters = [:] }
                return Array(state.waiters.values)
            }
            for waiter in waiters { waiter.resume() }
        }
        state.withLock { if $0.status == .running { $0.work = work } }
    }

    /// Kills it with everything that it started.
    func end() { state.withLock { $0.work }?.cancel() }

    /// Returns once it has ended, or the waiting task is cancelled.
    func wait() async {
        let number = state.withLock { state in state.nextWaiter += 1; return state.nextWaiter }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let atOnce = state.withLock { state in
                    if state.status != .running || Task.isCancelled { return true }
                    state.waiters[number] = continuation
                    return false
                }
                if atOnce { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume()
        }
    }

    /// What it wrote since the last look, at most `limit` bytes of it, and how many bytes before them were passed over.
    func news(limit: Int) -> (text: String, left: Int) {
        guard let path = output.filePath, let handle = FileHandle(forReadingAtPath: path) else { return ("", 0) }
        defer { try? handle.close() }
        guard let end = try? handle.seekToEnd() else { return ("", 0) }
        let (from, left) = state.withLock { state in
            let from = max(state.shown, Int(end) - limit)
            defer { state.shown = Int(end) }
            return (from, from - state.shown)
        }
        guard Int(end) > from, (try? handle.seek(toOffset: UInt64(from))) != nil, let data = try? handle.read(upToCount: Int(end) - from) else { return ("", left) }
        return (CapturedOutput.text(Array(data)), left)
    }
}
