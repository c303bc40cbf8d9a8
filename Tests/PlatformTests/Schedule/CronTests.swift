import Foundation
import Pace
import Platform
import Testing

@Suite("Cron expressions", .paced)
struct CronTests {
    /// The next fires after a time, as text in UTC without seconds.
    static func fires(_ cron: String, _ zone: String, after: String, count: Int) throws -> [String] {
        var time = try #require(Timestamp.date(after)), found: [String] = []
        for _ in 0..<count {
            guard let next = try CronExpression(cron).next(after: time, timezone: zone) else { break }
            #expect(next > time)
            found.append(String(Timestamp.text(next).prefix(16)))
            time = next
        }
        return found
    }

    @Test(
        "five fields",
        arguments: [
            ("* * * * *", "2026-01-01T00:00:00Z", ["2026-01-01T00:01", "2026-01-01T00:02"]),
            ("* * * * *", "2026-01-01T00:00:59.999Z", ["2026-01-01T00:01"]),
            (
                "*/15 * * * *", "2026-01-01T00:01:00Z",
                ["2026-01-01T00:15", "2026-01-01T00:30", "2026-01-01T00:45", "2026-01-01T01:00"]
            ),
            (
                "5/20 3 * * *", "2026-01-01T00:00:00Z",
                ["2026-01-01T03:05", "2026-01-01T03:25", "2026-01-01T03:45", "2026-01-02T03:05"]
            ),
            (
                "0 9-17/4 * * *", "2026-01-01T00:00:00Z",
                ["2026-01-01T09:00", "2026-01-01T13:00", "2026-01-01T17:00", "2026-01-02T09:00"]
            ),
            ("0,30 8,20 * * *", "2026-01-01T08:00:00Z", ["2026-01-01T08:30", "2026-01-01T20:00"]),
            ("0 0 1 1 *", "2026-01-01T00:00:00Z", ["2027-01-01T00:00"]),
            ("0 0 29 2 *", "2026-01-01T00:00:00Z", ["2028-02-29T00:00", "2032-02-29T00:00"]),
            ("0 0 29 2 *", "2096-03-01T00:00:00Z", ["2104-02-29T00:00"]),
            ("0 0 31 * *", "2026-01-31T00:00:00Z", ["2026-03-31T00:00", "2026-05-31T00:00"]),
            ("0 9 * * 1-5", "2026-01-02T09:00:00Z", ["2026-01-05T09:00"]),
            ("0 9 * * 0", "2026-01-01T00:00:00Z", ["2026-01-04T09:00"]),
            ("0 9 * * 7", "2026-01-01T00:00:00Z", ["2026-01-04T09:00"]),
            ("0 9 * * sun", "2026-01-01T00:00:00Z", ["2026-01-04T09:00"]),
            ("0 9 * * 6-7", "2026-01-01T00:00:00Z", ["2026-01-03T09:00", "2026-01-04T09:00"]),
            (
                "0 9 * * FRI-SUN", "2026-01-01T00:00:00Z",
                ["2026-01-02T09:00", "2026-01-03T09:00", "2026-01-04T09:00", "2026-01-09T09:00"]
            ),
            ("0 9 * JAN,jul Mon", "2026-06-01T00:00:00Z", ["2026-07-06T09:00"]),
            // Both day fields restricted: either matches.
            (
                "0 0 13 * 5", "2026-02-01T00:00:00Z",
                [
                    "2026-02-06T00:00", "2026-02-13T00:00", "2026-02-20T00:00", "2026-02-27T00:00", "2026-03-06T00:00",
                    "2026-03-13T00:00",
                ]
            ),
            ("0 0 10 * MON", "2026-01-05T00:00:00Z", ["2026-01-10T00:00", "2026-01-12T00:00"]),
            // One of them begins with a star: both must match.
            ("0 0 */2 * 1", "2026-01-01T00:00:00Z", ["2026-01-05T00:00", "2026-01-19T00:00"]),
            ("59 23 31 12 *", "2026-12-31T23:59:00Z", ["2027-12-31T23:59"]),
            ("  0  9  * * * ", "2026-01-01T00:00:00Z", ["2026-01-01T09:00"]),
        ])
    func standard(_ cron: String, _ after: String, _ expected: [String]) throws {
        #expect(try Self.fires(cron, "UTC", after: after, count: expected.count) == expected)
    }

