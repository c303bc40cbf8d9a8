import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform
import Synchronization

/// Streamable HTTP (https://modelcontextprotocol.io/specification/2025-11-25/basic/transports): every message is a `POST`, answered by
/// JSON or by a stream of events; a `GET` listens for what comes unasked. A stream that breaks is taken up again after its last id.
final class StreamableHTTPTransport: MCPTransport {
    private struct State {
        var session: String?
        var version: String?
        var receiver: MCPReceiver?
        var listening: Task<Void, Never>?
        var isClosed = false
    }
    private let door: MCPDoor
    private let limits: MCPLimits
    private let time: any TimeSource
    private let state = Mutex(State())

    init(_ door: MCPDoor, limits: MCPLimits, time: any TimeSource = SystemTime()) { self.door = door; self.limits = limits; self.time = time }
    deinit { state.withLock { $0.listening }?.cancel() }

    /// The server's id of the session, if it has sessions.
    var session: String? { state.withLock { $0.session } }

    func open(_ receiver: MCPReceiver) async throws(MCPFailure) { state.withLock { $0.receiver = receiver } }

    func agreed(on version: String) {
        state.withLock { $0.version = version }
        listen()
    }

    /// Listens anew, under the grant of a run that has just begun. Servers without sessions have nothing to say unasked.
    func listen() {
        state.withLock { state in
            state.listening?.cancel()
            state.listening = nil
            guard !state.isClosed, state.version != nil, state.session != nil else { return }
            // Lives as long as the connection and is cancelled with it.
            state.listening = Task { [weak self, door, limits, time] in await Self.listen(self.map { WeakTransport($0) }, door, limits, time) }
        }
    }

