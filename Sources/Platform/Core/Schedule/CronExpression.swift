import Foundation

/// A cron expression in one of two dialects:
/// five fields as in Unix (`minute hour day-of-month month day-of-week`; 0 and 7 are Sunday; when both day fields are
/// restricted, either may match), or EventBridge's six (`… year`; exactly one day field is `?`; 1 is Sunday; `L`, `W`, `#`).
public struct CronExpression: Sendable, Hashable {
    /// Which days match, apart from month and year.
    private enum Days: Sendable, Hashable {
        /// Unix: the day of the month and of the week (0 = Sunday), joined by or, or by and.
        case standard(month: CronField, week: CronField, either: Bool)
        case ofMonth([DayOfMonth])
        case ofWeek([DayOfWeek])
    }
    private enum DayOfMonth: Sendable, Hashable {
        case numbers(CronField)
        case last
        case lastWeekday
        /// The Monday to Friday nearest to that day, in the same month.
        case weekdayNear(Int)
    }
    /// Days are 0 = Sunday here.
    private enum DayOfWeek: Sendable, Hashable {
        case numbers(CronField)
        case last(Int)
        case nth(Int, Int)
    }

    private let minutes: CronField
    private let hours: CronField
    private let months: CronField
    private let years: CronField?
    private let days: Days

    /// - Throws: ``ScheduleError`` with a sentence about the field that is wrong.
    public init(_ text: String) throws(ScheduleError) {
        guard text.utf8.count <= 200 else { throw ScheduleError("A cron expression has at most 200 characters.") }
        let fields = text.split(separator: " ").map(String.init)
        guard fields.count == 5 || fields.count == 6, !text.contains("\n") else {
            throw ScheduleError(
                "A cron expression has five fields (minute, hour, day of month, month, day of week) or six (a year at the end), not \(fields.count)."
            )
        }
        minutes = try CronField(fields[0], .minute)
        hours = try CronField(fields[1], .hour)
        months = try CronField(fields[3], .month)
        if fields.count == 5 {
            years = nil
            for field in [fields[2], fields[4]] where field.contains("?") {
                throw ScheduleError("“?” belongs to the six-field form; in five fields write “*”.")
            }
            let month = try CronField(fields[2], .day)
            var week = try CronField(fields[4], .standardWeekday)
            if week.contains(7) { week.insert(0) }
            days = .standard(month: month, week: week, either: !month.isWild && !week.isWild)
        } else {
            years = try CronField(fields[5], .year)
            guard (fields[2] == "?") != (fields[4] == "?") else {
                throw ScheduleError("In a six-field cron expression exactly one of day of month and day of week must be “?”.")
            }
            days = fields[4] == "?" ? .ofMonth(try Self.daysOfMonth(fields[2])) : .ofWeek(try Self.daysOfWeek(fields[4]))
        }
    }

    private static func daysOfMonth(_ text: String) throws(ScheduleError) -> [DayOfMonth] {
        var found: [DayOfMonth] = [], numbers = CronField()
        for part in text.uppercased().split(separator: ",", omittingEmptySubsequences: false) {
            switch part {
            case "L": found.append(.last)
            case "LW", "WL": found.append(.lastWeekday)
            case _ where part.hasSuffix("W"): found.append(.weekdayNear(try CronField.Kind.day.number(part.dropLast())))
            default: try numbers.add(String(part), .day)
            }
        }
        return numbers.isEmpty ? found : found + [.numbers(numbers)]
    }

    private static func daysOfWeek(_ text: String) throws(ScheduleError) -> [DayOfWeek] {
        let kind = CronField.Kind.eventBridgeWeekday
        var found: [DayOfWeek] = [], numbers = CronField()
        for part in text.uppercased().split(separator: ",", omittingEmptySubsequences: false) {
            let pieces = part.split(separator: "#", omittingEmptySubsequences: false)
            if pieces.count == 2 {
                guard let nth = Int(pieces[1]), (1...5).contains(nth) else {
                    throw ScheduleError("“\(part.prefix(40))” in the day of week field: after “#” stands 1 to 5.")
                }
                found.append(.nth(try kind.number(pieces[0]) - 1, nth))
            } else if part == "L" {
                numbers.insert(7)
            } else if part.hasSuffix("L") {
                found.append(.last(try kind.number(part.dropLast()) - 1))
            } else {
                try numbers.add(String(part), kind)
            }
        }
        guard !numbers.isEmpty else { return found }
        var shifted = CronField()
        for day in 1...7 where numbers.contains(day) { shifted.insert(day - 1) }
        return found + [.numbers(shifted)]
    }

