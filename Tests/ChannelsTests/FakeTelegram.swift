import AsyncHTTPClient
import Foundation
import NIOCore
import Platform
import Synchronization

@testable import Channels

/// The Python fake as a child process (Tests/Fakes/telegram). Needs a Python with aiohttp, named by CLAWBOT_TEST_PYTHON.
final class FakeTelegram: Sendable {
    static let python = ProcessInfo.processInfo.environment["CLAWBOT_TEST_PYTHON"].flatMap { FileManager.default.isExecutableFile(atPath: $0) ? $0 : nil }
    static let skipReason = "CLAWBOT_TEST_PYTHON names no Python with aiohttp"

    let url: String
    /// Ends the child: it watches its standard input.
    private let input: Pipe

    static func start() async throws -> FakeTelegram {
        let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().appending(path: "Fakes/telegram/fake_telegram.py")
        let process = Process()
        process.executableURL = URL(filePath: python ?? "/usr/bin/false")
        process.arguments = [script.path(), "--port", "0", "--bot", "\(Fixture.token)=claw_bot", "--retry-base", "0.05", "--watch-stdin"]
        let input = Pipe(), output = Pipe()
        process.standardInput = input
        process.standardOutput = output
        process.environment = ["PYTHONDONTWRITEBYTECODE": "1"]
        try process.run()
        var line = Data()
        while line.last != UInt8(ascii: "\n") {
            let more = try output.fileHandleForReading.read(upToCount: 1) ?? Data()
            if more.isEmpty { throw CocoaError(.fileReadUnknown) }
            line += more
        }
        return FakeTelegram(port: String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines), input: input)
    }
    private init(port: String, input: Pipe) {
        url = "http://127.0.0.1:\(port)"
        self.input = input
    }
    func stop() { try? input.fileHandleForWriting.close() }

    @discardableResult
    func control(_ verb: String, _ path: String, _ body: Document? = nil) async throws -> Value {
        var request = HTTPClientRequest(url: "\(url)/control/\(path)")
        request.method = verb == "POST" ? .POST : verb == "DELETE" ? .DELETE : .GET
        if let body {
            request.headers.add(name: "content-type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSON.data(.object(body))))
        }
        let response = try await Fixture.client.execute(request, timeout: .seconds(30))
        let data = Data(try await response.body.collect(upTo: 64 << 20).readableBytesView)
        guard response.status == .ok else { throw ControlError(text: String(decoding: data, as: UTF8.self)) }
        return try JSON.value(data)
    }
    struct ControlError: Error { var text: String }

    func say(_ text: String, chat: Int = 77, more: Document = [:]) async throws {
        try await control("POST", "message", ["token": .string(Fixture.token), "chat_id": .int(chat), "text": .string(text)].merging(more) { $1 })
    }
    func rule(_ fields: Document) async throws { try await control("POST", "rules", fields) }
    func sent() async throws -> [Value] { try await control("GET", "sent").array ?? [] }
    func calls(_ method: String) async throws -> [Value] { try await control("GET", "calls?method=\(method)").array ?? [] }
    func bot() async throws -> Value { try await control("GET", "state")["bots"]?.array?.first ?? .null }

    /// Runs a test against a fresh fake.
    static func use(_ body: (FakeTelegram) async throws -> Void) async throws {
        let fake = try await start()
        defer { fake.stop() }
        try await body(fake)
    }
}

/// A sink that a test can look into and make fail.
final class RecordingSink: InboundSink {
    private struct State { var accepted: [InboundEvent] = []; var failures = 0; var refused = 0 }
    private let state = Mutex(State())
    struct Full: Error {}

    func failNext(_ count: Int) { state.withLock { $0.failures = count } }
    func accept(_ event: InboundEvent, from channel: ConnectedChannel) async throws {
        try state.withLock { state in
            if state.failures > 0 {
                state.failures -= 1
                state.refused += 1
                throw Full()
            }
            state.accepted.append(event)
        }
    }
    var refused: Int { state.withLock { $0.refused } }
    var texts: [String] { state.withLock { $0.accepted.compactMap { if case .message(let message) = $0 { message.text } else { nil } } } }
}

/// Waits until a condition holds; false after a generous time.
func eventually(within limit: Duration = .seconds(60), _ condition: () async throws -> Bool) async rethrows -> Bool {
    let end = ContinuousClock.now + limit
    while ContinuousClock.now < end {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return false
}
