import Foundation
import Pace
import Platform
import Testing

@Suite("Schedules of tasks", .paced)
struct RecurrenceTests {
    static let now = Timestamp.date("2026-03-02T08:00:00.500Z")!

    @Test(
        "an interval is counted from its anchor",
        arguments: [
            ("2026-03-02T08:00:00.500Z", "2026-03-02T08:01:00.500Z"), ("2026-03-02T08:00:59Z", "2026-03-02T08:01:00.500Z"),
            ("2026-03-02T08:01:00.500Z", "2026-03-02T08:02:00.500Z"),
            ("2026-03-01T00:00:00Z", "2026-03-02T08:01:00.500Z"), ("2031-03-02T08:00:30Z", "2031-03-02T08:01:00.500Z"),
        ])
    func interval(_ after: String, _ expected: String) throws {
        let when = try Recurrence(.interval, "60000", anchor: Self.now)
        #expect(try when.next(after: try #require(Timestamp.date(after)), timezone: "UTC").map(Timestamp.text) == expected)
    }

    @Test(
        "intervals outside of a minute to a year, or no multiple of a minute, are refused",
        arguments: [
            "0", "59999", "60001", "90000", "31536060000", "-60000", "1e6", "60000.0", "", "60 000", "٦٠٠٠٠",
            "999999999999999999999",
        ])
    func badIntervals(_ value: String) {
        let error = #expect(throws: ScheduleError.self) { try Recurrence(.interval, value, anchor: Self.now) }
        #expect(error?.reason.hasSuffix(".") == true)
    }
    @Test("the ends of the range are taken", arguments: ["60000", "31536000000"])
    func goodIntervals(_ value: String) throws {
        try Recurrence(.interval, value, anchor: Self.now).validate(timezone: "UTC", now: Self.now)
    }

    @Test(
        "a time is taken in its zone",
        arguments: [
            ("2026-03-02T10:00:00", "Europe/Berlin", "2026-03-02T09:00:00.000Z"),
            ("2026-10-25T02:30:00", "Europe/Berlin", "2026-10-25T00:30:00.000Z"),
            ("2026-03-02T09:00:00", "UTC", "2026-03-02T09:00:00.000Z"),
            ("2026-03-03T00:00:00", "Asia/Shanghai", "2026-03-02T16:00:00.000Z"),
            ("2031-03-01T00:00:00", "UTC", "2031-03-01T00:00:00.000Z"),
        ])
    func once(_ value: String, _ zone: String, _ expected: String) throws {
        let when = try Recurrence(.once, value, anchor: Self.now)
        try when.validate(timezone: zone, now: Self.now)
        let fire = try #require(try when.next(after: Self.now, timezone: zone))
        #expect(Timestamp.text(fire) == expected)
        #expect(try when.next(after: fire, timezone: zone) == nil)
    }

    @Test(
        "times that cannot be are refused with the reason",
        arguments: [
            ("2026-03-02T08:00:00", "UTC", "past"), ("2026-03-29T02:30:00", "Europe/Berlin", "does not exist"),
            ("2026-02-30T00:00:00", "UTC", "no such day"), ("2040-01-01T00:00:00", "UTC", "five years"),
            ("2026-03-02 09:00:00", "UTC", "written as"), ("2026-03-02T09:00:00Z", "UTC", "written as"),
            ("2026-03-02T09:00", "UTC", "written as"), ("2026-03-02T25:00:00", "UTC", "written as"),
            ("soon", "UTC", "written as"),
            ("2026-03-02T09:00:00", "Mars/Olympus", "no time zone"), ("2026-03-02T09:00:00", "GMT+3", "no time zone"),
            ("2026-03-02T09:00:00", "", "no time zone"), ("2026-03-02T09:00:00", "../etc/passwd", "no time zone"),
        ])
    func badTimes(_ value: String, _ zone: String, _ word: String) {
        let error = #expect(throws: ScheduleError.self) { try Recurrence.once(value).validate(timezone: zone, now: Self.now) }
        #expect(error?.reason.contains(word) == true, "\(error?.reason ?? "")")
    }

    @Test(
        "the policy for due schedules",
        arguments: [
            // planned, now, fire, missed
            ("09:00:00", "08:59:59", nil, false), ("09:00:00", "09:00:00", "09:00:00", false),
            ("09:00:00", "09:00:59", "09:00:00", false), ("09:00:00", "09:02:00", "09:00:00", true),
            ("09:00:00", "09:35:00", "09:30:00", true), ("09:00:00", "23:59:00", "23:30:00", true),
        ] as [(String, String, String?, Bool)])
    func policy(_ planned: String, _ now: String, _ fire: String?, _ missed: Bool) throws {
        func at(_ time: String) throws -> Date { try #require(Timestamp.date("2026-03-02T\(time)Z")) }
        let schedule = TaskSchedule(
            botId: BotID("b"), taskId: TaskID("t"), userId: UserID("u"), groupJid: GroupJID("g"), when: .cron("*/30 * * * *"),
            timezone: "UTC")
        let due = try schedule.due(planned: at(planned), now: at(now), grace: .seconds(3600))
        #expect(try due.fire == fire.map(at))
        #expect(due.missed == missed)
        #expect(
            try due.next == (fire == nil ? at(planned) : CronExpression("*/30 * * * *").next(after: at(now), timezone: "UTC")))
    }

    @Test("schedules survive storage")
    func codable() throws {
        for when in [
            Recurrence.cron("* * * * *"), .interval(milliseconds: 60_000, anchor: Self.now), .once("2026-03-02T09:00:00"),
        ] {
            let schedule = TaskSchedule(
                botId: BotID("b"), taskId: TaskID("t"), userId: UserID("u"), groupJid: GroupJID("g"), when: when, timezone: "UTC",
                enabled: false)
            #expect(try DocumentCoder.decode(TaskSchedule.self, from: DocumentCoder.encode(schedule)) == schedule)
        }
    }
}
