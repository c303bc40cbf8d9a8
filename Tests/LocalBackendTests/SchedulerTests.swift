import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import LocalBackend

@Suite("SQLite scheduler", .paced)
struct SchedulerTests {
    private struct World {
        let scratch = Scratch()
        let time = ManualTime(Timestamp.date("2026-03-01T08:00:00.000Z")!)
        let database: LocalDatabase
        let queue: SQLiteMessageQueue
        let scheduler: SQLiteScheduler

        init(grace: Duration = .seconds(3600)) async throws {
            database = try LocalDatabase(directory: scratch["data"])
            queue = try await SQLiteMessageQueue.open(database, name: "inbound", time: time)
            scheduler = SQLiteScheduler(database, inbound: queue, grace: grace, time: time, logger: quiet)
        }

        func schedule(_ id: String, _ when: Recurrence, timezone: String = "UTC") -> TaskSchedule {
            TaskSchedule(botId: BotID("b"), taskId: TaskID(id), userId: UserID("u"), groupJid: GroupJID("tg:\(id)"), when: when, timezone: timezone)
        }
        func fired() async throws -> [ScheduledTaskPayload] {
            var payloads: [ScheduledTaskPayload] = []
            while let delivery = try await queue.receive(max: 1, wait: .zero, visibility: .seconds(60)).first {
                payloads.append(try JSON.decode(ScheduledTaskPayload.self, from: delivery.body))
                #expect(delivery.deduplicationID == payloads.last?.deduplicationID)
                #expect(delivery.group == payloads.last?.session.partition)
                try await queue.acknowledge(delivery.receipt)
            }
            return payloads
        }
        /// Runs the scheduler for the duration of `body`.
        func running(_ scheduler: SQLiteScheduler? = nil, _ body: () async throws -> Void) async throws {
            let running = Task { [scheduler = scheduler ?? self.scheduler] in try await scheduler.run() }
            try await eventually { time.sleepers == 1 }
            try await body()
            running.cancel()
            try await running.value
        }
        /// Moves the clock and waits until the scheduler has dealt with it.
        func advance(_ duration: Duration) async throws {
            time.advance(by: duration)
            try await eventually {
                let due = try await database.read { [now = Int64(time.now().timeIntervalSince1970 * 1000)] db in
                    try db.first("SELECT count(*) FROM schedules WHERE next <= ?", .int(now)) { $0.int(0) } ?? 0
                }
                return due == 0 && time.sleepers == 1
            }
        }
    }

    @Test("fires at its time, never before, once, and plans the next")
    func fires() async throws {
        let world = try await World()
        try await world.running {
            try await world.scheduler.put(world.schedule("t", .cron("5 8 * * *")))
            try await world.advance(.seconds(299))
            #expect(try await world.fired().isEmpty)
            try await world.advance(.seconds(1))
            let fired = try await world.fired()
            #expect(fired.map(\.scheduledFor) == [Timestamp.date("2026-03-01T08:05:00.000Z")!])
            #expect(fired.first?.missed == nil)
            try await world.advance(.seconds(86_399))
            #expect(try await world.fired().isEmpty)
            try await world.advance(.seconds(1))
            #expect(try await world.fired().count == 1)
        }
    }

    @Test("an earlier schedule put meanwhile wakes the sleeping scheduler")
    func wakes() async throws {
        let world = try await World()
        try await world.scheduler.put(world.schedule("late", .interval(milliseconds: 3_600_000, anchor: world.time.now())))
        try await world.running {
            try await world.scheduler.put(world.schedule("soon", .once("2026-03-01T08:00:10")))
            try await eventually { world.time.sleepers == 1 }
            try await world.advance(.seconds(10))
            #expect(try await world.fired().map(\.taskId) == [TaskID("soon")])
            // A one-time task is over.
            try await world.advance(.seconds(1800))
            #expect(try await world.fired().isEmpty)
        }
    }

    @Test("a crash between sending and advancing fires no second time")
    func crash() async throws {
        let world = try await World()
        try await world.scheduler.put(world.schedule("t", .cron("5 8 * * *")))
        let planned = try await world.database.read { db in try db.first("SELECT next FROM schedules") { $0.int(0) } }
        try await world.running {
            try await world.advance(.seconds(300))
            #expect(try await world.fired().count == 1)
        }
        // The advance is undone, as if the process had died before it.
        try await world.database.write { db in try db.run("UPDATE schedules SET next = ?", .int(planned)) }
        let again = SQLiteScheduler(world.database, inbound: world.queue, time: world.time, logger: quiet)
        try await world.running(again) { try await world.advance(.seconds(1)) }
        #expect(try await world.fired().isEmpty)
    }

