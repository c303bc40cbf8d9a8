import Foundation
import Pace
import Platform
import Testing

@Suite("Timestamps", .paced)
struct TimestampTests {
    @Test(
        "what is written is read back, to the millisecond",
        arguments: [0, 0.001, 1_760_000_000.123, 951_782_400, 4_102_444_799.999, -1.5, -62_135_596_800, 253_402_300_799])
    func roundTrip(_ seconds: Double) throws {
        let text = Timestamp.text(Date(timeIntervalSince1970: seconds))
        #expect(text.utf8.count == 24)
        let back = try #require(Timestamp.date(text))
        #expect(abs(back.timeIntervalSince1970 - seconds) < 0.0011)
        #expect(Timestamp.text(back) == text)
    }

    @Test("every millisecond of a second survives the way there and back")
    func everyMillisecond() throws {
        for millisecond in 0..<1000 {
            let text = "2026-01-31T08:15:30.\(String(format: "%03d", millisecond))Z"
            #expect(try Timestamp.text(#require(Timestamp.date(text))) == text)
        }
    }

    @Test(
        "agrees with Foundation",
        arguments: [
            "2026-01-31T08:15:30Z", "2000-02-29T23:59:59Z", "1970-01-01T00:00:00Z", "1969-12-31T23:59:59Z",
            "2100-03-01T00:00:00Z",
        ])
    func foundation(_ text: String) throws { #expect(try Timestamp.date(text) == Date(text, strategy: .iso8601)) }

    @Test("text order is time order")
    func order() {
        let dates = (0..<200).map { _ in Date(timeIntervalSince1970: Double.random(in: -1e9...4e9)) }
        #expect(dates.sorted().map(Timestamp.text) == dates.map(Timestamp.text).sorted())
    }

    @Test(
        "reads",
        arguments: [
            ("2026-01-31T08:15:30Z", "2026-01-31T08:15:30.000Z"), ("2026-01-31T08:15:30.1Z", "2026-01-31T08:15:30.100Z"),
            ("2026-01-31T08:15:30.123456789Z", "2026-01-31T08:15:30.123Z"),
        ])
    func reads(_ text: String, _ expected: String) { #expect(Timestamp.date(text).map(Timestamp.text) == expected) }

    @Test(
        "refuses",
        arguments: [
            "", "2026-01-31", "2026-01-31T08:15:30", "2026-01-31 08:15:30Z", "2026-02-29T00:00:00Z", "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-31T24:00:00Z",
            "2026-01-31T08:60:00Z", "2026-01-31T08:15:60Z", "2026-01-31T08:15:30.Z", "2026-01-31T08:15:30.12x3Z",
            "2026-01-31T08:15:30+00:00", "2026-01-31T08:15:30.1234567890Z", "+026-01-31T08:15:30Z", "2026-01-31t08:15:30z",
            "２026-01-31T08:15:30Z",
        ])
    func refuses(_ text: String) { #expect(Timestamp.date(text) == nil) }

    @Test("days, months and the first of the next month")
    func calendar() throws {
        let date = try #require(Timestamp.date("2026-12-31T23:59:59.999Z"))
        #expect(Timestamp.day(date) == "2026-12-31")
        #expect(Timestamp.month(date) == "2026-12")
        #expect(Timestamp.text(Timestamp.nextMonth(date)) == "2027-01-01T00:00:00.000Z")
        #expect(Timestamp.text(Timestamp.nextMonth(Timestamp.nextMonth(date))) == "2027-02-01T00:00:00.000Z")
    }
}
