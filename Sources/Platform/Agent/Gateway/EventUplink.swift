import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import Platform
import Synchronization

/// Live text and tool activity of a run, and its heartbeat: one long NDJSON `POST /agent/v1/events`, opened again when it breaks.
///
/// Best effort: senders never wait; text that waits is joined (one line per 30 ms at most), and what exceeds 256 KiB
/// while the gateway does not read is dropped. The whole message follows as a reply in any case.
public final class EventUplink: Sendable {
    public enum End: Sendable, Equatable {
        case finished
        /// 401: the grant is dead.
        case runEnded
    }
    /// Invariant 2 of a run: a sign of life at least every 20 s (API.md §6.3).
    static let beatEvery = Duration.seconds(10)
    static let joinWindow = Duration.milliseconds(30)
    static let capacity = 256 << 10

    private enum Pending { case delta(MessageID, String), line([UInt8]) }
    private struct State {
        var pending: [Pending] = []
        var bytes = 0
        var indexes: [MessageID: Int] = [:]
        var lastDrain: ContinuousClock.Instant?
        var urgent = false
        var finished = false
        /// Only the newest connection may take from the buffer.
        var connection = 0
        var waiter: CheckedContinuation<Void, Never>?
    }
    private let state = Mutex(State())
    private let client: GatewayClient
    public init(client: GatewayClient) { self.client = client }

    // MARK: Sending

    public func delta(_ messageId: MessageID, _ text: String) {
        guard !text.isEmpty else { return }
        enqueue(size: text.utf8.count) { state in
            if case .delta(messageId, let before)? = state.pending.last {
                state.pending[state.pending.count - 1] = .delta(messageId, before + text)
            } else {
                state.pending.append(.delta(messageId, text))
            }
        }
    }

    struct ToolLine: Encodable {
        var type = "tool"
        var toolUseId: String
        var name: String
        var phase: ToolActivity.Phase
        var summary: String?
        var isError: Bool?
        var durationMs: Int?
    }

    func tool(_ line: ToolLine) {
        guard let data = try? JSON.encode(line) else { return }
        enqueue(size: data.count) { $0.pending.append(.line(Array(data))) }
    }

    struct ServerLine: Encodable {
        var type = "server"
        var mcpServerId: MCPServerID
        /// nil = it is ready.
        var problem: String?
    }

    func server(_ line: ServerLine) {
        guard let data = try? JSON.encode(line) else { return }
        enqueue(size: data.count) { $0.pending.append(.line(Array(data))) }
    }

    private func beat() { enqueue(size: 0) { if $0.pending.isEmpty { $0.pending.append(.line(Array(#"{"type":"beat"}"#.utf8))) } } }

    private func enqueue(size: Int, _ add: (inout State) -> Void) {
        wake { state in
            guard !state.finished, state.bytes + size <= Self.capacity else { return }
            state.bytes += size
            add(&state)
        }
    }

    /// No more events; what is buffered is still sent.
    public func finish() { wake { $0.finished = true; $0.urgent = true } }

    private func wake(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    // MARK: The connection

    /// Runs until ``finish()`` and everything is sent, or the grant is dead, or the task is cancelled.
    public func run() async -> End {
        await withTaskGroup(of: End?.self) { group in
            group.addTask { await self.keepConnected() }
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.beatEvery)
                    self.beat()
                }
                return nil
            }
            let end = await group.next() ?? nil
            group.cancelAll()
            return end ?? .finished
        }
    }

    private func keepConnected() async -> End {
        var failures = 0
        while !Task.isCancelled {
            let connection = state.withLock { $0.connection += 1; return $0.connection }
            var request = client.request(.POST, "/events", headers: ["content-type": "application/x-ndjson"])
            request.body = .stream(Lines(uplink: self, connection: connection), length: .unknown)
            do {
                let response = try await client.http.execute(request, deadline: .distantFuture)
                if response.status == .unauthorized { retire(); return .runEnded }
                if response.status.code < 300 { failures = 0 } else { failures += 1 }
            } catch {
                failures += 1
            }
            retire()
            let done = state.withLock { $0.finished && ($0.pending.isEmpty || failures > 2) }
            if done { return .finished }
            // Also after a good answer: a gateway that ends each stream at once must not make us spin.
            try? await Task.sleep(for: Backoff(first: .milliseconds(100), most: .seconds(5)).delay(failures))
        }
        return .finished
    }

    private func retire() { wake { $0.connection += 1 } }

    /// The next NDJSON lines of a connection; nil at its end.
    private func next(for connection: Int) async -> ByteBuffer? {
        enum Step { case wait, join(Duration), send([Pending]), end }
        while true {
            if Task.isCancelled { return nil }
            let step: Step = state.withLock { state in
                guard state.connection == connection else { return .end }
                guard !state.pending.isEmpty else { return state.finished ? .end : .wait }
                let now = ContinuousClock.now
                if let last = state.lastDrain, !state.urgent, now - last < Self.joinWindow { return .join(Self.joinWindow - (now - last)) }
                defer { state.pending = []; state.bytes = 0; state.lastDrain = now }
                return .send(state.pending)
            }
            switch step {
            case .end: return nil
            case .join(let rest): try? await Task.sleep(for: rest)
            case .send(let batch): return lines(batch)
            case .wait: await waitForWork(connection)
            }
        }
    }

    private func waitForWork(_ connection: Int) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let atOnce = state.withLock { state in
                    guard state.pending.isEmpty, !state.finished, state.connection == connection, !Task.isCancelled else { return true }
                    state.waiter = continuation
                    return false
                }
                if atOnce { continuation.resume() }
            }
        } onCancel: {
            wake { _ in }
        }
    }

    private struct DeltaLine: Encodable {
        var type = "delta"
        var messageId: MessageID
        var index: Int
        var text: String
    }

    private func lines(_ batch: [Pending]) -> ByteBuffer {
        var buffer = ByteBuffer()
        for item in batch {
            switch item {
            case .line(let bytes): buffer.writeBytes(bytes)
            case .delta(let messageId, let text):
                let index = state.withLock { state in
                    defer { state.indexes[messageId, default: 0] += 1 }
                    return state.indexes[messageId] ?? 0
                }
                guard let data = try? JSON.encode(DeltaLine(messageId: messageId, index: index, text: text)) else { continue }
                buffer.writeBytes(data)
            }
            buffer.writeInteger(UInt8(ascii: "\n"))
        }
        return buffer
    }

    private struct Lines: AsyncSequence, Sendable {
        typealias Element = ByteBuffer
        let uplink: EventUplink
        let connection: Int
        struct AsyncIterator: AsyncIteratorProtocol {
            let lines: Lines
            mutating func next() async throws -> ByteBuffer? { await lines.uplink.next(for: lines.connection) }
        }
        func makeAsyncIterator() -> AsyncIterator { AsyncIterator(lines: self) }
    }
}
