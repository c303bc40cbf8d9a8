/// The text of a chunk without any markup, links as `text (url)`.
enum PlainText {
    /// Targets are left out when the text would exceed the limit with them.
    static func write(_ runs: [StyledRun], limit: Int) -> String {
        let full = CrowdPing.neutralised(text(runs, withTargets: true))
        return full.utf16.count <= limit ? full : CrowdPing.neutralised(text(runs, withTargets: false))
    }

    private static func text(_ runs: [StyledRun], withTargets: Bool) -> String {
        var out = ""
        var open: String?
        var label = ""
        func close() {
            if let target = open, withTargets, label != target { out += " (\(target))" }
            open = nil
            label = ""
        }
        for run in runs {
            var target: String?
            for case .link(let url) in run.styles { target = url }
            if target != open { close() }
            open = target
            if target != nil { label += run.text }
            out += run.text
        }
        close()
        return out
    }

    /// Cuts plain text into pieces of at most `limit` UTF-16 units, at line ends, sentences, spaces or graphemes.
    static func pieces(_ text: String, limit: Int) -> [String] {
        var builder = ChunkBuilder(dialect: PlainDialect(limit: Extent(units: max(1, limit), bytes: .max / 4, entities: .max / 4)))
        builder.fill(with: [StyledRun(text)], at: .sentences, after: StyledRun("\n\n"))
        builder.flush()
        return builder.chunks.map(\.plain)
    }
}

/// Text as it is.
struct PlainDialect: Dialect {
    var limit: Extent
    func extent(of text: Substring, in styles: [Style]) -> Extent { Extent(units: text.utf16.count, bytes: text.utf8.count) }
    func extent(marking style: Style) -> Extent { Extent() }
    func shown(_ styles: [Style]) -> [Style] { [] }
    func write(_ runs: [StyledRun]) -> String { runs.map(\.text).joined() }
}
