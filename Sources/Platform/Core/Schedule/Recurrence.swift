import Foundation

extension Recurrence {
    public static let intervalRange = 60_000...31_536_000_000
    /// How far ahead a one-time task may lie.
    static let onceHorizon: TimeInterval = 5 * 366 * 86_400

    /// From the words of the API (API.md §3.5).
    /// - Throws: ``ScheduleError`` for a value that does not have the type's form.
    public init(_ type: ScheduledTask.ScheduleType, _ value: String, anchor: Date) throws(ScheduleError) {
        switch type {
        case .cron: self = .cron(value)
        case .once: self = .once(value)
        case .interval:
            guard (1...15).contains(value.utf8.count), value.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                let milliseconds = Int(value)
            else {
                throw ScheduleError("An interval is written as whole milliseconds, such as 3600000 for an hour.")
            }
            self = .interval(milliseconds: milliseconds, anchor: anchor)
        }
        try checkForm()
    }

    /// The first fire after an instant; nil = never again.
    public func next(after: Date, timezone: String) throws(ScheduleError) -> Date? {
        try checkForm()
        switch self {
        case .cron(let text): return try CronExpression(text).next(after: after, timezone: timezone)
        case .interval(let milliseconds, let anchor):
            // In whole milliseconds, so that years of an interval do not drift.
            let start = Int64((anchor.timeIntervalSince1970 * 1000).rounded()),
                now = Int64((after.timeIntervalSince1970 * 1000).rounded(.down))
            let step = Int64(milliseconds)
            let steps = now < start ? 1 : (now - start) / step + 1
            return Date(timeIntervalSince1970: Double(start + steps * step) / 1000)
        case .once(let text):
            let zone = try Zone(timezone)
            guard let instant = LocalTime(text).flatMap(zone.instant(of:)), instant > after else { return nil }
            return instant
        }
    }

    /// Whether the schedule can be taken up at `now`: well-formed, a known zone, and a fire ahead.
    /// - Throws: ``ScheduleError`` with a sentence for its author.
    public func validate(timezone: String, now: Date) throws(ScheduleError) {
        let zone = try Zone(timezone)
        let next = try next(after: now, timezone: timezone)
        switch self {
        case .cron(let text):
            guard next != nil else {
                throw ScheduleError("“\(text)” never fires again: there is no such day in the years ahead.")
            }
        case .interval: break
        case .once(let text):
            guard let time = LocalTime(text), let instant = zone.instant(of: time) else {
                throw ScheduleError("\(text) does not exist in \(timezone): clocks are put forward over it.")
            }
            guard instant > now else { throw ScheduleError("\(text) in \(timezone) is in the past.") }
            guard instant <= now + Self.onceHorizon else { throw ScheduleError("\(text) is more than five years ahead.") }
        }
    }

    private func checkForm() throws(ScheduleError) {
        switch self {
        case .cron(let text): _ = try CronExpression(text)
        case .interval(let milliseconds, _):
            guard milliseconds % 60_000 == 0, Self.intervalRange.contains(milliseconds) else {
                throw ScheduleError(
                    "An interval is a multiple of 60000 milliseconds, from one minute (60000) to 365 days (31536000000).")
            }
        case .once(let text):
            guard LocalTime(text) != nil else {
                throw ScheduleError(
                    "A time is written as 2026-03-01T09:00:00, without a zone; “\(text.prefix(40))” is not, or there is no such day."
                )
            }
        }
    }
}
