/// A table as lines of aligned text, for channels without tables.
struct TableText {
    /// Header line and the line under it.
    var head: [String]
    var rows: [String]
    /// Columns wider than this are not padded further: one long cell must not multiply by the number of rows.
    private static let maxPadding = 32

    init(_ table: Markdown.Table) {
        let header = table.header.map(Self.text)
        let body = table.rows.map { $0.map(Self.text) }
        let count = max(header.count, body.map(\.count).max() ?? 0)
        var widths = [Int](repeating: 1, count: count)
        for row in [header] + body {
            for (column, cell) in row.enumerated() { widths[column] = max(widths[column], min(Self.columns(cell), Self.maxPadding)) }
        }
        func line(_ cells: [String]) -> String {
            var out = ""
            for column in 0..<count {
                let cell = column < cells.count ? cells[column] : ""
                let room = max(0, widths[column] - Self.columns(cell))
                let left: Int
                switch column < table.alignments.count ? table.alignments[column] : .none {
                case .right: left = room
                case .center: left = room / 2
                case .left, .none: left = 0
                }
                if column > 0 { out += " | " }
                out += String(repeating: " ", count: left) + cell + String(repeating: " ", count: room - left)
            }
            while out.last == " " { out.removeLast() }
            return out
        }
        head = header.isEmpty ? [] : [line(header), widths.map { String(repeating: "-", count: $0) }.joined(separator: "-+-")]
        rows = body.map(line)
    }

    /// A cell's text on one line; link targets in parentheses, as the table becomes preformatted text.
    private static func text(_ inlines: [Markdown.Inline]) -> String {
        func collect(_ inlines: [Markdown.Inline]) -> String {
            var out = ""
            for inline in inlines {
                switch inline {
                case .text(let text), .code(let text): out += text
                case .html(let text): out += text.lowercased().hasPrefix("<br") ? " " : text
                case .softBreak, .lineBreak: out += " "
                case .emphasis(let inside), .strong(let inside), .strikethrough(let inside): out += collect(inside)
                case .link(let url, let inside), .image(let url, let inside):
                    let label = collect(inside)
                    let isBare = label == url || "mailto:" + label == url || "http://" + label == url
                    out += label.isEmpty ? url : isBare || LinkTarget.checked(url) == nil ? label : "\(label) (\(url))"
                }
            }
            return out
        }
        let out = collect(inlines)
        return CrowdPing.neutralised(Sanitizer.clean(out).replacing("\n", with: " "))
    }

    /// Columns on a fixed-width display: wide East Asian characters and emoji take two.
    static func columns(_ text: String) -> Int {
        text.reduce(0) { sum, character in
            guard let scalar = character.unicodeScalars.first else { return sum }
            switch scalar.value {
            case 0x1100...0x115f, 0x2e80...0x303e, 0x3041...0x33ff, 0x3400...0x4dbf, 0x4e00...0x9fff, 0xa000...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff,
                0xfe30...0xfe4f, 0xff00...0xff60, 0xffe0...0xffe6, 0x1f300...0x1f64f, 0x1f900...0x1f9ff, 0x20000...0x3fffd:
                return sum + 2
            default: return sum + 1
            }
        }
    }
}
