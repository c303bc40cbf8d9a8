import AsyncHTTPClient
import ControlPlane
import Foundation
import HummingbirdTesting
import NIOCore
import Pace
import Platform
import Synchronization
import Testing

@testable import WebAPI

@Suite("Event streams", .paced, .serialized, .timeLimit(.minutes(10)))
struct StreamTests {
    /// One event as it came over the wire.
    struct Seen: Sendable, Equatable { var id: String?; var name: String; var data: Value }

    /// Reads a stream in the background; the test waits for what it expects.
    final class Listener: Sendable {
        private let text = Mutex("")
        private let ended = Mutex(false)
        func take(_ more: String) { text.withLock { $0 += more } }
        func end() { ended.withLock { $0 = true } }
        var raw: String { text.withLock { $0 } }
        var isOver: Bool { ended.withLock { $0 } }
        var events: [Seen] {
            raw.components(separatedBy: "\n\n").dropLast().compactMap { block in
                var seen = Seen(id: nil, name: "", data: .null)
                for line in block.split(separator: "\n") {
                    if line.hasPrefix("id: ") { seen.id = String(line.dropFirst(4)) }
                    if line.hasPrefix("event: ") { seen.name = String(line.dropFirst(7)) }
                    if line.hasPrefix("data: ") { seen.data = (try? JSON.value(Data(line.dropFirst(6).utf8))) ?? .null }
                }
                return seen.name.isEmpty ? nil : seen
            }
        }
        func wait(_ what: String, until holds: (Listener) -> Bool) async throws {
            let deadline = ContinuousClock.now + .seconds(60)
            while !holds(self) {
                guard ContinuousClock.now < deadline else { Issue.record("waited for \(what); have:\n\(raw)"); throw CancellationError() }
                try await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    /// Runs the server on a free port and hands out a way to open streams.
    private func serve(
        _ world: World, _ test: @escaping @Sendable (_ open: @escaping @Sendable (String, String?) async throws -> (Listener, Int, Task<Void, any Error>)) async throws -> Void
    ) async throws {
        try await world.server.application().test(.ahc()) { client in
            let port = try #require(client.port)
            try await test { path, lastId in
                var request = HTTPClientRequest(url: "http://localhost:\(port)\(path)")
                request.headers.add(name: "Authorization", value: "Bearer \(World.alice)")
                if let lastId { request.headers.add(name: "Last-Event-ID", value: lastId) }
                let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
                let listener = Listener()
                let reading = Task {
                    defer { listener.end() }
                    for try await chunk in response.body { listener.take(String(buffer: chunk)) }
                }
                return (listener, Int(response.status.code), reading)
            }
        }
    }

    private func say(_ world: World, _ bot: Bot, _ name: String, _ data: [String: Value], in group: String = "web:main") async throws {
        var data = data
        data["groupJid"] = .string(group)
        try await world.events.append([EventLog.Entry(name, GroupJID(group), .object(data))], to: bot.botId)
    }

    @Test("a run appears in order: running, deltas and tools, the message, done; what comes late or out of turn is left out")
    func order() async throws {
        let world = try await World()
        let bot = try await world.bot()
        try await serve(world) { open in
            let (listener, status, reading) = try await open("/api/bots/\(bot.botId)/chat/events", nil)
            #expect(status == 200)
            try await listener.wait("the first bytes") { $0.raw.hasPrefix("retry: 3000\n\n") }
            let group = GroupJID("web:main"), run = InvocationID("i1"), message = MessageID("m1")
            try await say(world, bot, "status", ["invocationId": "i1", "state": "running"])
            for index in [0, 1, 3] { await world.live.publish(.delta(groupJid: group, invocationId: run, messageId: message, index: index, text: "t\(index)"), bot: bot.botId) }
            await world.live.publish(.tool(ToolActivity(groupJid: group, invocationId: run, toolUseId: "u", name: "Bash", phase: .start)), bot: bot.botId)
            try await listener.wait("the tool line") { $0.events.contains { $0.name == "tool" } }
            try await say(world, bot, "message", ["messageId": "m1", "content": "t0t1"])
            try await say(world, bot, "status", ["invocationId": "i1", "state": "done"])
            try await listener.wait("done") { $0.events.contains { $0.data["state"]?.string == "done" } }
            await world.live.publish(.delta(groupJid: group, invocationId: run, messageId: message, index: 2, text: "late"), bot: bot.botId)
            await world.live.publish(.delta(groupJid: group, invocationId: InvocationID("i9"), messageId: MessageID("m9"), index: 0, text: "no run"), bot: bot.botId)
            try await say(world, bot, "message", ["messageId": "m2", "content": "next"], in: "web:other")
            try await listener.wait("the other conversation") { $0.events.contains { $0.data["messageId"]?.string == "m2" } }
            #expect(listener.events.map(\.name) == ["status", "delta", "delta", "tool", "message", "status", "message"])
            let ids = listener.events.compactMap(\.id)
            #expect(ids == ids.sorted() && Set(ids).count == 7 && ids.allSatisfy { $0.utf8.count <= 64 })
            reading.cancel()
        }
    }

    @Test("a stream resumes after the last event seen; an aged or unknown id is a resume-gap")
    func resume() async throws {
        let world = try await World()
        let bot = try await world.bot()
        for number in 1...5 { try await say(world, bot, "message", ["messageId": .string("m\(number)")]) }
        try await serve(world) { open in
            let path = "/api/bots/\(bot.botId)/chat/events?conversationId=main"
            let (resumed, _, first) = try await open(path, "0000000000000003-000007")
            try await resumed.wait("what was missed") { $0.events.count == 2 }
            #expect(resumed.events.map { $0.data["messageId"]?.string } == ["m4", "m5"])
            for unknown in ["nonsense", "0000000000000099-000000", "3"] {
                let (gap, _, reading) = try await open(path, unknown)
                try await gap.wait("the gap") { $0.events.first?.data["code"]?.string == "resume-gap" }
                reading.cancel()
            }
            let (fresh, _, second) = try await open(path, nil)
            try await fresh.wait("the first bytes") { !$0.raw.isEmpty }
            try await say(world, bot, "message", ["messageId": "elsewhere"], in: "web:other")
            try await say(world, bot, "message", ["messageId": "m6"])
            for listener in [resumed, fresh] { try await listener.wait("the new message") { $0.events.last?.data["messageId"]?.string == "m6" } }
            #expect(fresh.events.count == 1)
            first.cancel()
            second.cancel()
        }
    }

    @Test("unfinished runs are told first, without an id")
    func unfinished() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let group = try await world.conversation(bot)
        var waiting = Message(
            botId: bot.botId, groupJid: group.groupJid, messageId: MessageID("w"), timestamp: world.time.now(), sender: "a", senderName: "A", content: "hi",
            isBotMessage: false, channelType: .web, isGroup: false, state: .queued)
        waiting.trace = nil
        try await world.records.put(waiting)
        try await serve(world) { open in
            let (listener, _, reading) = try await open("/api/bots/\(bot.botId)/chat/events", nil)
            try await listener.wait("the state") { $0.events.first?.data["state"]?.string == "queued" }
            #expect(listener.events.first?.id == nil)
            reading.cancel()
        }
    }

    @Test("SEC-111 five streams per user, the sixth is 429, and a closed one frees its place")
    func SEC_111_slots() async throws {
        let world = try await World()
        let bot = try await world.bot()
        try await serve(world) { open in
            var readings: [Task<Void, any Error>] = []
            for _ in 0..<5 {
                let (listener, status, reading) = try await open("/api/bots/\(bot.botId)/chat/events", nil)
                #expect(status == 200)
                try await listener.wait("the first bytes") { !$0.raw.isEmpty }
                readings.append(reading)
            }
            #expect(try await open("/api/bots/\(bot.botId)/chat/events", nil).1 == 429)
            readings[0].cancel()
            let deadline = ContinuousClock.now + .seconds(60)
            while world.api.slots.count == 5, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(5)) }
            let (_, status, reading) = try await open("/api/bots/\(bot.botId)/chat/events", nil)
            #expect(status == 200)
            for reading in readings + [reading] { reading.cancel() }
        }
    }

