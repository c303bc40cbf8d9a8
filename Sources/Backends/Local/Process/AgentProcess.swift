#if os(Linux)
import CLinux
import Foundation
import Glibc
import Logging
import Platform
import Synchronization

/// One started process tree, from its start until everything of it is gone.
final class AgentProcess: Sendable {
    private struct State {
        var childPidfd: Int32 = -1
        var monitorPidfd: Int32 = -1
        var stopping = false
        var ready = false
        var gone: String?
        var lastWords = ""
        var waiters: [Int: (untilReady: Bool, continuation: CheckedContinuation<Void, Never>)] = [:]
        var next = 0
        var captures: [LineCapture] = []
        var cleanUp: [@Sendable () -> Void] = []
        /// Without a sandbox: the process group to kill.
        var group: pid_t?
    }
    let id: LaunchID
    let endpoint: String
    private let state = Mutex(State())
    private let thread: DescriptorThread
    private let logger: Logger

    init(id: LaunchID, endpoint: String, thread: DescriptorThread, logger: Logger) {
        self.id = id; self.endpoint = endpoint; self.thread = thread; self.logger = logger
    }

    /// Runs once the tree is gone (now, when it is), last added first.
    func whenGone(_ action: @escaping @Sendable () -> Void) {
        let late = state.withLock { state in
            if state.gone == nil { state.cleanUp.append(action) }
            return state.gone != nil
        }
        if late { action() }
    }

    /// Logs what it prints; its first line on standard output says that it listens. Takes the descriptors over.
    func capture(output: Int32, errors: Int32) throws {
        let id = self.id, logger = self.logger
        let out = try LineCapture.start(output, on: thread) { [weak self] text in
            logger.debug("agent: \(text)", metadata: ["launch": "\(id)"])
            self?.spoke()
        }
        let err = try LineCapture.start(errors, on: thread) { [weak self] text in
            logger.debug("agent: \(text)", metadata: ["launch": "\(id)"])
            self?.state.withLock { $0.lastWords = String(text.prefix(400)) }
        }
        state.withLock { $0.captures = [out, err] }
    }

    /// Kills this process group as well: all there is without a sandbox, so a child in a session of its own escapes it.
    func owns(group: pid_t) { state.withLock { $0.group = group } }

    /// Watches the process that we started, and reaps it: a pidfd becomes readable when its process ends.
    func watch(_ pid: pid_t) throws {
        let pidfd = clinux_pidfd_open(pid)
        guard pidfd >= 0 else {
            Glibc.kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            throw KernelError("pidfd_open")
        }
        state.withLock { $0.monitorPidfd = pidfd }
        try thread.add(pidfd) { [self] in
            var status: Int32 = 0
            let result = waitpid(pid, &status, WNOHANG)
            guard result == pid || (result < 0 && errno == ECHILD) else { return }
            thread.remove(pidfd)
            ended(status)
        }
    }

    /// The process whose death ends the whole tree. It must be alive, so that its number is still its own.
    func attach(child pid: pid_t) throws {
        let pidfd = clinux_pidfd_open(pid)
        guard pidfd >= 0 else { throw KernelError("pidfd_open") }
        let killNow = state.withLock { state in
            state.childPidfd = pidfd
            return state.stopping
        }
        if killNow { _ = clinux_pidfd_kill(pidfd) }
    }

    func kill() {
        state.withLock { state in
            state.stopping = true
            guard state.gone == nil else { return }
            // Process 1 of the pid namespace takes everything with it. Killing the monitor instead leaves zombies for 2 s.
            if let group = state.group { _ = Glibc.kill(-group, SIGKILL) }
            if state.childPidfd >= 0 { _ = clinux_pidfd_kill(state.childPidfd) }
            else if state.monitorPidfd >= 0 { _ = clinux_pidfd_kill(state.monitorPidfd) }
        }
    }

    /// It never started: gives back what was taken for it.
    func abandon() {
        for action in state.withLock({ state in defer { state.cleanUp = [] }; return state.cleanUp }).reversed() { action() }
    }

    /// Why it is gone; nil while it lives.
    var gone: String? { state.withLock { $0.gone } }
    var lastWords: String { state.withLock { $0.lastWords } }

    func waitUntilGone() async { await wait(untilReady: false) }
    /// Suspends until it has said that it listens, or is gone.
    func waitUntilReady() async { await wait(untilReady: true) }

    private func wait(untilReady: Bool) async {
        let number = state.withLock { state in state.next += 1; return state.next }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let done = state.withLock { state in
                    if state.gone != nil || untilReady && state.ready || Task.isCancelled { return true }
                    state.waiters[number] = (untilReady, continuation)
                    return false
                }
                if done { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.continuation.resume()
        }
    }

    private func spoke() {
        let waiters: [Int: (untilReady: Bool, continuation: CheckedContinuation<Void, Never>)] = state.withLock { state in
            state.ready = true
            defer { state.waiters = state.waiters.filter { !$0.value.untilReady } }
            return state.waiters.filter(\.value.untilReady)
        }
        for waiter in waiters.values { waiter.continuation.resume() }
    }

    private func ended(_ status: Int32) {
        let signal = status & 0x7f, code = status >> 8 & 0xff
        for capture in state.withLock({ state in defer { state.captures = [] }; return state.captures }) { capture.endNow() }
        let (waiters, actions) = state.withLock { state in
            var reason = signal != 0 ? "ended by signal \(signal)" : code > 128 ? "ended by signal \(code - 128)" : "exited with code \(code)"
            if state.stopping { reason = "stopped" } else if code != 0 || signal != 0, !state.lastWords.isEmpty { reason += ": \(state.lastWords)" }
            state.gone = reason
            if let group = state.group { _ = Glibc.kill(-group, SIGKILL) }
            for descriptor in [state.childPidfd, state.monitorPidfd] where descriptor >= 0 { close(descriptor) }
            (state.childPidfd, state.monitorPidfd) = (-1, -1)
            defer { state.waiters = [:]; state.cleanUp = [] }
            return (Array(state.waiters.values), state.cleanUp)
        }
        for action in actions.reversed() { action() }
        for waiter in waiters { waiter.continuation.resume() }
    }
}
#endif
