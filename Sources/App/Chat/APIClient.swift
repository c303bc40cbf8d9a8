import AsyncHTTPClient
import Foundation
import NIOCore
import Platform

/// The few calls of the REST API that the terminal chat needs; keeps itself signed in.
actor APIClient {
    struct Problem: Error, CustomStringConvertible {
        var status: Int
        var detail: String
        var description: String { detail }
    }

    private let http: HTTPClient
    private let base: String
    private var accessToken = Secret("")
    private var refreshToken = Secret("")
    private var expires = Date.distantPast

    init(http: HTTPClient, base: String) { self.http = http; self.base = base }

    enum SignIn: Sendable { case signedIn, mustChange(challenge: Secret) }

    func signIn(email: String, password: Secret) async throws -> SignIn {
        let answer = try await call("POST", "/auth/login", ["email": .string(email), "password": .string(password.reveal())], authorized: false)
        if let challenge = answer["challengeToken"]?.string { return .mustChange(challenge: Secret(challenge)) }
        try take(answer)
        return .signedIn
    }

    func change(challenge: Secret, to password: Secret) async throws {
        try take(try await call(
            "POST", "/auth/change-password", ["challengeToken": .string(challenge.reveal()), "newPassword": .string(password.reveal())], authorized: false))
    }

    func get(_ path: String) async throws -> Value { try await call("GET", path, nil) }
    func post(_ path: String, _ body: Document, idempotencyKey: String? = nil) async throws -> Value {
        try await call("POST", path, body, idempotencyKey: idempotencyKey)
    }

    /// Opens an event stream and hands on its events until it ends.
    func events(_ path: String, lastEventID: String?, opened: @Sendable () -> Void, _ handle: @Sendable (ServerSentEvent) async throws -> Void) async throws {
        try await refreshIfNeeded()
        var request = HTTPClientRequest(url: base + path)
        request.headers.add(name: "Authorization", value: "Bearer \(accessToken.reveal())")
        request.headers.add(name: "Accept", value: "text/event-stream")
        if let lastEventID { request.headers.add(name: "Last-Event-ID", value: lastEventID) }
        let response = try await http.execute(request, deadline: .distantFuture)
        guard response.status == .ok else { throw try await problem(response) }
        opened()
        var decoder = ServerSentEvent.Decoder()
        for try await buffer in response.body {
            for event in decoder.feed(Data(buffer.readableBytesView)) { try await handle(event) }
        }
    }

    private func call(_ method: String, _ path: String, _ body: Document?, authorized: Bool = true, idempotencyKey: String? = nil) async throws -> Value {
        if authorized { try await refreshIfNeeded() }
        var request = HTTPClientRequest(url: base + path)
        request.method = .init(rawValue: method)
        if authorized { request.headers.add(name: "Authorization", value: "Bearer \(accessToken.reveal())") }
        if let idempotencyKey { request.headers.add(name: "Idempotency-Key", value: idempotencyKey) }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSON.data(.object(body))))
        }
        let response: HTTPClientResponse
        do { response = try await http.execute(request, timeout: .seconds(30)) } catch {
            throw Problem(status: 0, detail: "No answer from \(base). Is `clawbot serve` running there?")
        }
        guard (200..<300).contains(response.status.code) else { throw try await problem(response) }
        let bytes = try await response.body.collect(upTo: 8 << 20)
        return bytes.readableBytes == 0 ? .object([:]) : try JSON.value(Data(bytes.readableBytesView))
    }

    private func problem(_ response: HTTPClientResponse) async throws -> Problem {
        let bytes = try await response.body.collect(upTo: 1 << 20)
        let value = try? JSON.value(Data(bytes.readableBytesView))
        return Problem(status: Int(response.status.code), detail: value?["detail"]?.string ?? "The server answered \(response.status.code).")
    }

    private func take(_ answer: Value) throws {
        guard let access = answer["accessToken"]?.string, let refresh = answer["refreshToken"]?.string else {
            throw Problem(status: 0, detail: "The server's answer to the log-in was not understood; is it a ClawBot server?")
        }
        accessToken = Secret(access)
        refreshToken = Secret(refresh)
        expires = Date() + Double(answer["expiresIn"]?.int ?? 900) - 60
    }

    private func refreshIfNeeded() async throws {
        guard Date() > expires, !refreshToken.isEmpty else { return }
        try take(try await call("POST", "/auth/refresh", ["refreshToken": .string(refreshToken.reveal())], authorized: false))
    }
}

/// One event of a `text/event-stream` (WHATWG HTML §9.2).
struct ServerSentEvent: Sendable {
    var id: String?
    var name = "message"
    var data = ""

    /// Puts events together from chunks that may end anywhere.
    struct Decoder: Sendable {
        private var line: [UInt8] = []
        private var event = ServerSentEvent()
        private var hasData = false

        mutating func feed(_ bytes: Data) -> [ServerSentEvent] {
            var events: [ServerSentEvent] = []
            for byte in bytes {
                guard byte == 0x0a else { line.append(byte); continue }
                if line.last == 0x0d { line.removeLast() }
                if let done = take(String(decoding: line, as: UTF8.self)) { events.append(done) }
                line.removeAll(keepingCapacity: true)
            }
            return events
        }

        private mutating func take(_ text: String) -> ServerSentEvent? {
            if text.isEmpty {
                defer { event = ServerSentEvent(); hasData = false }
                return hasData ? event : nil
            }
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard !parts[0].isEmpty else { return nil }
            var value = parts.count > 1 ? String(parts[1]) : ""
            if value.hasPrefix(" ") { value.removeFirst() }
            switch parts[0] {
            case "id": event.id = value
            case "event": event.name = value
            case "data":
                event.data += hasData ? "\n" + value : value
                hasData = true
            default: break
            }
            return nil
        }
    }
}
