#if os(Linux)
import CLinux
import Foundation
import Glibc
import Synchronization

/// The descriptors of one start, all close-on-exec, closed together unless released.
final class Pipes: Sendable {
    private let owned = Mutex<Set<Int32>>([])

    func make() throws -> (read: Int32, write: Int32) {
        var pair: [Int32] = [0, 0]
        guard pipe2(&pair, O_CLOEXEC) == 0 else { throw KernelError("pipe2") }
        owned.withLock { $0.formUnion(pair) }
        return (pair[0], pair[1])
    }

    func open(_ path: String) throws -> Int32 { try own(Glibc.open(path, O_RDWR | O_CLOEXEC), "opening \(path)") }

    /// A file in memory, at its beginning.
    func memory(_ text: String) throws -> Int32 { try memory(Array(text.utf8)) }
    func memory(_ bytes: [UInt8]) throws -> Int32 {
        let file = try own(clinux_memfd("sandbox"), "memfd_create")
        guard write(file, bytes, bytes.count) == bytes.count, lseek(file, 0, SEEK_SET) == 0 else { throw KernelError("filling a memory file") }
        return file
    }

    /// The caller closes it from now on.
    func release(_ descriptor: Int32) -> Int32 {
        owned.withLock { _ = $0.remove(descriptor) }
        return descriptor
    }
    func close(_ descriptor: Int32) {
        if owned.withLock({ $0.remove(descriptor) }) != nil { Glibc.close(descriptor) }
    }
    func closeAll() {
        for descriptor in owned.withLock({ owned in defer { owned = [] }; return owned }) { Glibc.close(descriptor) }
    }

    private func own(_ descriptor: Int32, _ what: String) throws -> Int32 {
        guard descriptor >= 0 else { throw KernelError(what) }
        owned.withLock { $0.insert(descriptor); return }
        return descriptor
    }
}

/// What bubblewrap writes to `--json-status-fd`: first `{ "child-pid": 4711, … }`, later the exit code.
enum StatusLine {
    private struct Status: Decodable {
        var child: pid_t
        enum CodingKeys: String, CodingKey { case child = "child-pid" }
    }

    /// nil when the tool ended without starting a child. Takes the descriptor over. A tool that does neither is ended by the
    /// caller's cancellation or after ten seconds (`giveUp` kills it, which closes the pipe).
    static func childPID(from descriptor: Int32, on thread: DescriptorThread, giveUp: @escaping @Sendable () -> Void) async throws -> pid_t? {
        let answer = Once<pid_t?>()
        try LineCapture.start(descriptor, on: thread) { line in
            if let status = try? JSONDecoder().decode(Status.self, from: Data(line.utf8)) { answer.resume(status.child) }
        } ended: {
            answer.resume(nil)
        }
        // bwrap forks within milliseconds.
        let watchdog = Task {
            try await Task.sleep(for: .seconds(10))
            giveUp()
        }
        defer { watchdog.cancel() }
        return await withTaskCancellationHandler { await answer.value() } onCancel: { giveUp() }
    }

    /// A value that is given once, by whoever is first.
    private final class Once<T: Sendable>: Sendable {
        private enum State { case empty, waiting(CheckedContinuation<T, Never>), given(T) }
        private let state = Mutex(State.empty)
        func resume(_ value: T) {
            let waiter: CheckedContinuation<T, Never>? = state.withLock { state in
                switch state {
                case .empty: state = .given(value); return nil
                case .waiting(let continuation): state = .given(value); return continuation
                case .given: return nil
                }
            }
            waiter?.resume(returning: value)
        }
        func value() async -> T {
            await withCheckedContinuation { continuation in
                let ready: T? = state.withLock { state in
                    if case .given(let value) = state { return value }
                    state = .waiting(continuation)
                    return nil
                }
                if let ready { continuation.resume(returning: ready) }
            }
        }
    }
}
#endif
