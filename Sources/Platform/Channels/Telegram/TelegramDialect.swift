/// Telegram's HTML (CHANNELS.md §2): what counts is the visible text, at most 4,096 UTF-16 units, and at most 100 entities.
struct TelegramDialect: Dialect {
    var limit = Extent(units: 4096, bytes: Extent.unlimited, entities: 100)

    func extent(of text: Substring, in styles: [Style]) -> Extent { Extent(units: text.utf16.count) }
    func extent(marking style: Style) -> Extent { Extent(entities: 1) }

    /// Nothing nests in code; a link keeps its target rather than its code look; one quote at a time, outermost.
    func shown(_ styles: [Style]) -> [Style] {
        var out = [Style]()
        let isQuoted = styles.contains(.quote)
        for style in styles where !out.contains(style) {
            switch style {
            case .quote: break
            case .block: return (isQuoted ? [.quote] : []) + [style]
            case .code:
                if let link = styles.first(where: { if case .link = $0 { true } else { false } }) { return (isQuoted ? [.quote] : []) + [link] }
                return (isQuoted ? [.quote] : []) + [.code]
            default: out.append(style)
            }
        }
        return (isQuoted ? [.quote] : []) + out
    }

    func write(_ runs: [StyledRun]) -> String {
        var out = ""
        var open = [Style]()
        for run in runs where !run.text.isEmpty {
            let common = commonPrefix(open, run.styles)
            for style in open[common...].reversed() { out += closing(style) }
            for style in run.styles[common...] { out += opening(style) }
            open = run.styles
            out += Self.escaped(run.text)
        }
        for style in open.reversed() { out += closing(style) }
        return out
    }

    static func escaped(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "&") || $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: ">") }) else { return text }
        var out = [UInt8]()
        out.reserveCapacity(text.utf8.count + 32)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "&"): out += "&amp;".utf8
            case UInt8(ascii: "<"): out += "&lt;".utf8
            case UInt8(ascii: ">"): out += "&gt;".utf8
            default: out.append(byte)
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
    private static func attribute(_ text: String) -> String { escaped(text).replacing("\"", with: "&quot;") }

    private func opening(_ style: Style) -> String {
        switch style {
        case .bold: "<b>"
        case .italic: "<i>"
        case .strikethrough: "<s>"
        case .code: "<code>"
        case .block(""): "<pre>"
        case .block(let language): "<pre><code class=\"language-\(Self.attribute(language))\">"
        case .quote: "<blockquote>"
        case .link(let url): "<a href=\"\(Self.attribute(url))\">"
        }
    }
    private func closing(_ style: Style) -> String {
        switch style {
        case .bold: "</b>"
        case .italic: "</i>"
        case .strikethrough: "</s>"
        case .code: "</code>"
        case .block(""): "</pre>"
        case .block: "</code></pre>"
        case .quote: "</blockquote>"
        case .link: "</a>"
        }
    }
}
