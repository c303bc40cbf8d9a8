import Foundation

/// A wall-clock time to the minute or second, without a zone.
struct LocalTime: Hashable, Comparable, Sendable {
    /// Seconds as if the wall clock showed UTC.
    var seconds: Int64
    init(seconds: Int64) { self.seconds = seconds }
    init(day: CivilDay, hour: Int, minute: Int, second: Int = 0) {
        seconds = day.number * 86_400 + Int64(hour * 3600 + minute * 60 + second)
    }
    static func < (a: LocalTime, b: LocalTime) -> Bool { a.seconds < b.seconds }

    var day: CivilDay { CivilDay(number: seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400) }
    var hour: Int { Int(ofDay / 3600) }
    var minute: Int { Int(ofDay / 60 % 60) }
    private var ofDay: Int64 { seconds - day.number * 86_400 }

    /// Reads `YYYY-MM-DDTHH:MM:SS`; nil for anything else, impossible dates included.
    init?(_ text: String) {
        guard text.utf8.count == 19, let date = Timestamp.date(text + "Z") else { return nil }
        seconds = Int64(date.timeIntervalSince1970)
    }
}

/// A day of the Gregorian calendar, counted from 1970-01-01.
struct CivilDay: Hashable, Sendable {
    var number: Int64
    init(number: Int64) { self.number = number }
    init(year: Int, month: Int, day: Int) { number = Timestamp.days(year: Int64(year), month: Int64(month), day: Int64(day)) }

    var date: (year: Int, month: Int, day: Int) {
        let (year, month, day) = Timestamp.civil(fromDays: number)
        return (Int(year), Int(month), Int(day))
    }
    /// 0 = Sunday.
    var weekday: Int { Int(((number + 4) % 7 + 7) % 7) }

    static func length(year: Int, month: Int) -> Int {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }
}

/// An IANA zone by its offsets alone (no calendar of Foundation's: measured at +5 MB and 0.06 µs a look-up).
struct Zone: Sendable {
    private let zone: TimeZone

    /// - Throws: ``ScheduleError`` for a name that is no IANA zone. `GMT+3` and the like, which Foundation would take, are none.
    init(_ name: String) throws(ScheduleError) {
        let isOffset = name.hasPrefix("GMT") && name.utf8.count > 3 || name.hasPrefix("UTC") && name.utf8.count > 3
        guard !isOffset, !name.isEmpty, name.utf8.count <= 64, let zone = TimeZone(identifier: name) else {
            throw ScheduleError("“\(name.prefix(64))” is no time zone; use an IANA name such as Europe/Berlin or Asia/Shanghai.")
        }
        self.zone = zone
    }

    private func offset(at instant: Int64) -> Int64 {
        Int64(zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(instant))))
    }

    func local(_ date: Date) -> LocalTime {
        let instant = Int64(date.timeIntervalSince1970.rounded(.down))
        return LocalTime(seconds: instant + offset(at: instant))
    }

    /// The first instant at which clocks show that time; nil when they skip it.
    func instant(of time: LocalTime) -> Date? {
        // Offsets lie within a day of UTC, and no zone changes twice within two days.
        let offsets = [offset(at: time.seconds - 86_400), offset(at: time.seconds + 86_400)]
        let instants = (offsets[0] == offsets[1] ? [offsets[0]] : offsets).map { time.seconds - $0 }
        return instants.filter { $0 + offset(at: $0) == time.seconds }.min().map { Date(timeIntervalSince1970: Double($0)) }
    }
}
