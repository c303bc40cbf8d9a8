import CLinux
import Foundation
import Platform
import Synchronization

/// A server as a process of its own: messages are lines on its standard input and output; what it writes to standard error is kept
/// to a bound and read by nobody but a failing call.
///
/// One thread per server waits on its descriptors, all of them non-blocking: a server that neither reads nor writes holds nobody up.
final class StdioTransport: MCPTransport {
    struct Launch: Sendable, Hashable {
        var executable: String
        var arguments: [String]
        var environment: [String: String]
        var directory: String
    }
    private enum Bell { static let wake = UInt8(ascii: "w"), close = UInt8(ascii: "c"), exited = UInt8(ascii: "x") }
    private struct State {
        var outgoing: [UInt8] = []
        var bell: Int32 = -1
        var isOpen = false
        var hasEnded = false
        var waiters: [CheckedContinuation<Void, Never>] = []
    }
    private let launch: Launch
    private let limits: MCPLimits
    /// So that the process dies with ours, where nothing else sees to that.
    private let groups: CommandGroups
    private let state = Mutex(State())

    init(_ launch: Launch, limits: MCPLimits, groups: CommandGroups) { self.launch = launch; self.limits = limits; self.groups = groups }

    func open(_ receiver: MCPReceiver) async throws(MCPFailure) {
        var pipes: [(read: Int32, write: Int32)] = []
        func closeAll() { for pipe in pipes { closeDescriptor(pipe.read); closeDescriptor(pipe.write) } }
        for _ in 0..<4 {
            guard let pipe = makePipe() else { closeAll(); throw .cannotStart("too many files are open") }
            pipes.append(pipe)
        }
        let (input, output, errors, bell) = (pipes[0], pipes[1], pipes[2], pipes[3])
        let process: pid_t
        do {
            process = try ChildProcess.spawn(
                launch.executable, launch.arguments, environment: launch.environment, directory: launch.directory, input: input.read, output: output.write,
                errors: errors.write)
        } catch {
            closeAll()
            throw .cannotStart("the program could not be run")
        }
        for end in [input.read, output.write, errors.write] { closeDescriptor(end) }
        for end in [input.write, output.read, errors.read, bell.write] { _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK) }
        groups.add(process)
        state.withLock { $0.bell = bell.write; $0.isOpen = true }
        Thread.detachNewThread { [self] in
            var info = siginfo_t()
            while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            ring(Bell.exited)
        }
        Thread.detachNewThread { [self] in
            var conversation = Conversation(
                process: process, input: input.write, output: output.read, errors: errors.read, bell: bell.read, lines: MessageLines(limit: limits.messageBytes),
                limits: limits, receiver: receiver)
            conversation.run { self.state.withLock { state in defer { state.outgoing = [] }; return state.outgoing } }
            groups.remove(process)
            // Before anybody can learn that it is not running: this is why.
            receiver.ended(conversation.failure ?? .ended("it was ended"), conversation.lastWords)
            let waiters = state.withLock { state in
                state.isOpen = false
                state.hasEnded = true
                closeDescriptor(bell.write)
                state.bell = -1
                defer { state.waiters = [] }
                return state.waiters
            }
            closeDescriptor(bell.read)
            for waiter in waiters { waiter.resume() }
        }
    }

    func send(_ message: RPCMessage) async throws(MCPFailure) {
        let line = Array(message.encoded()) + [0x0a]
        guard line.count <= limits.messageBytes else { throw .tooLong(limits.messageBytes) }
        let room = limits.messageBytes * 2
        let outcome: MCPFailure? = state.withLock { state in
            guard state.isOpen else { return .ended("it is not running") }
            guard state.outgoing.count + line.count <= room else { return .ended("it does not read what it is sent") }
            state.outgoing += line
            return nil
        }
        if let outcome { throw outcome }
        ring(Bell.wake)
    }

    func agreed(on version: String) {}

    func close() async {
        ring(Bell.close)
        await withCheckedContinuation { continuation in
            let atOnce = state.withLock { state in
                guard state.isOpen, !state.hasEnded else { return true }
                state.waiters.append(continuation)
                return false
            }
            if atOnce { continuation.resume() }
        }
    }

    private func ring(_ sound: UInt8) {
        state.withLock { state in
            guard state.bell >= 0 else { return }
            withUnsafeBytes(of: sound) { _ = write(state.bell, $0.baseAddress, 1) }
        }
    }

    /// The thread's side.
    private struct Conversation {
        let process: pid_t
        var input: Int32
        var output: Int32
        var errors: Int32
        let bell: Int32
        var lines: MessageLines
        let limits: MCPLimits
        let receiver: MCPReceiver
        var failure: MCPFailure?
        private var pending: [UInt8] = []
        private var lastErrors: [UInt8] = []
        private var garbage = 0
        private var hasExited = false
        /// When the next, harsher means of ending is due.
        private var due: ContinuousClock.Instant?
        private var farewell = 0
        private var closedItsOutput = false
        private var wasAsked = false

        init(process: pid_t, input: Int32, output: Int32, errors: Int32, bell: Int32, lines: MessageLines, limits: MCPLimits, receiver: MCPReceiver) {
            self.process = process; self.input = input; self.output = output; self.errors = errors; self.bell = bell; self.lines = lines
            self.limits = limits; self.receiver = receiver
        }

        /// The last line on standard error.
        var lastWords: String? {
            lastErrors.split(separator: 0x0a).last { !$0.allSatisfy { $0 <= 0x20 } }
                .map { ToolSummary.masked(ToolSummary.oneLine(CapturedOutput.text(Array($0.suffix(800))), most: 200)) }
        }

        mutating func run(_ outgoing: () -> [UInt8]) {
            while !hasExited || output >= 0 && failure == nil && !wasAsked {
                if let due, !hasExited, ContinuousClock.now >= due { harsher() }
                let wait = due.map { Int32(clamping: max(0, ($0 - ContinuousClock.now).milliseconds) + 1) } ?? (hasExited ? 100 : -1)
                var polled = [
                    pollfd(fd: bell, events: Int16(POLLIN), revents: 0), pollfd(fd: output, events: Int16(POLLIN), revents: 0),
                    pollfd(fd: errors, events: Int16(POLLIN), revents: 0), pollfd(fd: pending.isEmpty ? -1 : input, events: Int16(POLLOUT), revents: 0),
                ]
                let ready = poll(&polled, nfds_t(polled.count), hasExited ? min(100, wait < 0 ? 100 : wait) : wait)
                if ready < 0, errno != EINTR { break }
                // What it had written before its end has been read by then; a grandchild may hold the pipe for ever.
                if ready == 0, hasExited { break }
                if polled[0].revents != 0 { hear() }
                pending += outgoing()
                if polled[2].revents != 0 { takeErrors() }
                if polled[1].revents != 0 { takeOutput() }
                if !pending.isEmpty, input >= 0 { writeOut() }
            }
            if errors >= 0 { takeErrors() }
            kill(-process, SIGKILL)
            var status: Int32 = 0
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
            if failure == nil, !wasAsked {
                let ownEnd = status & 0x7f == 0 || farewell < 2
                failure = closedItsOutput && !ownEnd ? .ended("it closed its output") : .ended(status & 0x7f == 0 ? "it ended by itself with status \(status >> 8 & 0xff)" : "it was killed by signal \(status & 0x7f)")
            }
            for end in [input, output, errors] where end >= 0 { closeDescriptor(end) }
        }

        private mutating func hear() {
            var sound: UInt8 = 0
            guard readDescriptor(bell, &sound, 1) == 1 else { return }
            if sound == Bell.exited { hasExited = true } else if sound == Bell.close, !wasAsked { wasAsked = true; harsher() }
        }

        /// Close its input, then ask, then kill.
        private mutating func harsher() {
            farewell += 1
            due = ContinuousClock.now + limits.goodbye
            switch farewell {
            case 1:
                if input >= 0 { closeDescriptor(input) }
                input = -1
                pending = []
            case 2: kill(-process, SIGTERM)
            default:
                kill(-process, SIGKILL)
                due = nil
            }
        }

        private mutating func fail(_ failure: MCPFailure) {
            if self.failure == nil { self.failure = failure }
            kill(-process, SIGKILL)
            if output >= 0 { closeDescriptor(output) }
            output = -1
        }

        private mutating func takeOutput() {
            // Few buffers at a time, so that the bell is heard in between.
            for _ in 0..<8 {
                guard output >= 0 else { return }
                var buffer = [UInt8](repeating: 0, count: 65_536)
                let count = readDescriptor(output, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                if count < 0, errno == EAGAIN { return }
                guard count > 0 else {
                    closeDescriptor(output)
                    output = -1
                    // Without its output it is of no use any more.
                    closedItsOutput = true
                    if !hasExited, due == nil { due = ContinuousClock.now + limits.goodbye; farewell = 1 }
                    return
                }
                do {
                    let (receiver, limits) = (receiver, limits)
                    var noise = garbage
                    try lines.feed(buffer[..<count]) { line in
                        if let messages = RPCMessage.read(line) {
                            for message in messages { receiver.message(message, line.count) }
                        } else {
                            noise += 1
                            if noise > limits.garbage { throw MCPFailure.unintelligible("its output is no JSON-RPC") }
                        }
                    }
                    garbage = noise
                } catch let failure as MCPFailure {
                    return fail(failure)
                } catch {
                    return fail(.tooLong(limits.messageBytes))
                }
            }
        }

        private mutating func takeErrors() {
            var buffer = [UInt8](repeating: 0, count: 16_384)
            let count = readDescriptor(errors, &buffer, buffer.count)
            if count < 0, errno == EINTR || errno == EAGAIN { return }
            guard count > 0 else {
                closeDescriptor(errors)
                errors = -1
                return
            }
            lastErrors += buffer[..<count]
            if lastErrors.count > limits.errorBytes { lastErrors.removeFirst(lastErrors.count - limits.errorBytes / 2) }
        }

        private mutating func writeOut() {
            let count = pending.withUnsafeBytes { write(input, $0.baseAddress, $0.count) }
            if count > 0 { pending.removeFirst(count) }
            // A broken pipe: its end is noticed elsewhere.
            if count < 0, errno != EAGAIN, errno != EINTR { pending = [] }
        }
    }
}
