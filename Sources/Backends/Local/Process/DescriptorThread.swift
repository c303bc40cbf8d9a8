#if os(Linux)
import CLinux
import Foundation
import Glibc
import Synchronization

/// One thread that waits for descriptors to become readable and calls their handlers, one after the other: the pipes and
/// pidfds of all agents. Dispatch sources do not serve here: with pidfds among them libdispatch's event loop crashed within
/// seconds (`_dispatch_event_loop_drain`, Swift 6.3.1, Linux 6.18).
final class DescriptorThread: Sendable {
    private struct State {
        var handlers: [UInt64: @Sendable () -> Void] = [:]
        var numbers: [Int32: UInt64] = [:]
        var next: UInt64 = 1
        var closed = false
    }
    private let state = Mutex(State())
    private let poll: Int32
    private let wake: Int32

    init() throws {
        poll = clinux_epoll_create()
        guard poll >= 0 else { throw KernelError("epoll_create1") }
        wake = clinux_eventfd()
        guard wake >= 0 else { throw KernelError("eventfd") }
        guard clinux_epoll_add(poll, wake, 0) == 0 else { throw KernelError("epoll_ctl") }
        let thread = Thread { [self] in loop() }
        thread.name = "sandbox-events"
        thread.stackSize = 1 << 20
        thread.start()
    }

    /// Calls the handler on this thread whenever the descriptor is readable or hung up, until it is removed.
    func add(_ descriptor: Int32, _ handler: @escaping @Sendable () -> Void) throws {
        try state.withLock { state in
            let number = state.next
            state.next += 1
            guard clinux_epoll_add(poll, descriptor, number) == 0 else { throw KernelError("epoll_ctl") }
            state.handlers[number] = handler
            state.numbers[descriptor] = number
        }
    }

    /// Before the descriptor is closed.
    func remove(_ descriptor: Int32) {
        state.withLock { state in
            guard let number = state.numbers.removeValue(forKey: descriptor) else { return }
            state.handlers[number] = nil
            _ = clinux_epoll_remove(poll, descriptor)
        }
    }

    /// Ends the thread.
    func close() {
        state.withLock { $0.closed = true }
        _ = clinux_eventfd_signal(wake)
    }

    private func loop() {
        var numbers = [UInt64](repeating: 0, count: 64)
        while true {
            let count = clinux_epoll_wait(poll, &numbers)
            if count < 0 && errno != EINTR { break }
            for number in numbers.prefix(Int(max(0, count))) {
                // Looked up at the last moment: an earlier handler of this round may have removed it.
                if let handler = state.withLock({ $0.handlers[number] }) { handler() }
            }
            if state.withLock({ $0.closed }) { break }
        }
        Glibc.close(poll)
        Glibc.close(wake)
    }
}
#endif
