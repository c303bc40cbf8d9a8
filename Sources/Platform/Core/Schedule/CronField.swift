/// One field of a cron expression: which numbers match.
struct CronField: Sendable, Hashable {
    /// Bit n = the number n matches. Years are kept as their distance from 1970 in several words.
    private var words: [UInt64] = [0, 0, 0, 0]
    /// The text began with `*`.
    var isWild = false

    func contains(_ number: Int) -> Bool { number >= 0 && number < 256 && words[number >> 6] & (1 << UInt64(number & 63)) != 0 }
    mutating func insert(_ number: Int) { words[number >> 6] |= 1 << UInt64(number & 63) }
    var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

    struct Kind: Sendable {
        var name: String
        var range: ClosedRange<Int>
        /// Names of the numbers from `range.lowerBound` on.
        var names: [String] = []

        static let minute = Kind(name: "minute", range: 0...59)
        static let hour = Kind(name: "hour", range: 0...23)
        static let day = Kind(name: "day of month", range: 1...31)
        static let month = Kind(
            name: "month", range: 1...12,
            names: ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
        /// 0 and 7 are Sunday.
        static let standardWeekday = Kind(
            name: "day of week", range: 0...7, names: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])
        /// 1 is Sunday.
        static let eventBridgeWeekday = Kind(
            name: "day of week", range: 1...7, names: ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])
        static let year = Kind(name: "year", range: 1970...2199)

        func refusal(_ text: some StringProtocol) -> ScheduleError {
            let orNames = names.isEmpty ? "" : " or \(names[0])…\(names[names.count - 1])"
            return ScheduleError(
                "“\(text.prefix(40))” is not possible in the \(name) field, which takes \(range.lowerBound) to "
                    + "\(range.upperBound)\(orNames).")
        }

        func number(_ text: some StringProtocol) throws(ScheduleError) -> Int {
            if let position = names.firstIndex(of: text.uppercased()) { return range.lowerBound + position }
            guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(text),
                range.contains(number)
            else { throw refusal(text) }
            return number
        }
    }

    /// Reads `*`, `*/5`, `1-5`, `1-30/2`, `5/15`, names, and lists of these.
    init(_ text: some StringProtocol, _ kind: Kind) throws(ScheduleError) {
        isWild = text.hasPrefix("*")
        for part in text.split(separator: ",", omittingEmptySubsequences: false) { try add(String(part), kind) }
    }
    init() {}

    mutating func add(_ part: String, _ kind: Kind) throws(ScheduleError) {
        let pieces = part.split(separator: "/", omittingEmptySubsequences: false)
        guard let span = pieces.first, pieces.count <= 2 else { throw kind.refusal(part) }
        var step = 1
        if pieces.count == 2 {
            guard let number = Int(pieces[1]), number >= 1, number <= kind.range.upperBound,
                pieces[1].utf8.allSatisfy({ (0x30...0x39).contains($0) })
            else { throw kind.refusal(part) }
            step = number
        }
        let low: Int, high: Int
        let ends = span.split(separator: "-", omittingEmptySubsequences: false)
        if span == "*" {
            low = kind.range.lowerBound
            // The standard weekday's 7 is its 0 again.
            high = kind.range == 0...7 ? 6 : kind.range.upperBound
        } else if ends.count == 2 {
            low = try kind.number(ends[0])
            let end = try kind.number(ends[1])
            // FRI-SUN: as an end, Sunday is the seventh day.
            high = kind.range == 0...7 && end == 0 && low > 0 ? 7 : end
        } else {
            guard ends.count == 1 else { throw kind.refusal(part) }
            low = try kind.number(span)
            high = pieces.count == 2 ? kind.range.upperBound : low
        }
        guard low <= high else {
            throw ScheduleError("“\(part.prefix(40))” in the \(kind.name) field ends before it begins; write it as two parts.")
        }
        for number in stride(from: low, through: high, by: step) { insert(kind.name == Kind.year.name ? number - 1970 : number) }
    }
}
