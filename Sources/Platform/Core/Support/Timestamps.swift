import Foundation

/// Times as the API and the records write them: ISO 8601, UTC, milliseconds (`2026-01-31T08:15:30.123Z`).
/// Equal length, so that text order is time order.
public enum Timestamp {
    public static func text(_ date: Date) -> String {
        let milliseconds = Int64((date.timeIntervalSince1970 * 1000).rounded(.down))
        let (days, ofDay) = floorDivide(milliseconds, 86_400_000)
        let (year, month, day) = civil(fromDays: days)
        var out = [UInt8]()
        out.reserveCapacity(24)
        func digits(_ value: Int64, _ width: Int) {
            var divisor = Int64(1)
            for _ in 1..<width { divisor *= 10 }
            while divisor > 0 { out.append(UInt8(48 + value / divisor % 10)); divisor /= 10 }
        }
        digits(year, 4); out.append(0x2d); digits(month, 2); out.append(0x2d); digits(day, 2); out.append(0x54)
        digits(ofDay / 3_600_000, 2); out.append(0x3a); digits(ofDay / 60_000 % 60, 2); out.append(0x3a)
        digits(ofDay / 1000 % 60, 2); out.append(0x2e); digits(ofDay % 1000, 3); out.append(0x5a)
        return String(decoding: out, as: UTF8.self)
    }

    /// Reads what ``text(_:)`` writes, also without a fraction; `nil` for anything else, impossible days included.
    public static func date(_ text: String) -> Date? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.last == 0x5a, bytes[4] == 0x2d, bytes[7] == 0x2d, bytes[10] == 0x54, bytes[13] == 0x3a, bytes[16] == 0x3a
        else { return nil }
        func number(_ from: Int, _ count: Int) -> Int64? {
            var value: Int64 = 0
            for byte in bytes[from..<from + count] { guard byte >= 48, byte <= 57 else { return nil }; value = value * 10 + Int64(byte - 48) }
            return value
        }
        guard let year = number(0, 4), let month = number(5, 2), let day = number(8, 2), let hour = number(11, 2), let minute = number(14, 2),
            let second = number(17, 2), (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 60
        else { return nil }
        var milliseconds: Int64 = 0
        if bytes.count > 20 {
            guard bytes[19] == 0x2e, bytes.count > 21, bytes.count <= 30 else { return nil }
            var scale: Int64 = 100
            for byte in bytes[20..<bytes.count - 1] {
                guard byte >= 48, byte <= 57 else { return nil }
                milliseconds += Int64(byte - 48) * scale
                scale /= 10
            }
        }
        let days = Timestamp.days(year: year, month: month, day: day)
        guard civil(fromDays: days) == (year, month, day) else { return nil }
        let seconds = days * 86_400 + hour * 3600 + minute * 60 + second
        return Date(timeIntervalSince1970: Double(seconds) + Double(milliseconds) / 1000)
    }

    /// `yyyy-MM-dd` in UTC, the key of a day's usage.
    public static func day(_ date: Date) -> String { String(text(date).prefix(10)) }
    /// `yyyy-MM` in UTC, the key of a month's usage.
    public static func month(_ date: Date) -> String { String(text(date).prefix(7)) }

    /// First instant of the month after `date`, UTC: when a monthly quota resets.
    public static func nextMonth(_ date: Date) -> Date {
        let (days, _) = floorDivide(Int64(date.timeIntervalSince1970), 86_400)
        let (year, month, _) = civil(fromDays: days)
        let next = month == 12 ? Timestamp.days(year: year + 1, month: 1, day: 1) : Timestamp.days(year: year, month: month + 1, day: 1)
        return Date(timeIntervalSince1970: Double(next * 86_400))
    }

    private static func floorDivide(_ value: Int64, _ by: Int64) -> (Int64, Int64) {
        let quotient = value >= 0 ? value / by : (value - by + 1) / by
        return (quotient, value - quotient * by)
    }

    // Days and civil dates: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    static func civil(fromDays days: Int64) -> (Int64, Int64, Int64) {
        let z = days + 719_468
        let era = (z >= 0 ? z : z - 146_096) / 146_097
        let dayOfEra = z - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shifted = (5 * dayOfYear + 2) / 153
        let month = shifted < 10 ? shifted + 3 : shifted - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
    }
}
