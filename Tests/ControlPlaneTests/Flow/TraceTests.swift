import Channels
import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite("The trace of a message", .paced)
struct TraceTests {
    private func steps(_ message: Message?) -> [String] { (message?.trace ?? []).map { "\($0.step.rawValue)\($0.name.map { " \($0)" } ?? "")" } }

    @Test("a channel message's way is told step by step, each with its time")
    func answered() async throws {
        let world = try await World()
        try await world.running {
            try await world.say("hello")
            _ = try await world.settled(1)
        }
        let message = try await world.message(1)
        #expect(steps(message) == ["ingest telegram", "queue inbound", "dispatch", "delivery telegram"])
        let trace = try #require(message?.trace)
        #expect(trace.allSatisfy { $0.durationMs != nil })
        #expect(zip(trace, trace.dropFirst()).allSatisfy { $0.at <= $1.at + 0.001 })
    }

    @Test("another try is another dispatch, the wait in the queue is told once, and a failure has its delivery too")
    func retried() async throws {
        let world = try await World()
        world.agents.script(.die, .die, .die)
        try await world.running {
            try await world.say("hello")
            #expect(try await world.settled(1).state == .failed)
        }
        #expect(steps(try await world.message(1)) == ["ingest telegram", "queue inbound", "dispatch", "dispatch try 2", "dispatch try 3", "delivery telegram"])
    }

    @Test("what no run answers says why it was dispatched: a command, a paused bot")
    func withoutRun() async throws {
        let world = try await World()
        try await world.running {
            try await world.say("/help")
            _ = try await world.settled(1)
        }
        #expect(steps(try await world.message(1)) == ["ingest telegram", "queue inbound", "dispatch command", "delivery telegram"])
    }

    @Test("a run's model and tool calls come between dispatch and delivery; a task's way is told with its reply")
    func calls() async throws {
        let world = try await World()
        var task = ScheduledTask(
            botId: world.bot.botId, taskId: TaskID(ULID.make()), userId: world.user.userId, groupJid: GroupJID("tg:7"), prompt: "remind", scheduleType: .interval,
            scheduleValue: "3600000", timezone: "UTC", contextMode: .isolated, at: Date())
        task.nextRun = Date() + 3600
        try await world.ports.records.put(task)
        let taskKey = task.key
        let payload = ScheduledTaskPayload(
            botId: world.bot.botId, groupJid: task.groupJid, userId: world.user.userId, taskId: task.taskId, scheduledFor: Date(), at: Date())
        world.agents.script(.hang)
        try await world.running {
            try await world.say("hello")
            let invocation = try await eventually("the agent was started") { world.agents.started.first }
            let calls = [TraceStep(.model, name: "demo-1", at: Date(), durationMs: 5), TraceStep(.tool, name: "Bash", at: Date(), durationMs: 7)]
            try await world.ports.records.update(
                Session.key(world.session()), [.set("run.trace", .array(try calls.map { .object(try DocumentCoder.encode($0)) }))])
            try await world.agents.finish(invocation, "done", nil)
            _ = try await world.settled(1)
            try await world.ports.inbound.send(JSON.text(payload), group: payload.session.partition, deduplicationID: payload.deduplicationID)
            _ = try await eventually("the task has run") { try await world.ports.records.get(ScheduledTask.self, taskKey)?.lastStatus }
        }
        #expect(steps(try await world.message(1)) == ["ingest telegram", "queue inbound", "dispatch", "model demo-1", "tool Bash", "delivery telegram"])
        let replies = try await world.ports.records.query(
            Message.self, RecordQuery(Tables.messages, partition: world.session().partition, filter: .equals("isBotMessage", true), descending: true, limit: 10)).items
        #expect(steps(replies.first) == ["queue inbound", "dispatch", "delivery telegram"])
    }

    @Test("operators' counters hear of runs, tokens, drops and dead letters")
    func observations() async throws {
        let heard = Heard()
        let world = try await World(observer: { heard.add($0) })
        try await world.running {
            try await world.say("hello")
            _ = try await world.settled(1)
        }
        let runs = heard.all.compactMap { if case .run(let result, let mode, _, let usage) = $0 { "\(result) \(mode) \(usage.counted)" } else { nil } }
        #expect(runs == ["answered message 15"])
    }
}

private final class Heard: Sendable {
    private let list = Mutex<[Observation]>([])
    func add(_ observation: Observation) { list.withLock { $0.append(observation) } }
    var all: [Observation] { list.withLock { $0 } }
}