    @Test("missed while off: the latest within the grace fires once and says so; an older one is passed over and told")
    func missed() async throws {
        let world = try await World()
        try await world.scheduler.put(world.schedule("often", .cron("*/10 * * * *")))
        try await world.scheduler.put(world.schedule("daily", .cron("30 8 * * *")))
        world.time.advance(by: .seconds(2 * 3600 + 125))
        try await world.running { try await world.advance(.seconds(0)) }
        let fired = try await world.fired().sorted { $0.taskId.rawValue > $1.taskId.rawValue }
        // 10:02:05 now: “often” last at 10:00; “daily” at 8:30 is older than the grace.
        #expect(fired.map(\.taskId) == [TaskID("often"), TaskID("daily")])
        #expect(fired.map(\.scheduledFor) == ["2026-03-01T10:00:00.000Z", "2026-03-01T08:30:00.000Z"].map { Timestamp.date($0)! })
        #expect(fired.map(\.missed) == [true, true])
        #expect(fired.map { $0.passedOver == true } == [false, true])
    }

    @Test("paused, resumed and removed tasks do as told")
    func changes() async throws {
        let world = try await World()
        try await world.running {
            try await world.scheduler.put(world.schedule("a", .cron("* * * * *")))
            try await world.scheduler.put(world.schedule("b", .cron("* * * * *")))
            try await world.scheduler.setEnabled(false, BotID("b"), TaskID("a"))
            try await world.scheduler.remove(BotID("b"), TaskID("b"))
            try await world.scheduler.setEnabled(true, BotID("b"), TaskID("unknown"))
            try await world.advance(.seconds(120))
            #expect(try await world.fired().isEmpty)
            try await world.scheduler.setEnabled(true, BotID("b"), TaskID("a"))
            try await eventually { world.time.sleepers == 1 }
            try await world.advance(.seconds(60))
            #expect(try await world.fired().map(\.taskId) == [TaskID("a")])
        }
    }

    @Test("what cannot be expressed is refused with a reason")
    func refused() async throws {
        let world = try await World()
        for when in [Recurrence.cron("61 * * * *"), .once("2020-01-01T00:00:00"), .interval(milliseconds: 1000, anchor: world.time.now())] {
            await #expect(throws: ScheduleError.self) { try await world.scheduler.put(world.schedule("x", when)) }
        }
        await #expect(throws: ScheduleError.self) { try await world.scheduler.put(world.schedule("x", .cron("* * * * *"), timezone: "Mars/Olympus")) }
    }

    @Test("500 tasks due at once fire once each")
    func many() async throws {
        let world = try await World()
        for n in 0..<500 { try await world.scheduler.put(world.schedule("t\(n)", .cron("5 8 * * *"))) }
        try await world.running {
            try await world.advance(.seconds(300))
            #expect(Set(try await world.fired().map(\.taskId)).count == 500)
        }
    }

    @Test("a queue that fails delays the fire and loses none")
    func failing() async throws {
        let world = try await World()
        let flaky = FlakyQueue(world.queue)
        let scheduler = SQLiteScheduler(world.database, inbound: flaky, time: world.time, logger: quiet)
        try await scheduler.put(world.schedule("t", .cron("5 8 * * *")))
        try await world.running(scheduler) {
            world.time.advance(by: .seconds(300))
            try await eventually { flaky.failures == 1 && world.time.sleepers == 1 }
            #expect(try await world.fired().isEmpty)
            world.time.advance(by: .seconds(30))
            try await eventually { try await world.queue.depth().waiting == 1 }
        }
    }
}

/// Fails its first send.
private final class FlakyQueue: MessageQueue {
    private let queue: any MessageQueue
    private let count = Shared(0)
    init(_ queue: any MessageQueue) { self.queue = queue }
    var failures: Int { count.withLock { min($0, 1) } }
    func send(_ body: String, group: String, deduplicationID: String) async throws {
        if count.withLock({ $0 += 1; return $0 == 1 }) { throw MessageQueueError.unavailable("test") }
        try await queue.send(body, group: group, deduplicationID: deduplicationID)
    }
    func receive(max: Int, wait: Duration, visibility: Duration) async throws -> [QueueDelivery] { try await queue.receive(max: max, wait: wait, visibility: visibility) }
    func acknowledge(_ receipt: QueueReceipt) async throws { try await queue.acknowledge(receipt) }
    func extend(_ receipt: QueueReceipt, by duration: Duration) async throws { try await queue.extend(receipt, by: duration) }
    func release(_ receipt: QueueReceipt, after delay: Duration) async throws { try await queue.release(receipt, after: delay) }
    func depth() async throws -> QueueDepth { try await queue.depth() }
    var deadLetters: (any MessageQueue)? { queue.deadLetters }
}
