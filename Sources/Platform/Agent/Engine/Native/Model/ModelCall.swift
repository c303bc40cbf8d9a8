import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform

/// One try of a streamed Messages API call through the gateway.
struct ModelCall: Sendable {
    let client: GatewayClient
    /// When the run ends.
    let deadline: Date

    /// Streams one assistant turn; `onText` gets text as it comes. A stream that breaks, or makes no sense, is ``ModelFailure/again``.
    func turn(_ body: ByteBuffer, onText: (String) -> Void) async throws -> TurnAssembler.Turn {
        var request = client.request(
            .POST, "/model/v1/messages",
            headers: ["content-type": "application/json", "accept": "text/event-stream", "anthropic-version": "2023-06-01"])
        request.body = .bytes(body)
        let left = deadline.timeIntervalSince(client.time.now())
        guard left > 0 else { throw CancellationError() }
        do {
            let response = try await client.http.execute(request, timeout: .nanoseconds(Int64(min(left, 86_400) * 1e9)))
            guard response.status.code < 300 else {
                // 1 MiB is plenty for an error; what is longer is not read.
                let body = (try? await response.body.collect(upTo: 1 << 20)).map { Data(buffer: $0) } ?? Data()
                throw ModelFailure(status: Int(response.status.code), body: body, retryAfter: GatewayClient.retryAfter(response.headers))
            }
            return try await read(response, onText: onText)
        } catch let error as ModelFailure {
            throw error
        } catch {
            try Task.checkCancellation()
            throw ModelFailure.again(after: nil, "the connection failed: \(error)")
        }
    }

    private func read(_ response: HTTPClientResponse, onText: (String) -> Void) async throws -> TurnAssembler.Turn {
        var events = ServerSentEvents()
        var assembler = TurnAssembler()
        let decoder = JSONDecoder()
        do {
            for try await chunk in response.body {
                // What comes after the last event is read and dropped: so the connection can serve the next call.
                if assembler.isComplete { continue }
                for event in try events.feed(chunk.readableBytesView) {
                    let event = try ModelEvent(event, with: decoder)
                    if case .error(let type, let message) = event {
                        throw ModelFailure(status: nil, type: type, message: message, retryAfter: nil)
                    }
                    if let text = try assembler.take(event) { onText(text) }
                    if assembler.isComplete { break }
                }
            }
        } catch where assembler.isComplete {
            // A break after the last event takes nothing away.
        }
        if assembler.isComplete { return assembler.turn() }
        // Some endpoints leave `message_stop` out; a stop reason says as much.
        guard assembler.stopReason != nil else { throw ModelFailure.again(after: nil, "the stream ended in mid-message") }
        return assembler.turn()
    }
}
