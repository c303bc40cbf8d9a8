import Channels
import Foundation
import Logging
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite("Restored data", .paced)
struct RestorationTests {
    private func restoration(_ world: World, onDelete: @escaping @Sendable (UserID) async throws -> Void = { _ in }) -> Restoration {
        let records = world.ports.records
        let channels = ChannelService(
            records: records, secrets: world.ports.secrets, registry: ChannelRegistry([world.vendor]), publicBaseURL: URL(string: "http://127.0.0.1")!, stage: "local",
            notices: ManagementNotices(), time: world.ports.time)
        let tasks = TaskService(records: records, scheduler: NoScheduler())
        return Restoration(
            plane: world.plane, bots: BotService(records: records, scheduler: NoScheduler(), channels: channels), tasks: tasks,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, deleteUser: onDelete)
    }

    private func mark(_ world: World, _ mode: Restoration.Mode, _ deletions: [Deletion] = []) async throws {
        try await Restoration.mark(world.ports.records, mode: mode, deletions: deletions, takenAt: nil, at: Date())
    }

    @Test("a start on data that was not restored does nothing")
    func ordinary() async throws {
        let world = try await World()
        #expect(try await restoration(world).run() == nil)
    }

    @Test("what was under way on a messaging channel is held, not answered again, and can be sent by hand")
    func held() async throws {
        let world = try await World()
        try await world.say("one")
        try await world.say("two", id: 2)
        try await world.say("other chat", chat: 8, id: 3)
        try await mark(world, .hold)
        #expect(try await restoration(world).run()?.held == 3)
        for id in 1...2 { #expect(try await world.message(id)?.state == .stopped) }
        let letters = try await world.plane.deadLetters.list(queue: nil, limit: 10, cursor: nil).items
        #expect(letters.count == 3 && letters.allSatisfy { $0.reason == Restoration.heldReason })
        try await world.running {
            try await world.say("three", id: 4)
            #expect(try await world.settled(4).state == .answered)
            #expect(world.vendor.texts() == ["echo: three"])
            let letter = try #require(letters.first { $0.body.contains("tg-1\"") })
            #expect(try await world.plane.deadLetters.redrive(letter.id, by: .system))
            _ = try await eventually("the letter's message is answered") { try await world.message(1)?.state == .answered ? true : nil }
        }
        #expect(world.vendor.texts() == ["echo: three", "echo: one"])
        // The mark is gone: the next start is an ordinary one.
        #expect(try await restoration(world).run() == nil)
    }

    @Test("a reply that was on its way is held, and the run it ends is settled with its slot")
    func heldReply() async throws {
        let world = try await World()
        world.agents.script(.hang)
        try await world.running {
            try await world.say("hello")
            _ = try await eventually("the agent was started") { world.agents.started.first }
        }
        let invocation = try #require(world.agents.started.first)
        try await world.agents.finish(invocation, "the answer", nil)
        try await mark(world, .hold)
        #expect(try await restoration(world).run()?.held ?? 0 >= 1)
        let session = try #require(try await world.ports.records.get(Session.self, Session.key(world.session())))
        #expect(session.run == nil)
        #expect(try await world.ports.records.get(User.self, world.user.key)?.slots.isEmpty == true)
        let letters = try await world.plane.deadLetters.list(queue: .replies, limit: 10, cursor: nil).items
        #expect(letters.count == 1)
        try await world.running {
            #expect(try await world.plane.deadLetters.redrive(letters[0].id, by: .system))
            _ = try await eventually("the reply was sent") { world.vendor.texts().isEmpty ? nil : true }
        }
        #expect(world.vendor.texts() == ["the answer"])
    }

    @Test("web chat goes on by itself, and with resume everything does")
    func resumed() async throws {
        for mode in [Restoration.Mode.hold, .resume] {
            let world = try await World()
            let stored = Message(
                botId: world.bot.botId, groupJid: GroupJID("web:main"), messageId: MessageID("w1"), timestamp: Date(timeIntervalSince1970: 1_760_000_000), sender: "u",
                senderName: "U", content: "from the web", isBotMessage: false, channelType: .web, isGroup: false, state: .queued)
            try await world.plane.ingest.store(stored, of: world.bot)
            try await world.say("from telegram")
            try await mark(world, mode)
            #expect(try await restoration(world).run()?.held == (mode == .hold ? 1 : 0))
            try await world.running {
                let key = stored.key
                _ = try await eventually("the web message is answered") {
                    try await world.ports.records.get(Message.self, key)?.state == .answered ? true : nil
                }
                if mode == .resume { #expect(try await world.settled(1).state == .answered) }
            }
            #expect(world.vendor.texts() == (mode == .resume ? ["echo: from telegram"] : []))
        }
    }

    @Test("SEC-128 SEC-125 what was deleted after the backup is deleted again before anybody is served; sessions end")
    func deletions() async throws {
        let world = try await World()
        let other = Bot(botId: BotID(ULID.make()), userId: world.user.userId, name: "Other", at: Date())
        try await world.ports.records.put(other)
        try await world.ports.records.update(world.user.key, [.set("botCount", 2)])
        try await world.ports.records.put(RecordKey(Tables.refreshTokens, "t", "t"), ["userId": "u", "createdAt": "x"], expiresAt: Date() + 1000)
        let purge = Date(timeIntervalSince1970: 1_900_000_000)
        try await mark(world, .resume, [Deletion(kind: .bot, id: world.bot.botId.rawValue, userId: world.user.userId.rawValue, purgeAt: purge)])
        #expect(try await restoration(world).run()?.deletions == 1)
        let bot = try #require(try await world.ports.records.get(Bot.self, world.bot.key))
        #expect(bot.status == .deleted)
        #expect(try await world.ports.records.get(Bot.self, other.key)?.status == .created)
        let tombstone = try await world.ports.records.get(RecordKey(Tables.tombstones, world.bot.botId.rawValue, "tombstone"))
        #expect(tombstone?.document["state"] == "pending" && tombstone?.document["purgeAt"]?.string == Timestamp.text(purge))
        #expect(try await world.ports.records.scan(Tables.refreshTokens, limit: 10, cursor: nil).records.isEmpty)

        let gone = Shared([UserID]())
        try await mark(world, .resume, [Deletion(kind: .user, id: world.user.userId.rawValue, userId: nil, purgeAt: purge)])
        #expect(try await restoration(world, onDelete: { user in gone.withLock { $0.append(user) } }).run()?.deletions == 1)
        #expect(gone.withLock { $0 } == [world.user.userId])
        #expect(try await world.ports.records.get(Bot.self, other.key)?.status == .deleted)
    }

    @Test("a task of a messaging channel that was due since the backup is passed over")
    func tasks() async throws {
        let world = try await World()
        var task = ScheduledTask(
            botId: world.bot.botId, taskId: TaskID(ULID.make()), userId: world.user.userId, groupJid: GroupJID("tg:7"), prompt: "remind", scheduleType: .once,
            scheduleValue: Timestamp.text(Date() - 3600), timezone: "UTC", contextMode: .isolated, at: Date() - 7200)
        task.nextRun = Date() - 3600
        try await world.ports.records.put(task)
        try await mark(world, .hold)
        #expect(try await restoration(world).run()?.skippedTasks == 1)
        let after = try await world.ports.records.get(ScheduledTask.self, task.key)
        #expect(after?.status == .completed && after?.lastStatus == .skipped)
    }
}

private final class Shared<T: Sendable>: Sendable {
    private let value: Mutex<T>
    init(_ value: T) { self.value = Mutex(value) }
    func withLock<R: Sendable>(_ body: @Sendable (inout T) throws -> R) rethrows -> R { try value.withLock { try body(&$0) } }
}
