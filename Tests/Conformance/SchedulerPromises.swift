import Foundation
import Platform

/// A fresh scheduler without schedules, firing into `inbound`, with a grace of 60 minutes.
public struct SchedulerHarness: Sendable {
    public let scheduler: any Scheduler
    /// The queue it fires into; built with the same `time`.
    public let inbound: any MessageQueue
    public let time: ManualTime
    /// Makes it fire whatever is due at `time.now()`, and returns when that is sent. It must not fire otherwise
    /// (do not also start its run loop).
    public let fireDue: @Sendable () async throws -> Void
    public init(
        scheduler: any Scheduler, inbound: any MessageQueue, time: ManualTime,
        fireDue: @escaping @Sendable () async throws -> Void
    ) {
        self.scheduler = scheduler; self.inbound = inbound; self.time = time; self.fireDue = fireDue
    }
}

public enum SchedulerPromises {
    public static let all: [Promise<SchedulerHarness>] = firing + changing + missing + localTimes

    static let firing: [Promise<SchedulerHarness>] = [
        Promise("a task fires at its time, never early, with the task's message") { harness in
            let start = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            try await harness.fireDue()
            harness.time.advance(by: .milliseconds(29_900))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 0, "fires before the time")
            harness.time.advance(by: .milliseconds(100))
            try await harness.fireDue()
            let payload = try present(await fires(harness).first, "the fire")
            try expect(payload.type, is: "scheduled_task")
            try expect(
                [payload.botId.rawValue, payload.userId.rawValue, payload.groupJid.rawValue, payload.taskId.rawValue],
                is: ["bot", "user", "tg:-1", "t1"])
            try expect(payload.scheduledFor, is: start + 30)
            try expect(payload.missed, is: nil)
        },
        Promise("the message goes to the conversation's group, deduplicated by task and time") { harness in
            let start = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            harness.time.advance(by: .seconds(30))
            try await harness.fireDue()
            let delivery = try present(
                await harness.inbound.receive(max: 1, wait: .zero, visibility: .seconds(60)).first, "the fire")
            try expect(delivery.group, is: "bot#tg:-1")
            try expect(delivery.deduplicationID, is: "t1#\(Timestamp.text(start + 30))")
        },
        Promise("one time fires at most once, however often it is looked") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            harness.time.advance(by: .seconds(31))
            for _ in 0..<5 { try await harness.fireDue() }
            harness.time.advance(by: .seconds(400))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 1)
        },
        Promise("an interval fires from its anchor on, without drift") { harness in
            let start = try begin(harness, "2026-03-02T08:00:10.500Z")
            try await harness.scheduler.put(schedule("t1", .interval(milliseconds: 60_000, anchor: start)))
            for _ in 0..<30 {
                harness.time.advance(by: .seconds(10.1))
                try await harness.fireDue()
            }
            try expect(try await fires(harness).map { $0.scheduledFor.timeIntervalSince(start) }, is: [60, 120, 180, 240, 300])
        },
        Promise("a one-time task fires once and never again") { harness in
            _ = try begin(harness, "2026-03-02T08:00:00.000Z")
            try await harness.scheduler.put(schedule("t1", .once("2026-03-02T10:00:00"), zone: "Europe/Berlin"))
            for _ in 0..<5 {
                harness.time.advance(by: .seconds(1800))
                try await harness.fireDue()
            }
            try expect(try await fires(harness).map { Timestamp.text($0.scheduledFor) }, is: ["2026-03-02T09:00:00.000Z"])
        },
        Promise("tasks of one time all fire") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            for number in 0..<12 {
                try await harness.scheduler.put(schedule("t\(number)", .cron("0 9 * * *"), group: "tg:-\(number)"))
            }
            harness.time.advance(by: .seconds(31))
            try await harness.fireDue()
            try expect(Set(try await fires(harness).map(\.taskId)).count, is: 12)
        },
    ]

    static let changing: [Promise<SchedulerHarness>] = [
        Promise("put again replaces the schedule") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            try await harness.scheduler.put(schedule("t1", .cron("5 9 * * *"), group: "tg:-2"))
            for _ in 0..<4 {
                harness.time.advance(by: .seconds(120))
                try await harness.fireDue()
            }
            let found = try await fires(harness)
            try expect(found.map { Timestamp.text($0.scheduledFor) }, is: ["2026-03-02T09:05:00.000Z"])
            try expect(found.first?.groupJid, is: GroupJID("tg:-2"))
        },
        Promise("a removed task does not fire, removing twice is fine") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            try await harness.scheduler.remove(BotID("bot"), TaskID("t1"))
            try await harness.scheduler.remove(BotID("bot"), TaskID("t1"))
            try await harness.scheduler.setEnabled(true, BotID("bot"), TaskID("t1"))
            harness.time.advance(by: .seconds(60))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 0)
        },
        Promise("a paused task does not fire; resumed, it does not make up for the pause") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("*/10 * * * *")))
            try await harness.scheduler.setEnabled(false, BotID("bot"), TaskID("t1"))
            harness.time.advance(by: .seconds(660))
            try await harness.fireDue()
            try await harness.scheduler.setEnabled(true, BotID("bot"), TaskID("t1"))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 0)
            harness.time.advance(by: .seconds(600))
            try await harness.fireDue()
            try expect(try await fires(harness).map { Timestamp.text($0.scheduledFor) }, is: ["2026-03-02T09:20:00.000Z"])
        },
        Promise("a task put paused waits until it is enabled") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("* * * * *"), enabled: false))
            harness.time.advance(by: .seconds(90))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 0)
            try await harness.scheduler.setEnabled(true, BotID("bot"), TaskID("t1"))
            harness.time.advance(by: .seconds(60))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 1)
        },
        Promise("tasks of different bots are apart, though their ids are equal") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *"), bot: "bot2"))
            try await harness.scheduler.remove(BotID("bot2"), TaskID("t1"))
            harness.time.advance(by: .seconds(60))
            try await harness.fireDue()
            try expect(try await fires(harness).map(\.botId), is: [BotID("bot")])
        },
        Promise("what cannot be is refused with a sentence and leaves the old schedule") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            let bad: [(Recurrence, String)] = [
                (.cron("0 9 * *"), "UTC"), (.cron("60 9 * * *"), "UTC"), (.cron("0 0 30 2 *"), "UTC"),
                (.cron("0 9 * * *"), "Mars/Olympus"), (.interval(milliseconds: 1000, anchor: .now), "UTC"),
                (.once("2020-01-01T00:00:00"), "UTC"), (.once("tomorrow"), "UTC"),
                (.once("2026-03-29T02:30:00"), "Europe/Berlin"), (.cron("0 9 1 * 1 2026"), "UTC"),
            ]
            for (when, zone) in bad {
                let error = try await expectThrow("a ScheduleError for \(when)", { $0 is ScheduleError }) {
                    try await harness.scheduler.put(schedule("t1", when, zone: zone))
                }
                try expect((error as? ScheduleError)?.reason.hasSuffix(".") ?? false, "a sentence", seen: error)
            }
            harness.time.advance(by: .seconds(60))
            try await harness.fireDue()
            try expect(try await fires(harness).count, is: 1)
        },
    ]

    static let missing: [Promise<SchedulerHarness>] = [
        Promise("a time missed by less than the grace fires once on return, and says so") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            harness.time.advance(by: .seconds(50 * 60))
            for _ in 0..<3 { try await harness.fireDue() }
            let found = try await fires(harness)
            try expect(found.map { Timestamp.text($0.scheduledFor) }, is: ["2026-03-02T09:00:00.000Z"])
            try expect(found.first?.missed, is: true)
        },
        Promise("a time missed by more than the grace is reported as passed over, the next one fires") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 9 * * *")))
            try await harness.scheduler.put(schedule("t2", .once("2026-03-02T09:00:00")))
            harness.time.advance(by: .seconds(65 * 60))
            try await harness.fireDue()
            let passed = try await fires(harness)
            try expect(passed.map(\.passedOver), is: [true, true])
            harness.time.advance(by: .seconds(23 * 3600 - 5 * 60 + 30))
            try await harness.fireDue()
            let found = try await fires(harness)
            try expect(found.map { Timestamp.text($0.scheduledFor) }, is: ["2026-03-03T09:00:00.000Z"])
            try expect(found.first?.missed, is: nil)
        },
        Promise("many missed times fire once, for the latest") { harness in
            _ = try begin(harness, "2026-03-02T08:59:30.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("*/5 * * * *")))
            harness.time.advance(by: .seconds(3 * 86_400 + 200))
            for _ in 0..<3 { try await harness.fireDue() }
            let found = try await fires(harness)
            try expect(found.map { Timestamp.text($0.scheduledFor) }, is: ["2026-03-05T09:00:00.000Z"])
            try expect(found.first?.missed, is: true)
        },
    ]

    static let localTimes: [Promise<SchedulerHarness>] = [
        Promise("a local time that clocks skip does not fire") { harness in
            _ = try begin(harness, "2026-03-28T12:00:00.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("30 2 * * *"), zone: "Europe/Berlin"))
            try expect(try await walk(harness, hours: 48), is: ["2026-03-30T00:30:00.000Z"])
        },
        Promise("a local time that clocks show twice fires once, the first time") { harness in
            _ = try begin(harness, "2026-10-24T12:00:00.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("30 2 * * *"), zone: "Europe/Berlin"))
            try expect(try await walk(harness, hours: 48), is: ["2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"])
        },
        Promise("six-field expressions fire too") { harness in
            _ = try begin(harness, "2026-03-27T12:00:00.000Z")
            try await harness.scheduler.put(schedule("t1", .cron("0 12 LW * ? 2026"), zone: "UTC"))
            try expect(try await walk(harness, hours: 5 * 24), is: ["2026-03-31T12:00:00.000Z"])
        },
    ]

    // MARK: -

    /// Moves the clock to a time after its start, so that checks can name dates.
    static func begin(_ harness: SchedulerHarness, _ text: String) throws -> Date {
        let date = try present(Timestamp.date(text), "a timestamp")
        harness.time.advance(by: Duration(seconds: date.timeIntervalSince(harness.time.now())))
        return date
    }
    static func schedule(
        _ task: String, _ when: Recurrence, zone: String = "UTC", bot: String = "bot", group: String = "tg:-1",
        enabled: Bool = true
    ) -> TaskSchedule {
        TaskSchedule(
            botId: BotID(bot), taskId: TaskID(task), userId: UserID("user"), groupJid: GroupJID(group), when: when,
            timezone: zone, enabled: enabled)
    }
    /// What was fired and not taken yet, in order.
    static func fires(_ harness: SchedulerHarness) async throws -> [ScheduledTaskPayload] {
        var found: [ScheduledTaskPayload] = []
        while true {
            let deliveries = try await harness.inbound.receive(max: 10, wait: .zero, visibility: .seconds(60))
            if deliveries.isEmpty { return found }
            for delivery in deliveries {
                found.append(try JSON.decode(ScheduledTaskPayload.self, from: delivery.body))
                try await harness.inbound.acknowledge(delivery.receipt)
            }
        }
    }
    /// Looks every ten minutes.
    static func walk(_ harness: SchedulerHarness, hours: Int) async throws -> [String] {
        for _ in 0..<hours * 6 {
            harness.time.advance(by: .seconds(600))
            try await harness.fireDue()
        }
        return try await fires(harness).map { Timestamp.text($0.scheduledFor) }
    }
}
