import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Platform
import Synchronization

/// A Messages API that answers at once with what it was asked to echo; it notes when each request came.
final class FakeModel: Sendable {
    let base: String
    private let task: Task<Void, any Error>
    private let log: RequestLog
    private init(base: String, task: Task<Void, any Error>, log: RequestLog) { self.base = base; self.task = task; self.log = log }

    /// Requests since the last call, with the time each came.
    func takeRequests() -> [ContinuousClock.Instant] { log.take() }
    /// Waits for one more request than were waited for before, at most 30 s.
    func waitForRequest() async throws { try await log.wait() }
    func stop() async { task.cancel(); _ = try? await task.value }

    static func start() async throws -> FakeModel {
        let log = RequestLog()
        let router = Router()
        router.post("/v1/messages") { request, context -> Response in
            log.add()
            let body = try await request.body.collect(upTo: 32 << 20)
            let word = lastWord(body)
            if word == "token-hold" { try await Task.sleep(for: .seconds(3600)) }
            let events = [
                #"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":10,"output_tokens":1}}}"#,
                #"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                #"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\#(word)"}}"#,
                #"{"type":"content_block_stop","index":0}"#,
                #"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":5}}"#,
                #"{"type":"message_stop"}"#,
            ]
            let names = ["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]
            let text = zip(names, events).map { "event: \($0)\ndata: \($1)\n\n" }.joined()
            return Response(status: .ok, headers: [.contentType: "text/event-stream"], body: .init(byteBuffer: ByteBuffer(string: text)))
        }
        let (task, port) = try await serve(router)
        return FakeModel(base: "http://127.0.0.1:\(port)", task: task, log: log)
    }

    /// The newest word of the form `token-…` in a request: enough to recognise an answer, cheap to find.
    private static func lastWord(_ body: ByteBuffer) -> String {
        let bytes = body.readableBytesView, mark = Array("token-".utf8)
        var start = bytes.endIndex - mark.count
        while start >= bytes.startIndex {
            if bytes[start] == mark[0], bytes[start..<(start + mark.count)].elementsEqual(mark) {
                let isWord: (UInt8) -> Bool = { $0 == 0x2d || ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7a || $0 >= 0x30 && $0 <= 0x39 }
                return String(decoding: bytes[start...].prefix(while: isWord), as: UTF8.self)
            }
            start -= 1
        }
        return "pong"
    }
}

/// A Bot API that accepts everything and notes when each message came.
final class FakeVendor: Sendable {
    let base: String
    private let task: Task<Void, any Error>
    private let state: Secrets
    final class Secrets: Sendable { let byToken = Mutex<[String: String]>([:]) }
    private init(base: String, task: Task<Void, any Error>, state: Secrets) { self.base = base; self.task = task; self.state = state }
    func secret(of token: String) -> String? { state.byToken.withLock { $0[token] } }
    func stop() async { task.cancel(); _ = try? await task.value }

    static func start() async throws -> FakeVendor {
        let state = Secrets()
        let router = Router()
        router.post("/:bot/:method") { request, context -> Response in
            let token = String(try context.parameters.require("bot").dropFirst(3))
            let method = try context.parameters.require("method")
            let body = try await request.body.collect(upTo: 1 << 20)
            var result = "true"
            switch method {
            case "getMe":
                result = #"{"id":\#(token.prefix { $0 != ":" }),"is_bot":true,"first_name":"Bench","username":"bench_bot","can_join_groups":true,"can_read_all_group_messages":true}"#
            case "setWebhook":
                if let secret = (try? JSON.value(Data(body.readableBytesView)))?["secret_token"]?.string { state.byToken.withLock { $0[token] = secret } }
            case "sendMessage": result = #"{"message_id":1,"date":1,"chat":{"id":1,"type":"private"},"text":"x"}"#
            case "getWebhookInfo": result = #"{"url":"","has_custom_certificate":false,"pending_update_count":0}"#
            default: break
            }
            return Response(status: .ok, headers: [.contentType: "application/json"], body: .init(byteBuffer: ByteBuffer(string: #"{"ok":true,"result":\#(result)}"#)))
        }
        let (task, port) = try await serve(router)
        return FakeVendor(base: "http://127.0.0.1:\(port)", task: task, state: state)
    }
}

private final class RequestLog: Sendable {
    private let times = Mutex<[ContinuousClock.Instant]>([])
    private let (arrivals, arrival) = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1000))
    func add() {
        times.withLock { $0.append(.now) }
        arrival.yield()
    }
    func take() -> [ContinuousClock.Instant] { times.withLock { times in defer { times = [] }; return times } }
    func wait() async throws {
        let came = try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask { for await _ in self.arrivals { return true }; return false }
            group.addTask { try await Task.sleep(for: .seconds(30)); return false }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
        if !came { throw Failure("no model request came within 30 s") }
    }
}

private func serve(_ router: Router<BasicRequestContext>) async throws -> (Task<Void, any Error>, Int) {
    let (ports, continuation) = AsyncStream<Int>.makeStream()
    var logger = Logger(label: "bench")
    // An end by cancellation is one that Hummingbird reports as an error.
    logger.logLevel = .critical
    let app = Application(
        router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
        onServerRunning: { channel in
            continuation.yield(channel.localAddress?.port ?? 0)
            continuation.finish()
        }, logger: logger)
    let task = Task { try await app.run() }
    for await port in ports { return (task, port) }
    throw Failure("a fake did not start")
}