    @Test("SEC-111 a stream pings every 15 s and ends when the bot is paused, the user suspended, the token over", arguments: ["paused", "suspended", "expired"])
    func SEC_111_ends(_ reason: String) async throws {
        let world = try await World()
        let bot = try await world.bot()
        _ = try await world.bots.update(bot, ["status": "active"], by: .system)
        try await serve(world) { open in
            let (listener, _, _) = try await open("/api/bots/\(bot.botId)/chat/events", nil)
            func pass(_ seconds: Double, until what: String, _ holds: @escaping (Listener) -> Bool) async throws {
                let deadline = ContinuousClock.now + .seconds(60)
                while !holds(listener) {
                    guard ContinuousClock.now < deadline else { Issue.record("waited for \(what): \(listener.raw)"); return }
                    if world.time.sleepers > 0 { world.time.advance(by: .seconds(Int64(seconds))) }
                    try await Task.sleep(for: .milliseconds(10))
                }
            }
            try await pass(5, until: "a ping") { $0.raw.contains(": ping\n\n") }
            switch reason {
            case "paused": _ = try await world.bots.update(try await world.bots.get(World.alice, bot.botId), ["status": "paused"], by: .system)
            case "suspended": world.verifier.suspend(World.alice)
            default: world.time.advance(by: .seconds(900))
            }
            let code = reason == "expired" ? "token-expired" : "bot-unavailable"
            try await pass(5, until: code) { $0.events.last?.data["code"]?.string == code }
            try await listener.wait("the end") { $0.isOver }
        }
    }

    @Test("SEC-111 a reader that does not read is refused at 1 MiB")
    func SEC_111_slow() async throws {
        let mailbox = StreamMailbox()
        let piece = String(repeating: "x", count: 100_000)
        var taken = 0
        while mailbox.put(piece) { taken += 1 }
        #expect(taken == 10)
        mailbox.end(instead: "bye")
        #expect(await mailbox.next() == "bye")
        #expect(await mailbox.next() == nil)
        #expect(!mailbox.put("more"))
    }
}
