import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform
import Synchronization

/// HTTP+SSE of protocol 2024-11-05: one stream of events brings everything from the server; its first event names where to post.
final class LegacySSETransport: MCPTransport {
    private struct State {
        var endpoint: String?
        var reading: Task<Void, Never>?
        var waiter: CheckedContinuation<MCPFailure?, Never>?
        /// How the stream ended, if it has.
        var end: MCPFailure?
    }
    private let door: MCPDoor
    private let limits: MCPLimits
    private let state = Mutex(State())

    init(_ door: MCPDoor, limits: MCPLimits) { self.door = door; self.limits = limits }
    deinit { state.withLock { $0.reading }?.cancel() }

    func open(_ receiver: MCPReceiver) async throws(MCPFailure) {
        var request = door.request(.GET)
        request.headers.add(name: "accept", value: "text/event-stream")
        let response: HTTPClientResponse
        do { response = try await door.http.execute(request, deadline: .now() + .hours(8)) } catch { throw .ended("it cannot be reached, or hung up") }
        guard response.status == .ok, response.headers.first(name: "content-type")?.lowercased().hasPrefix("text/event-stream") ?? false else {
            throw .httpStatus(Int(response.status.code))
        }
        // Lives as long as the connection and is cancelled with it.
        state.withLock { $0.reading = Task { [weak self, limits] in await Self.read(response, limits, receiver) { self?.found($0) } ended: { self?.finished($0) } } }
        let trouble: MCPFailure? = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<MCPFailure?, Never>) in
                let (isKnown, end): (Bool, MCPFailure?) = state.withLock { state in
                    if state.endpoint == nil, state.end == nil {
                        state.waiter = continuation
                        return (false, nil)
                    }
                    return (true, state.end)
                }
                if isKnown { continuation.resume(returning: end) }
            }
        } onCancel: {
            finished(.ended("it was ended"))
        }
        if let trouble { throw trouble }
    }

    func send(_ message: RPCMessage) async throws(MCPFailure) {
        let body = message.encoded()
        guard body.count <= limits.messageBytes else { throw .tooLong(limits.messageBytes) }
        let (endpoint, end) = state.withLock { ($0.endpoint, $0.end) }
        if let end { throw end }
        guard let endpoint else { throw .ended("it has not told where to post") }
        var request = door.request(.POST, endpoint: endpoint)
        request.headers.add(name: "content-type", value: "application/json")
        request.body = .bytes(ByteBuffer(bytes: body))
        let response: HTTPClientResponse
        do { response = try await door.http.execute(request, timeout: .seconds(60)) } catch { throw .ended("it cannot be reached, or hung up") }
        guard (200..<300).contains(response.status.code) else { throw .httpStatus(Int(response.status.code)) }
        // Whatever it says here says nothing; read so that the connection can be used again.
        _ = try? await response.body.collect(upTo: 1 << 16)
    }

    func agreed(on version: String) {}

    func close() async {
        state.withLock { $0.reading }?.cancel()
        finished(.ended("it was ended"))
    }

    private func found(_ endpoint: String) {
        let waiter = state.withLock { state in
            // The first word counts: a later one could lead elsewhere.
            if state.endpoint == nil { state.endpoint = endpoint }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: nil)
    }
    private func finished(_ end: MCPFailure) {
        let waiter = state.withLock { state in
            if state.end == nil { state.end = end }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: end)
    }

    private static func read(
        _ response: HTTPClientResponse, _ limits: MCPLimits, _ receiver: MCPReceiver, endpoint: (String) -> Void, ended: (MCPFailure) -> Void
    ) async {
        var end = MCPFailure.ended("it closed the connection")
        var events = ServerSentEvents()
        do {
            for try await chunk in response.body {
                for event in try events.feed(chunk.readableBytesView) {
                    guard event.data.count <= limits.messageBytes else { throw MCPFailure.tooLong(limits.messageBytes) }
                    if event.name == "endpoint" {
                        guard event.data.count <= 2048 else { throw MCPFailure.unintelligible("its endpoint is too long") }
                        endpoint(String(decoding: event.data, as: UTF8.self))
                    } else if event.name.isEmpty || event.name == "message" {
                        guard let messages = RPCMessage.read(event.data) else { throw MCPFailure.unintelligible("an event holds no JSON-RPC") }
                        for message in messages { receiver.message(message, event.data.count) }
                    }
                }
            }
        } catch let failure as MCPFailure {
            end = failure
        } catch is ServerSentEvents.TooLong {
            end = .tooLong(limits.messageBytes)
        } catch {}
        ended(end)
        receiver.ended(end, nil)
    }
}
