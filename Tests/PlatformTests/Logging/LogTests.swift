import Foundation
import Logging
import Pace
import Synchronization
import Testing

@testable import Platform

@Suite("Logs", .paced)
struct LogTests {
    private final class Lines: Sendable {
        private let text = Mutex("")
        var all: String { text.withLock { $0 } }
        var sink: LogSink { { line in self.text.withLock { $0 += line } } }
    }

    /// Random ones of each shape, made here so that no scanner takes this file for a leak.
    private static let canaries: [String] = {
        let key = "Zq8" + "rT2vXw9LmN4pKs7" + "YbHd3FgJc6RaUe1To5Wi"
        return [
            "123456789:AAF" + key.prefix(32), "sk-ant-" + "api03-" + key, "xoxb-" + "1234567890-" + key.prefix(24), "ghp_" + key.prefix(36),
            "eyJhbGciOiJSUzI1NiJ9" + ".eyJzdWIiOiIwMUoifQ." + key, "v1." + key + "." + key + "abcde12", "r.AbC123dEf456GhI789jK0l." + key + "Q7w8e9",
            Digest.randomToken(bytes: 48), "AKIA" + "QWERTYUIOP123456",
        ]
    }()

    @Test("SEC-52 no credential reaches a line, at any level, in message, metadata, error or URL")
    func canaries() {
        struct Leak: Error { var text: String }
        let lines = Lines()
        var loggers = [Logger(label: "json") { JSONLogHandler(label: $0, sink: lines.sink) }, Logger(label: "human") { HumanLogHandler(label: $0, sink: lines.sink) }]
        for index in loggers.indices {
            loggers[index].logLevel = .trace
            for level in Logger.Level.allCases {
                for canary in Self.canaries {
                    loggers[index].log(level: level, "message \(canary) end")
                    loggers[index].log(level: level, "call", metadata: [
                        "cause": "\(Leak(text: canary))", "url": "https://api.telegram.org/bot\(canary)/getMe?x=\(canary)", "header": "Authorization: Bearer \(canary)",
                        "list": ["a", .string(canary)],
                    ])
                }
                loggers[index].log(level: level, "fields", metadata: ["password": "plain-canary-1", "botToken": "plain-canary-2", "x-api-key": "plain-canary-3"])
                loggers[index].log(level: level, "postgres://me:plain-canary-4@db/x and Authorization: Basic cGxhaW4tY2FuYXJ5LTU=")
                loggers[index].log(level: level, "secret \(Secret("plain-canary-6"))")
            }
        }
        let all = lines.all
        #expect(all.count > 1000)
        for canary in Self.canaries { #expect(!all.contains(canary), "\(canary.prefix(6))…") }
        #expect(!all.contains("plain-canary") && !all.contains("cGxhaW4tY2FuYXJ5"))
    }

    @Test("ids, digests, times, paths and prose stay readable")
    func readable() {
        for text in [
            "01JZ8Q4X7M9T2V5B8N1C4D7F0G", "run died after 3 tries", "2026-01-31T08:15:30.123Z", String(repeating: "0f", count: 32), "/var/lib/clawbot/clawbot.sqlite",
            "6F9619FF-8B86-D011-B42D-00CF4FC964FF", "anthropic-compatible-api", "https://api.example.com/v1/messages", "bearer of bad news", "queue=inbound,depth=12",
        ] { #expect(LogRedaction.masked(text) == text) }
    }

    @Test("a JSON line carries the ids of its task, and the line's own win")
    func ids() async throws {
        let lines = Lines()
        let logger = Logger(label: "x") { JSONLogHandler(label: $0, sink: lines.sink) }
        await LogContext.with(["botId": "B", "messageId": nil]) {
            await LogContext.with(["invocationId": "I"]) { logger.info("hello", metadata: ["botId": "C"]) }
        }
        let fields = try JSON.value(Data(lines.all.utf8))
        #expect(fields["event"] == "hello" && fields["invocationId"] == "I" && fields["botId"] == "C" && fields["messageId"] == nil && fields["level"] == "info")
        #expect(fields["ts"]?.string.flatMap(Timestamp.date) != nil)
    }

    @Test("a line for people has level, time, text and quoted fields, and is one line whatever it holds")
    func human() {
        let lines = Lines()
        let logger = Logger(label: "x") { HumanLogHandler(label: $0, now: { Date(timeIntervalSince1970: 1_700_000_000.25) }, sink: lines.sink) }
        logger.warning("reply\nlost", metadata: ["reason": "no such \"chat\"\nfake", "botId": "B"])
        #expect(lines.all == "22:13:20.250 WARN  reply lost  botId=B reason=\"no such \\\"chat\\\"\\nfake\"\n")
    }
}