    private func matches(_ day: CivilDay) -> Bool {
        let date = day.date
        switch days {
        case .standard(let month, let week, let either):
            let inMonth = month.contains(date.day), inWeek = week.contains(day.weekday)
            return either ? inMonth || inWeek : inMonth && inWeek
        case .ofMonth(let rules): return rules.contains { rule in Self.matches(rule, day, date) }
        case .ofWeek(let rules):
            return rules.contains { rule in
                switch rule {
                case .numbers(let numbers): numbers.contains(day.weekday)
                case .last(let weekday):
                    day.weekday == weekday && date.day + 7 > CivilDay.length(year: date.year, month: date.month)
                case .nth(let weekday, let nth): day.weekday == weekday && (date.day - 1) / 7 + 1 == nth
                }
            }
        }
    }

    private static func matches(_ rule: DayOfMonth, _ day: CivilDay, _ date: (year: Int, month: Int, day: Int)) -> Bool {
        let length = CivilDay.length(year: date.year, month: date.month)
        switch rule {
        case .numbers(let numbers): return numbers.contains(date.day)
        case .last: return date.day == length
        case .lastWeekday: return date.day == weekday(near: length, date.year, date.month, length, backOnly: true)
        case .weekdayNear(let wanted):
            return wanted <= length && date.day == weekday(near: wanted, date.year, date.month, length, backOnly: false)
        }
    }

    private static func weekday(near wanted: Int, _ year: Int, _ month: Int, _ length: Int, backOnly: Bool) -> Int {
        switch CivilDay(year: year, month: month, day: wanted).weekday {
        case 6: wanted == 1 && !backOnly ? 3 : wanted - 1
        case 0: wanted == length || backOnly ? wanted - 2 : wanted + 1
        default: wanted
        }
    }

    /// How many years are searched: `MON#5` in February needs up to 40 (around 2100).
    private static let searchedYears = 44

    /// The first fire after an instant; nil = never again. A local time that clocks skip does not fire, one that they
    /// show twice fires the first time.
    public func next(after instant: Date, timezone: String) throws(ScheduleError) -> Date? {
        next(after: instant, in: try Zone(timezone))
    }

    func next(after instant: Date, in zone: Zone) -> Date? {
        let now = zone.local(instant)
        let from = LocalTime(seconds: now.seconds - now.seconds.positiveRemainder(60) + 60)
        let start = from.day.date
        var searched = 0
        guard start.year <= 2199 else { return nil }
        for year in max(start.year, 1970)...2199 where years?.contains(year - 1970) ?? true {
            searched += 1
            guard searched <= Self.searchedYears else { return nil }
            for month in (year == start.year ? start.month : 1)...12 where months.contains(month) {
                for dayNumber
                    in (year == start.year && month == start.month ? start.day : 1)...CivilDay.length(year: year, month: month)
                {
                    let day = CivilDay(year: year, month: month, day: dayNumber)
                    guard matches(day), let fire = fire(on: day, from: from, after: instant, zone) else { continue }
                    return fire
                }
            }
        }
        return nil
    }

    private func fire(on day: CivilDay, from: LocalTime, after instant: Date, _ zone: Zone) -> Date? {
        for hour in 0..<24 where hours.contains(hour) {
            for minute in 0..<60 where minutes.contains(minute) {
                let time = LocalTime(day: day, hour: hour, minute: minute)
                guard time >= from, let fire = zone.instant(of: time), fire > instant else { continue }
                return fire
            }
        }
        return nil
    }
}

extension Int64 {
    fileprivate func positiveRemainder(_ divisor: Int64) -> Int64 { (self % divisor + divisor) % divisor }
}
