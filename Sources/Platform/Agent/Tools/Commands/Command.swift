import CLinux
import Foundation
import Synchronization

/// A program to run, in a session and process group of its own, with nothing to read and both outputs in one stream.
struct Command: Sendable {
    enum End: Sendable, Hashable {
        case exited(Int32)
        case killed(signal: Int32)
        case timedOut
        case cancelled
    }

    var executable: String
    var arguments: [String]
    var environment: [String: String]
    var directory: String

    /// Runs it to its end, at most for `timeout`; on time-out and on cancellation the whole group is killed at once.
    ///
    /// Works on a thread of its own, since it waits on descriptors. What the command left running in the background (it
    /// holds the output open) goes on; its output goes into the file of `output`, and its group is noted in `groups`.
    /// - Throws: ``ToolError`` when it cannot be started.
    func run(into output: CapturedOutput, timeout: Duration, groups: CommandGroups? = nil, progress: (@Sendable (String) -> Void)? = nil) async throws
        -> End
    {
        let bell = try Bell()
        let result: Result<End, ToolError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    let outcome = Result { () throws(ToolError) in
                        try CommandRun(command: self, output: output, bell: bell, groups: groups, progress: progress).run(timeout: timeout)
                    }
                    bell.close()
                    continuation.resume(returning: outcome)
                }
            }
        } onCancel: {
            bell.ring(Bell.cancelled)
        }
        return try result.get()
    }
}

/// Process groups that outlive the call that started them.
public final class CommandGroups: Sendable {
    private let groups = Mutex<Set<pid_t>>([])
    public init() {}

    func add(_ group: pid_t) { _ = groups.withLock { $0.insert(group) } }
    func remove(_ group: pid_t) { _ = groups.withLock { $0.remove(group) } }
    public var count: Int { groups.withLock { $0.count } }

    /// Ends everything that still runs in the background.
    public func killAll() {
        for group in groups.withLock({ $0 }) { kill(-group, SIGKILL) }
    }
}

/// A pipe that wakes a waiting thread.
private final class Bell: Sendable {
    static let exited = UInt8(ascii: "x")
    static let cancelled = UInt8(ascii: "c")
    private let ends: Mutex<(read: Int32, write: Int32)>
    let readEnd: Int32

    init() throws(ToolError) {
        guard let (read, write) = makePipe() else { throw ToolError("No command can be started now: too many files are open.") }
        ends = Mutex((read, write))
        readEnd = read
    }
    deinit { close() }

    /// Late rings are heard by nobody.
    func ring(_ sound: UInt8) {
        ends.withLock { ends in
            guard ends.write >= 0 else { return }
            withUnsafeBytes(of: sound) { _ = write(ends.write, $0.baseAddress, 1) }
        }
    }
    func close() {
        ends.withLock { ends in
            guard ends.write >= 0 else { return }
            closeDescriptor(ends.read)
            closeDescriptor(ends.write)
            ends = (-1, -1)
        }
    }
}

/// One running command, on its thread.
private struct CommandRun {
    let command: Command
    let output: CapturedOutput
    let bell: Bell
    let groups: CommandGroups?
    let progress: (@Sendable (String) -> Void)?

    /// How long output is awaited after the exit when something still holds it open: a `tee` in a process substitution.
    private static let linger = Duration.milliseconds(100)

