import CLinux
import Foundation
import Platform
import Synchronization

/// The CLI as a process: lines out of its output, lines into its input. It has a session and process group of its own, and dies with us.
final class CLIProcess: Sendable {
    enum Event: Sendable {
        case line([UInt8])
        /// The last: `lastWords` is the end of its standard error, for the log.
        case ended(status: Int32, lastWords: String)
    }
    /// The longest line that is taken: an answer may hold a 32 MB file.
    static let lineLimit = 64 << 20

    let events: AsyncStream<Event>
    private let pid: pid_t
    private let input: Mutex<Int32>
    /// Reaped: from then on its number may be another's.
    private let hasEnded = Mutex(false)
    /// Writing blocks while the CLI does not read, so it has a queue of its own.
    private let writing = DispatchQueue(label: "clawbot.cli.input")

    init(_ executable: String, _ arguments: [String], environment: [String: String], directory: String, groups: CommandGroups) throws {
        guard let input = makePipe() else { throw ToolError("too many files are open") }
        guard let output = makePipe() else {
            for end in [input.read, input.write] { closeDescriptor(end) }
            throw ToolError("too many files are open")
        }
        guard let errors = makePipe() else {
            for end in [input.read, input.write, output.read, output.write] { closeDescriptor(end) }
            throw ToolError("too many files are open")
        }
        do {
            pid = try ChildProcess.spawn(
                executable, arguments, environment: environment, directory: directory, input: input.read, output: output.write, errors: errors.write)
        } catch {
            for end in [input.read, input.write, output.read, output.write, errors.read, errors.write] { closeDescriptor(end) }
            throw error
        }
        for end in [input.read, output.write, errors.write] { closeDescriptor(end) }
        self.input = Mutex(input.write)
        groups.add(pid)
        let (stream, continuation) = AsyncStream.makeStream(of: Event.self)
        events = stream
        let tail = Mutex<[UInt8]>([])
        let process = pid
        Thread.detachNewThread {
            Self.read(errors.read) { chunk in
                tail.withLock { $0 = Array(($0 + chunk).suffix(2000)) }
                return true
            }
        }
        Thread.detachNewThread { [self] in
            var lines = MessageLines(limit: Self.lineLimit)
            Self.read(output.read) { chunk in
                do { try lines.feed(chunk) { continuation.yield(.line($0)) } } catch { return false }
                return true
            }
            // A command left in the background may hold the output open, or the CLI may have closed it and gone on: either way it is over.
            signal(SIGKILL)
            var info = siginfo_t()
            var status: Int32 = 0
            while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            hasEnded.withLock { ended in
                while waitpid(process, &status, 0) < 0, errno == EINTR {}
                ended = true
            }
            groups.remove(process)
            closeInput()
            let words = tail.withLock { $0.split(separator: 0x0a).last.map { String(decoding: $0, as: UTF8.self) } ?? "" }
            continuation.yield(.ended(status: status, lastWords: ToolSummary.masked(ToolSummary.oneLine(words, most: 300))))
            continuation.finish()
        }
        // Its end shows as the end of its output, unless something that it left behind holds that open.
        Thread.detachNewThread { [self] in
            var info = siginfo_t()
            while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            signal(SIGKILL)
        }
    }

    /// Reads until the end, or until `take` says no.
    private static func read(_ descriptor: Int32, _ take: (ArraySlice<UInt8>) -> Bool) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = readDescriptor(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0, take(buffer[..<count]) else { break }
        }
        closeDescriptor(descriptor)
    }

    func send(_ message: Value) {
        guard let line = try? JSON.data(message) + [0x0a] else { return }
        writing.async { [self] in
            var rest = line[...]
            while !rest.isEmpty {
                let descriptor = input.withLock { $0 }
                guard descriptor >= 0 else { return }
                let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }

    /// After what was sent: the CLI then finishes and ends by itself.
    func closeInput() {
        writing.async { [self] in
            input.withLock { descriptor in
                if descriptor >= 0 { closeDescriptor(descriptor) }
                descriptor = -1
            }
        }
    }

    /// To the whole group; nothing once it is gone, since its number may be another's then.
    func signal(_ number: Int32) { hasEnded.withLock { if !$0 { kill(-pid, number) } } }

    /// Kills it unless it has ended by then.
    func end(within delay: Duration) {
        DispatchQueue.global().asyncAfter(deadline: .now() + delay.seconds) { [self] in signal(SIGKILL) }
    }
}
