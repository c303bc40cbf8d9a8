import AsyncHTTPClient
import Foundation
import NIOCore
import Platform

/// A signed-in user of a measured server.
struct BenchUser: Sendable {
    let subject: Subject
    let token: String

    static func admin(_ subject: Subject) async throws -> BenchUser {
        let answer = try await call(subject, "POST", "/auth/login", ["email": "admin@example.test", "password": .string(Subject.password)], token: nil)
        return BenchUser(subject: subject, token: try field(answer, "accessToken"))
    }

    /// A new user on the largest plan.
    func newUser(_ number: Int) async throws -> BenchUser {
        let made = try await post("/api/admin/users", ["email": .string("user\(number)@example.test"), "plan": "enterprise"])
        let login = try await Self.call(
            subject, "POST", "/auth/login", ["email": .string("user\(number)@example.test"), "password": .string(Self.field(made, "temporaryPassword"))], token: nil)
        let changed = try await Self.call(
            subject, "POST", "/auth/change-password",
            ["challengeToken": .string(Self.field(login, "challengeToken")), "newPassword": .string(Subject.password)], token: nil)
        return BenchUser(subject: subject, token: try Self.field(changed, "accessToken"))
    }

    func bot(_ name: String) async throws -> String { try Self.field(try await post("/api/bots", ["name": .string(name)]), "botId") }

    func connectTelegram(_ bot: String, number: Int) async throws -> String {
        let token = "\(700_000_000 + number):AAbench\(String(repeating: "x", count: 28))"
        _ = try await post("/api/bots/\(bot)/channels", ["channelType": "telegram", "credentials": .object(["botToken": .string(token)])])
        guard let secret = subject.stage.vendor.secret(of: token) else { throw Failure("no webhook was registered") }
        return secret
    }

    func post(_ path: String, _ body: Document) async throws -> Value { try await Self.call(subject, "POST", path, body, token: token) }
    func get(_ path: String) async throws -> Value { try await Self.call(subject, "GET", path, nil, token: token) }

    static func field(_ value: Value, _ name: String) throws -> String {
        guard let text = value[name]?.string else { throw Failure("no \(name) in \(value)") }
        return text
    }

    static func call(_ subject: Subject, _ method: String, _ path: String, _ body: Document?, token: String?) async throws -> Value {
        var request = HTTPClientRequest(url: subject.base + path)
        request.method = .init(rawValue: method)
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        if let body {
            request.headers.add(name: "Content-Type", value: "application/json")
            request.body = .bytes(ByteBuffer(bytes: try JSON.data(.object(body))))
        }
        let response = try await subject.stage.http.execute(request, timeout: .seconds(60))
        let bytes = try await response.body.collect(upTo: 8 << 20)
        guard (200..<300).contains(response.status.code) else {
            throw Failure("\(method) \(path) answered \(response.status.code): \(String(buffer: bytes))")
        }
        return bytes.readableBytes == 0 ? .object([:]) : try JSON.value(Data(bytes.readableBytesView))
    }
}

/// Reads a bot's event stream and wakes whoever waits for a token in a bot's message.
actor Replies {
    private var waiting: [String: CheckedContinuation<ContinuousClock.Instant, any Error>] = [:]
    private var early: [String: ContinuousClock.Instant] = [:]
    private var reading: Task<Void, any Error>?

    func stop() { reading?.cancel() }

    /// Opens the stream and returns once it has begun.
    static func follow(_ user: BenchUser, bot: String) async throws -> Replies {
        let replies = Replies()
        let (open, opening) = AsyncStream<Void>.makeStream()
        let task = Task {
            defer { opening.finish() }
            var request = HTTPClientRequest(url: user.subject.base + "/api/bots/\(bot)/chat/events")
            request.headers.add(name: "Authorization", value: "Bearer \(user.token)")
            let response = try await user.subject.stage.http.execute(request, deadline: .distantFuture)
            guard response.status == .ok else { throw Failure("the event stream answered \(response.status.code)") }
            var text = ""
            for try await chunk in response.body {
                opening.finish()
                text += String(buffer: chunk)
                while let end = text.range(of: "\n\n") {
                    let event = text[..<end.lowerBound]
                    text.removeSubrange(..<end.upperBound)
                    if event.contains("event: message"), event.contains("\"isBotMessage\":true"), let found = event.range(of: "token-") {
                        await replies.arrived("token-" + event[found.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "-" })
                    }
                }
            }
        }
        for await _ in open {}
        await replies.keep(task)
        return replies
    }

    private func keep(_ task: Task<Void, any Error>) { reading = task }

    private func arrived(_ token: String) {
        let now = ContinuousClock.now
        if let continuation = waiting.removeValue(forKey: token) { continuation.resume(returning: now) } else { early[token] = now }
    }

    /// When the reply with that word came, or comes; at most a minute from now.
    func wait(_ token: String) async throws -> ContinuousClock.Instant {
        if let time = early.removeValue(forKey: token) { return time }
        let patience = Task {
            try await Task.sleep(for: .seconds(60))
            self.giveUp(token)
        }
        defer { patience.cancel() }
        return try await withCheckedThrowingContinuation { waiting[token] = $0 }
    }

    private func giveUp(_ token: String) {
        waiting.removeValue(forKey: token)?.resume(throwing: Failure("no reply to \(token) came within a minute"))
    }
}