    @Test(
        "six fields of EventBridge",
        arguments: [
            ("0 9 * * ? *", "2026-01-01T00:00:00Z", ["2026-01-01T09:00", "2026-01-02T09:00"]),
            ("0 9 ? * 1 *", "2026-01-01T00:00:00Z", ["2026-01-04T09:00"]),
            ("0 9 ? * 7 *", "2026-01-01T00:00:00Z", ["2026-01-03T09:00"]),
            ("0 9 ? * MON-FRI *", "2026-01-02T09:00:00Z", ["2026-01-05T09:00"]),
            ("0 9 ? * 2-6 *", "2026-01-02T09:00:00Z", ["2026-01-05T09:00"]),
            ("0 9 L * ? *", "2026-01-31T09:00:00Z", ["2026-02-28T09:00", "2026-03-31T09:00"]),
            ("0 9 L FEB ? 2028", "2026-01-01T00:00:00Z", ["2028-02-29T09:00"]),
            ("0 9 LW * ? *", "2026-01-01T00:00:00Z", ["2026-01-30T09:00", "2026-02-27T09:00", "2026-03-31T09:00"]),
            ("0 9 15W * ? *", "2026-01-16T00:00:00Z", ["2026-02-16T09:00", "2026-03-16T09:00", "2026-04-15T09:00"]),
            ("0 9 1W * ? *", "2026-01-02T00:00:00Z", ["2026-02-02T09:00", "2026-03-02T09:00"]),
            ("0 9 1W AUG ? 2026", "2026-01-02T00:00:00Z", ["2026-08-03T09:00"]),
            ("0 9 31W * ? *", "2026-01-01T00:00:00Z", ["2026-01-30T09:00", "2026-03-31T09:00", "2026-05-29T09:00"]),
            ("0 9 1,15,L * ? *", "2026-02-01T09:00:00Z", ["2026-02-15T09:00", "2026-02-28T09:00", "2026-03-01T09:00"]),
            ("0 9 ? * L *", "2026-01-01T00:00:00Z", ["2026-01-03T09:00", "2026-01-10T09:00"]),
            ("0 9 ? * 6L *", "2026-01-01T00:00:00Z", ["2026-01-30T09:00", "2026-02-27T09:00"]),
            ("0 9 ? * friL *", "2026-01-01T00:00:00Z", ["2026-01-30T09:00"]),
            ("0 9 ? * 2#1 *", "2026-01-01T00:00:00Z", ["2026-01-05T09:00", "2026-02-02T09:00"]),
            ("0 9 ? * MON#5 *", "2026-01-01T00:00:00Z", ["2026-03-30T09:00", "2026-06-29T09:00"]),
            ("0 9 ? FEB MON#5 *", "2026-01-01T00:00:00Z", ["2044-02-29T09:00"]),
            ("0/30 8 ? * 2#1,4#3 *", "2026-01-01T00:00:00Z", ["2026-01-05T08:00", "2026-01-05T08:30", "2026-01-21T08:00"]),
            ("0 0 1 1 ? 2027,2030-2031", "2026-01-01T00:00:00Z", ["2027-01-01T00:00", "2030-01-01T00:00", "2031-01-01T00:00"]),
            ("0 0 1 1 ? 2199", "2026-01-01T00:00:00Z", ["2199-01-01T00:00"]),
            ("0 0 1 1 ? 2026/50", "2026-06-01T00:00:00Z", ["2076-01-01T00:00"]),
        ])
    func eventBridge(_ cron: String, _ after: String, _ expected: [String]) throws {
        #expect(try Self.fires(cron, "UTC", after: after, count: expected.count) == expected)
    }