    func send(_ message: RPCMessage) async throws(MCPFailure) {
        let body = message.encoded()
        guard body.count <= limits.messageBytes else { throw .tooLong(limits.messageBytes) }
        var request = prepared(.POST)
        request.headers.add(name: "content-type", value: "application/json")
        request.headers.add(name: "accept", value: "application/json, text/event-stream")
        var wanted: Value?
        if case .request(let id, let method, let params) = message {
            wanted = id
            if state.withLock({ $0.version }) == ProtocolVersion.stateless {
                request.headers.add(name: "mcp-method", value: method)
                if let name = params?["name"]?.string { request.headers.add(name: "mcp-name", value: name) }
            }
        }
        request.body = .bytes(ByteBuffer(bytes: body))
        let response = try await execute(request)
        try check(response, hadSession: request.headers.contains(name: "mcp-session-id"))
        if let id = response.headers.first(name: "mcp-session-id"), (1...1024).contains(id.utf8.count), id.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) {
            state.withLock { if $0.session == nil { $0.session = id } }
        }
        guard response.status != .accepted, response.status != .noContent else {
            if wanted != nil { throw .unintelligible("a request was accepted and not answered") }
            return
        }
        let type = response.headers.first(name: "content-type")?.lowercased() ?? ""
        if type.hasPrefix("text/event-stream") {
            try await follow(response, until: wanted)
        } else if type.hasPrefix("application/json") {
            let content: ByteBuffer
            do { content = try await response.body.collect(upTo: limits.messageBytes) } catch is NIOTooManyBytesError { throw .tooLong(limits.messageBytes) } catch { throw Self.failure(error) }
            guard let messages = RPCMessage.read(content.readableBytesView) else {
                if wanted == nil, content.readableBytes == 0 { return }
                throw .unintelligible("its answer is no JSON-RPC")
            }
            deliver(messages, content.readableBytes)
        } else if wanted != nil {
            throw .unintelligible("its answer is neither JSON nor events")
        }
    }

    func close() async {
        let (session, listening) = state.withLock { state in
            state.isClosed = true
            defer { state.listening = nil; state.session = nil; state.receiver = nil }
            return (state.session, state.listening)
        }
        listening?.cancel()
        guard let session else { return }
        var request = door.request(.DELETE)
        request.headers.add(name: "mcp-session-id", value: session)
        // A courtesy: servers forget sessions by themselves too.
        _ = try? await door.http.execute(request, timeout: .seconds(2))
    }

    // MARK: Streams

    /// Reads events until the wanted answer has come; a stream that breaks before is resumed.
    private func follow(_ response: HTTPClientResponse, until wanted: Value?) async throws(MCPFailure) {
        var place = Place()
        if try await read(response, until: wanted, &place) { return }
        for attempt in 0..<limits.resumptions {
            guard wanted != nil, let id = place.id else { break }
            await pause(place.retry.map { .milliseconds(min($0, 30_000)) } ?? limits.reconnect.delay(attempt))
            if Task.isCancelled { throw .ended("it was ended") }
            var request = prepared(.GET)
            request.headers.add(name: "accept", value: "text/event-stream")
            request.headers.add(name: "last-event-id", value: id)
            do throws(MCPFailure) {
                let response = try await execute(request)
                try check(response, hadSession: true)
                if try await read(response, until: wanted, &place) { return }
            } catch {
                // A server that is away for a moment may be back; one that says no does not resume.
                guard case .ended = error else { throw error == .httpStatus(405) ? .ended("its answer broke off") : error }
            }
        }
        if wanted != nil { throw .ended("its answer broke off") }
    }
    private struct Place { var id: String?; var retry: Int? }

    /// - Returns: whether the wanted answer came; a break is no error here.
    private func read(_ response: HTTPClientResponse, until wanted: Value?, _ place: inout Place) async throws(MCPFailure) -> Bool {
        var events = ServerSentEvents()
        var chunks = response.body.makeAsyncIterator()
        while true {
            let chunk: ByteBuffer?
            do { chunk = try await chunks.next() } catch {
                if Task.isCancelled { throw .ended("it was ended") }
                return false
            }
            guard let chunk else { return false }
            let complete: [ServerSentEvents.Event]
            do { complete = try events.feed(chunk.readableBytesView) } catch { throw .tooLong(limits.messageBytes) }
            for event in complete {
                place.id = event.id ?? place.id
                place.retry = event.retry ?? place.retry
                guard event.name.isEmpty || event.name == "message", !event.data.isEmpty else { continue }
                guard event.data.count <= limits.messageBytes else { throw .tooLong(limits.messageBytes) }
                guard let messages = RPCMessage.read(event.data) else { throw .unintelligible("an event holds no JSON-RPC") }
                deliver(messages, event.data.count)
                if let wanted, messages.contains(where: { if case .response(wanted, _) = $0 { true } else { false } }) { return true }
            }
        }
    }

    private struct WeakTransport: @unchecked Sendable {
        // Only read, and only through its own lock.
        weak var transport: StreamableHTTPTransport?
        init(_ transport: StreamableHTTPTransport) { self.transport = transport }
    }

    private static func listen(_ holder: WeakTransport?, _ door: MCPDoor, _ limits: MCPLimits, _ time: any TimeSource) async {
        var place = Place(), failures = 0
        while !Task.isCancelled, let transport = holder?.transport {
            var request = transport.prepared(.GET)
            request.headers.add(name: "accept", value: "text/event-stream")
            if let id = place.id { request.headers.add(name: "last-event-id", value: id) }
            do throws(MCPFailure) {
                let response = try await transport.execute(request)
                // Whoever has no such stream says 405; any other refusal is as final.
                guard response.status == .ok else { return }
                let before = place.id
                _ = try await transport.read(response, until: nil, &place)
                failures = place.id != before ? 0 : failures + 1
            } catch {
                guard case .ended = error else { return }
                failures += 1
            }
            await transport.pause(place.retry.map { .milliseconds(min(max($0, 100), 30_000)) } ?? limits.reconnect.delay(failures))
        }
    }

    // MARK: Parts

    private func prepared(_ method: HTTPMethod) -> HTTPClientRequest {
        var request = door.request(method)
        let (session, version) = state.withLock { ($0.session, $0.version) }
        if let session { request.headers.add(name: "mcp-session-id", value: session) }
        if let version { request.headers.add(name: "mcp-protocol-version", value: version) }
        return request
    }

    private func execute(_ request: HTTPClientRequest) async throws(MCPFailure) -> HTTPClientResponse {
        do { return try await door.http.execute(request, deadline: .now() + .hours(8)) } catch { throw Self.failure(error) }
    }

    private func check(_ response: HTTPClientResponse, hadSession: Bool) throws(MCPFailure) {
        switch response.status.code {
        case 200..<300: return
        case 401 where response.headers.first(name: "www-authenticate")?.hasPrefix("Bearer error") ?? false:
            throw .runEnded
        case 404 where hadSession:
            state.withLock { $0.session = nil }
            throw .sessionLost
        case let code: throw .httpStatus(Int(code))
        }
    }

    private func deliver(_ messages: [RPCMessage], _ bytes: Int) {
        guard let receiver = state.withLock({ $0.receiver }) else { return }
        for message in messages { receiver.message(message, bytes) }
    }
    private func pause(_ duration: Duration) async { try? await time.sleep(for: duration) }

    private static func failure(_ error: any Error) -> MCPFailure {
        if error is CancellationError { return .ended("it was ended") }
        return .ended("it cannot be reached, or hung up")
    }
}