    func run(timeout: Duration) throws(ToolError) -> Command.End {
        guard let (readEnd, writeEnd) = makePipe() else { throw ToolError("No command can be started now: too many files are open.") }
        let process: pid_t
        do throws(ToolError) {
            process = try ChildProcess.spawn(
                command.executable, command.arguments, environment: command.environment, directory: command.directory, output: writeEnd, errors: writeEnd)
        } catch {
            closeDescriptor(readEnd)
            closeDescriptor(writeEnd)
            throw error
        }
        closeDescriptor(writeEnd)
        _ = fcntl(readEnd, F_SETFL, fcntl(readEnd, F_GETFL) | O_NONBLOCK)
        let bell = bell
        Thread.detachNewThread {
            // Leaves the process unreaped, so that its id, and the group's, cannot be another's when the group is killed.
            var info = siginfo_t()
            while waitid(P_PID, id_t(process), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
            bell.ring(Bell.exited)
        }
        let (early, isOpen) = follow(readEnd, process, deadline: ContinuousClock.now + timeout)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        if isOpen, early == nil, let groups {
            leaveRunning(readEnd, process, groups)
        } else {
            closeDescriptor(readEnd)
        }
        if let early { return early }
        return status & 0x7f == 0 ? .exited(status >> 8 & 0xff) : .killed(signal: status & 0x7f)
    }

    /// Reads until the process has ended.
    /// - Returns: why it was ended early, if it was, and whether somebody still holds its output open.
    private func follow(_ readEnd: Int32, _ process: pid_t, deadline: ContinuousClock.Instant) -> (Command.End?, isOpen: Bool) {
        var early: Command.End?
        var isOpen = true
        var hasExited = false
        var end: ContinuousClock.Instant = deadline
        var lastProgress = ContinuousClock.now
        var afterExit = 0
        func stop(_ reason: Command.End) {
            early = reason
            kill(-process, SIGKILL)
        }
        while true {
            let now = ContinuousClock.now
            if hasExited, !isOpen || now >= end { return (early, isOpen) }
            if !hasExited, early == nil, now >= deadline { stop(.timedOut) }
            var wait: Int32 = -1
            if hasExited || early == nil { wait = Int32(clamping: max(0, (end - now).milliseconds) + 1) }
            var polled = [
                pollfd(fd: bell.readEnd, events: Int16(POLLIN), revents: 0), pollfd(fd: isOpen ? readEnd : -1, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&polled, nfds_t(polled.count), wait) >= 0 || errno == EINTR else { return (early, isOpen) }
            if polled[0].revents != 0 {
                var sound: UInt8 = 0
                _ = readDescriptor(bell.readEnd, &sound, 1)
                if sound == Bell.exited {
                    hasExited = true
                    end = ContinuousClock.now + (early == nil ? Self.linger : .zero)
                } else if !hasExited, early == nil {
                    stop(.cancelled)
                }
            }
            if polled[1].revents != 0 || hasExited {
                let (count, isEnd) = take(readEnd)
                if isEnd { isOpen = false }
                afterExit += hasExited ? count : 0
                // What the command itself wrote is at most a pipe full; the rest is from its background.
                if afterExit > 1 << 20 { end = now }
                if count > 0, let progress, now - lastProgress > .seconds(1) {
                    lastProgress = now
                    progress(output.lastLine)
                }
            }
        }
    }

    /// Takes what is there, at most a few buffers, so that bells are heard in between.
    private func take(_ descriptor: Int32) -> (count: Int, isEnd: Bool) {
        withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 1) { buffer in
            var taken = 0
            for _ in 0..<16 {
                let count = readDescriptor(descriptor, buffer.baseAddress, buffer.count)
                if count < 0, errno == EINTR { continue }
                if count == 0 { return (taken, true) }
                if count < 0 { return (taken, errno != EAGAIN && errno != EWOULDBLOCK) }
                output.take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
                taken += count
            }
            return (taken, false)
        }
    }

    private func leaveRunning(_ readEnd: Int32, _ group: pid_t, _ groups: CommandGroups) {
        output.keepInFile()
        groups.add(group)
        _ = fcntl(readEnd, F_SETFL, fcntl(readEnd, F_GETFL) & ~O_NONBLOCK)
        let output = output
        // Ends with the last holder of the output; without a reader the background would be killed by its first word.
        Thread.detachNewThread {
            withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { buffer in
                while true {
                    let count = readDescriptor(readEnd, buffer.baseAddress, buffer.count)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else { break }
                    output.take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
                }
            }
            closeDescriptor(readEnd)
            groups.remove(group)
        }
    }
}

func makePipe() -> (read: Int32, write: Int32)? {
    var ends: [Int32] = [-1, -1]
    #if canImport(Darwin)
        guard pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    #else
        guard pipe2(&ends, O_CLOEXEC) == 0 else { return nil }
    #endif
    return (ends[0], ends[1])
}
func closeDescriptor(_ descriptor: Int32) { close(descriptor) }
func readDescriptor(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int { read(descriptor, buffer, count) }