    @Test(
        "an expression that never fires again says so",
        arguments: ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 1 1 ? 2025", "0 0 30W 2 ? *", "0 0 29 2 ? 2199", "0 0 29W 2 ? 2027"])
    func never(_ cron: String) throws {
        let now = try #require(Timestamp.date("2026-01-01T00:00:00Z"))
        #expect(try CronExpression(cron).next(after: now, timezone: "UTC") == nil)
        let error = #expect(throws: ScheduleError.self) { try Recurrence.cron(cron).validate(timezone: "UTC", now: now) }
        #expect(error?.reason.contains("never fires") == true)
    }

    @Test(
        "malformed expressions are refused with a sentence",
        arguments: [
            "", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * 0 *",
            "* * * * 8", "-1 * * * *", "*/0 * * * *", "*/ * * * *", "1- * * * *", "5-1 * * * *",
            "1,,2 * * * *", ", * * * *", "a * * * *", "* * * FOO *", "* * * * MONDAY", "1-2-3 * * * *", "1/2/3 * * * *",
            "* * ? * *", "* * L * *", "* * 1W * *", "* * * * 5L", "* * * * 1#2", "１ * * * *", "1.5 * * * *",
            "*\n* * * *", "@daily", "+1 * * * *", "0 9 * * * *", "0 9 ? * ? *", "0 9 1 * 1 *", "0 9 * * 1 *", "0 9 ? * 0 *",
            "0 9 ? * 8 *", "0 9 ? * 1#6 *", "0 9 ? * 1#0 *", "0 9 ? * #2 *", "0 9 0W * ? *", "0 9 W * ? *",
            "0 9 32W * ? *", "0 9 L-3 * ? *", "0 9 1 * ? 1969", "0 9 1 * ? 2200", "0 9 ? * SAT-SUN *", "0 9 1-5W * ? *",
            "0 9 ? * 1#2#3 *", "cron(0 9 * * ? *)", String(repeating: "1,", count: 200) + "1 * * * *",
        ])
    func malformed(_ cron: String) {
        let error = #expect(throws: ScheduleError.self) { try CronExpression(cron) }
        #expect(error?.reason.hasSuffix(".") == true)
    }

    @Test(
        "daylight saving: skipped local times do not fire, repeated ones fire once",
        arguments: [
            // Berlin, forward 2026-03-29 02:00→03:00, back 2026-10-25 03:00→02:00.
            ("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", ["2026-03-28T01:30", "2026-03-30T00:30"]),
            (
                "0 * 29 3 *", "Europe/Berlin", "2026-03-28T22:30:00Z",
                ["2026-03-28T23:00", "2026-03-29T00:00", "2026-03-29T01:00", "2026-03-29T02:00"]
            ),
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", ["2026-10-25T00:30", "2026-10-26T01:30"]),
            (
                "*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z",
                ["2026-10-25T00:30", "2026-10-25T02:00", "2026-10-25T02:30"]
            ),
            ("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:15:00Z", ["2026-10-25T02:00"]),
            ("0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-29T01:00"]),
            // New York, forward 2026-03-08 02:00→03:00, back 2026-11-01 02:00→01:00.
            ("30 2 8 3 *", "America/New_York", "2026-01-01T00:00:00Z", ["2027-03-08T07:30"]),
            ("30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", ["2026-11-01T05:30", "2026-11-02T06:30"]),
            ("0 9 ? * MON-FRI *", "America/New_York", "2026-03-06T15:00:00Z", ["2026-03-09T13:00"]),
            // Lord Howe moves by half an hour: forward 2026-10-04 02:00→02:30, back 2026-04-05 02:00→01:30.
            ("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T18:00:00Z", ["2026-10-04T15:15"]),
            ("45 1 * * *", "Australia/Lord_Howe", "2026-04-03T20:00:00Z", ["2026-04-04T14:45", "2026-04-05T15:15"]),
            (
                "*/15 1,2 5 4 *", "Australia/Lord_Howe", "2026-04-04T14:10:00Z",
                ["2026-04-04T14:15", "2026-04-04T14:30", "2026-04-04T14:45", "2026-04-04T15:30", "2026-04-04T15:45"]
            ),
            // Shanghai keeps one offset.
            (
                "30 2 * * *", "Asia/Shanghai", "2026-03-28T00:00:00Z",
                ["2026-03-28T18:30", "2026-03-29T18:30", "2026-03-30T18:30"]
            ),
            ("0 0 1 1 *", "Asia/Shanghai", "2026-06-01T00:00:00Z", ["2026-12-31T16:00"]),
            // Changes at midnight, and far from Greenwich.
            ("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", ["2026-09-07T03:00"]),
            ("0 12 * * *", "Pacific/Kiritimati", "2026-01-01T00:00:00Z", ["2026-01-01T22:00"]),
            ("45 5 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", ["2026-01-02T00:00"]),
            ("0 23 * * *", "Pacific/Pago_Pago", "2026-01-01T00:00:00Z", ["2026-01-01T10:00"]),
        ])
    func daylightSaving(_ cron: String, _ zone: String, _ after: String, _ expected: [String]) throws {
        #expect(try Self.fires(cron, zone, after: after, count: expected.count) == expected)
    }

    @Test("every minute of a year in a zone with daylight saving fires exactly where the wall clock shows it first")
    func wholeYear() throws {
        // Against Foundation's calendar, over the days around both changes.
        for (zone, day) in [
            ("Europe/Berlin", "2026-03-29"), ("Europe/Berlin", "2026-10-25"), ("Australia/Lord_Howe", "2026-04-05"),
            ("America/New_York", "2026-11-01"),
        ] {
            var calendar = Calendar(identifier: .gregorian)
            calendar.timeZone = try #require(TimeZone(identifier: zone))
            let start = try #require(Timestamp.date(day + "T00:00:00Z")) - 12 * 3600
            var seen = Set<DateComponents>(), expected: [Date] = []
            for minute in 1...36 * 60 {
                let time = start + Double(minute) * 60
                if seen.insert(calendar.dateComponents([.year, .month, .day, .hour, .minute], from: time)).inserted {
                    expected.append(time)
                }
            }
            let cron = try CronExpression("* * * * *")
            var found: [Date] = [], time = start
            while let next = try cron.next(after: time, timezone: zone), next <= start + 36 * 3600 {
                found.append(next); time = next
            }
            // The window's beginning may cut a repeated hour; both days begin well before their change.
            #expect(found == expected, "\(zone) \(day)")
        }
    }
}
