/// How long something is in a channel's own measures.
public struct Extent: Sendable, Hashable {
    /// The unit of the channel's limit, UTF-16 units nearly everywhere.
    public var units: Int
    public var bytes: Int
    /// Formatting entities, where a channel limits their number.
    public var entities: Int
    public init(units: Int = 0, bytes: Int = 0, entities: Int = 0) { self.units = units; self.bytes = bytes; self.entities = entities }

    public static func + (a: Extent, b: Extent) -> Extent { Extent(units: a.units + b.units, bytes: a.bytes + b.bytes, entities: a.entities + b.entities) }
    public static func - (a: Extent, b: Extent) -> Extent { Extent(units: a.units - b.units, bytes: a.bytes - b.bytes, entities: a.entities - b.entities) }
    public static func += (a: inout Extent, b: Extent) { a = a + b }
    public func fits(in limit: Extent) -> Bool { units <= limit.units && bytes <= limit.bytes && entities <= limit.entities }
    public static let unlimited = Int.max / 4
}

/// One way in which text can be marked. The order of a run's styles is their nesting, outermost first.
public enum Style: Sendable, Hashable {
    case bold, italic, strikethrough
    case code
    /// A code block with its language (may be empty).
    case block(language: String)
    case quote
    case link(String)
}

/// Text under one set of styles.
public struct StyledRun: Sendable, Hashable {
    public var text: String
    public var styles: [Style]
    /// Not to be broken (a link, inline code), unless it alone exceeds a chunk.
    public var isAtomic: Bool
    public init(_ text: String, _ styles: [Style] = [], isAtomic: Bool = false) { self.text = text; self.styles = styles; self.isAtomic = isAtomic }
}

/// A channel's way to write formatted text. Pure: the same runs always give the same text.
public protocol Dialect: Sendable {
    /// Most that one chunk may hold.
    var limit: Extent { get }
    /// What a stretch of text costs as written under these styles, escapes included, without the marks themselves.
    func extent(of text: Substring, in styles: [Style]) -> Extent
    /// What opening and closing one style costs.
    func extent(marking style: Style) -> Extent
    /// The styles as this channel can show them (what cannot nest or does not exist is dropped).
    func shown(_ styles: [Style]) -> [Style]
    func write(_ runs: [StyledRun]) -> String
}

extension Dialect {
    func extent(_ runs: [StyledRun]) -> Extent {
        var meter = Meter(dialect: self)
        for run in runs { meter.add(run.text[...], run.styles) }
        return meter.total
    }
}

/// Adds up runs one after the other, counting a style once where it opens.
struct Meter {
    let dialect: any Dialect
    private(set) var total = Extent()
    private var open: [Style] = []
    init(dialect: any Dialect) { self.dialect = dialect }

    func cost(of text: Substring, _ styles: [Style]) -> Extent {
        var cost = dialect.extent(of: text, in: styles)
        for style in styles.dropFirst(commonPrefix(open, styles)) { cost += dialect.extent(marking: style) }
        return cost
    }
    mutating func add(_ text: Substring, _ styles: [Style]) {
        guard !text.isEmpty else { return }
        total += cost(of: text, styles)
        open = styles
    }
}

func commonPrefix(_ a: [Style], _ b: [Style]) -> Int {
    var count = 0
    while count < a.count, count < b.count, a[count] == b[count] { count += 1 }
    return count
}
