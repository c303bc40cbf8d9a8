import Channels
import Foundation
import NIOCore
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Suspended and deleted", .paced)
struct SuspensionTests {
    private func suspend(_ world: World) async throws {
        try await world.ports.records.update(world.user.key, [.set("status", "suspended")])
        world.foundation.directory.forget(user: world.user.userId)
        try await world.plane.runs.stopAll(of: world.user.userId)
    }

    @Test("SEC-17 a run under way ends when its user is suspended, settled as stopped, and nobody hears from it")
    func SEC_17_running() async throws {
        let world = try await World()
        try await world.running {
            world.agents.script(.hang)
            try await world.say("work")
            _ = try await eventually("the agent runs") { world.agents.started.isEmpty ? nil : true }
            try await suspend(world)
            #expect(try await world.settled(1).state == .stopped)
            #expect(world.agents.stops > 0 && world.vendor.sent.isEmpty)
            let session = try #require(try await world.ports.records.get(Session.self, Session.key(world.session())))
            #expect(session.run == nil && session.epoch > 0)
            #expect(try await world.ports.records.get(User.self, world.user.key)?.slots.isEmpty == true)
        }
    }

    @Test("SEC-17 a suspended user's bots hear nothing: events are taken and dropped, and go on when the user is back")
    func SEC_17_events() async throws {
        let world = try await World()
        try await suspend(world)
        try await world.running {
            try await world.say("while suspended")
            try await world.say("in a new chat", chat: 8, id: 2)
            #expect(try await world.message(1) == nil)
            #expect(try await world.ports.inbound.depth().waiting == 0)
            try await world.ports.records.update(world.user.key, [.set("status", "active")])
            world.foundation.directory.forget(user: world.user.userId)
            try await world.say("back again", id: 3)
            #expect(try await world.settled(3).state == .answered)
            #expect(world.agents.started.count == 1 && world.vendor.texts(8).isEmpty)
        }
    }

    @Test("SEC-17 a task that fires for a suspended user is skipped and says so")
    func SEC_17_tasks() async throws {
        let world = try await World()
        let group = Group(
            botId: world.bot.botId, groupJid: world.session().groupJid, userId: world.user.userId, name: "g", channelType: .telegram, isGroup: false, at: world.ports.time.now())
        try await world.ports.records.put(group)
        let task = ScheduledTask(
            botId: world.bot.botId, taskId: TaskID(ULID.make()), userId: world.user.userId, groupJid: group.groupJid, prompt: "p", scheduleType: .interval, scheduleValue: "60000",
            timezone: "UTC", contextMode: .isolated, at: world.ports.time.now())
        try await world.ports.records.put(task)
        try await suspend(world)
        try await world.running {
            let fired = ScheduledTaskPayload(
                botId: task.botId, groupJid: task.groupJid, userId: task.userId, taskId: task.taskId, scheduledFor: world.ports.time.now(), at: world.ports.time.now())
            try await world.ports.inbound.send(JSON.text(fired), group: world.session().partition, deduplicationID: fired.deduplicationID)
            let outcome = try await eventually("the fire is settled") { try await world.ports.records.get(ScheduledTask.self, task.key)?.lastStatus }
            #expect(outcome == .skipped && world.agents.started.isEmpty)
        }
    }

    @Test("SEC-126 a late reply, a fired schedule and a late event of a purged bot leave no trace")
    func SEC_126_late() async throws {
        let world = try await World()
        let records = world.ports.records
        try await records.put(Tombstone(.bot, world.bot.botId.rawValue, userId: world.user.userId, at: world.ports.time.now(), purgeAt: world.ports.time.now()))
        try await records.delete(world.bot.key)
        try await records.delete(world.channel.channel.key)
        let session = SessionKey(botId: world.bot.botId, groupJid: GroupJID("web:main"))
        try await world.running {
            let now = world.ports.time.now()
            let reply = ReplyPayload(
                session: session, userId: world.user.userId, at: now, channelType: .web, messageId: MessageID(ULID.make()), text: "late",
                settles: .messages([MessageRef(messageId: MessageID("m"), timestamp: now)], failure: nil))
            try await world.ports.replies.send(JSON.text(reply), group: session.partition, deduplicationID: "late")
            let run = ReplyPayload(
                session: session, userId: world.user.userId, at: now, channelType: .web, invocationId: InvocationID("I"), sequence: 0, messageId: MessageID(ULID.make()), text: "late",
                settles: .run(InvocationID("I")))
            try await world.ports.replies.send(JSON.text(run), group: session.partition, deduplicationID: "late run")
            let fired = ScheduledTaskPayload(botId: session.botId, groupJid: session.groupJid, userId: world.user.userId, taskId: TaskID(ULID.make()), scheduledFor: now, at: now)
            try await world.ports.inbound.send(JSON.text(fired), group: session.partition, deduplicationID: fired.deduplicationID)
            try await world.ports.inbound.send("{\"botId\":\"\(session.botId)\",\"type\":\"nonsense\"}", group: session.partition, deduplicationID: "unreadable")
            try await world.say("late event")
            _ = try await eventually("the queues are empty") {
                let waiting = try await world.ports.inbound.depth(), sending = try await world.ports.replies.depth()
                return waiting.waiting + waiting.inFlight + sending.waiting + sending.inFlight == 0 ? true : nil
            }
        }
        for table in Tables.all where table != Tables.tombstones {
            let rows = try await records.scan(table, limit: 100, cursor: nil).records
            #expect(!rows.contains { $0.key.partition.contains(world.bot.botId.rawValue) || "\($0.document)".contains(world.bot.botId.rawValue) }, "\(table.name)")
        }
        #expect(world.agents.started.isEmpty && world.vendor.sent.isEmpty)
    }

    @Test("SEC-126 an upload of an agent that outlives its bot is refused at its end, and nothing is stored")
    func SEC_126_upload() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let run = try await world.run(token)
        let key = world.layout.workspace(world.group) + "late.bin"
        let (stream, feed) = AsyncStream<ByteBuffer>.makeStream()
        feed.yield(ByteBuffer(string: "first"))
        async let upload = world.gateway.putObject(run, key, body: stream, contentType: nil, if: nil)
        try await world.change(Bot.key(world.userId, world.botId), .set("status", "deleted"))
        feed.yield(ByteBuffer(string: "last"))
        feed.finish()
        do {
            _ = try await upload
            Issue.record("the upload was taken")
        } catch GatewayError.unauthenticated {}
        #expect(try await world.objects.head(try ObjectKey(checking: key)) == nil)
    }
}
