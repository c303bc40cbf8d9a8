import Synchronization

/// What a stream still has to send: filled without waiting, emptied as fast as the client reads, bounded at 1 MiB (SEC-111).
final class StreamMailbox: Sendable {
    private struct State {
        var lines: [String] = []
        var bytes = 0
        var ended = false
        var waiter: CheckedContinuation<Void, Never>?
    }
    static let limit = 1 << 20
    private let state = Mutex(State())

    /// False when it does not fit, or the stream has ended: then nothing more is taken.
    func put(_ text: String) -> Bool {
        let (accepted, waiter) = state.withLock { state -> (Bool, CheckedContinuation<Void, Never>?) in
            guard !state.ended, state.bytes + text.utf8.count <= Self.limit else { return (false, nil) }
            state.lines.append(text)
            state.bytes += text.utf8.count
            defer { state.waiter = nil }
            return (true, state.waiter)
        }
        waiter?.resume()
        return accepted
    }

    /// No more after this; what waits is still sent, unless it is replaced by `instead`.
    func end(instead text: String? = nil) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if let text, !state.ended {
                state.lines = [text]
                state.bytes = text.utf8.count
            }
            state.ended = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Everything there is, waiting for something; nil at the end.
    func next() async -> String? {
        while true {
            let (text, ended) = take()
            if let text { return text }
            if ended { return nil }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let ready = state.withLock { state in
                        if !state.lines.isEmpty || state.ended { return true }
                        state.waiter = continuation
                        return false
                    }
                    if ready { continuation.resume() }
                }
            } onCancel: {
                end()
            }
        }
    }

    private func take() -> (String?, Bool) {
        state.withLock { state in
            guard !state.lines.isEmpty else { return (nil, state.ended) }
            let text = state.lines.joined()
            state.lines = []
            state.bytes = 0
            return (text, state.ended)
        }
    }
}
