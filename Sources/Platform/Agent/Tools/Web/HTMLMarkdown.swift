import Foundation

/// Turns a page into Markdown for a model: its words with headings, lists, links, tables, code and quotes; no scripts, styles or pictures
/// without words. What stands in `<main>` is the page, where there is one.
///
/// One pass over the tokens with a stack of open elements; elements that HTML lets authors leave open are closed as browsers do.
struct HTMLMarkdown {
    struct Page: Equatable {
        var title: String
        var text: String
    }

    /// - Parameter base: what relative links are resolved against; nil = links stay as they are.
    static func page(_ html: [UInt8], base: URL?) -> Page {
        var writer = HTMLMarkdown(base: base)
        for token in HTMLTokens(html) {
            writer.take(token)
            if writer.isDone { break }
        }
        return Page(title: writer.title.split(whereSeparator: \.isWhitespace).joined(separator: " "), text: writer.finish())
    }

    private struct Element {
        var name: String
        /// Where its text begins, for what wraps text.
        var start: Int
        var link: String?
        /// Its mark before and after its text.
        var mark = ""
    }
    private struct Table {
        var rows: [[String]] = []
        var headerRows = 0
        /// The text around it, while a cell is written.
        var outer: String?
        var holdsBlocks = false
    }

    private var base: URL?
    private var out = ""
    private var title = ""
    private var elements: [Element] = []
    private var lists: [(ordered: Bool, number: Int)] = []
    private var tables: [Table] = []
    private var quotes = 0
    private var preformatted = 0
    /// The element whose content is left out, and how many of its name are open in it.
    private var skipped: (name: String, depth: Int)?
    private var inTitle = false
    private var mainDepth: Int?
    private var isDone = false
    /// A space that is written before the next word.
    private var owesSpace = false

    private static let mostDepth = 400
    private static let mostLinkText = 500
    private static let void: Set = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
    private static let left: Set = ["script", "style", "template", "svg", "iframe", "object", "canvas", "noembed", "noframes", "dialog", "select", "textarea"]
    private static let blocks: Set = [
        "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt", "fieldset", "figcaption", "figure",
        "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "li", "main", "menu", "nav", "ol", "p", "pre", "search",
        "section", "summary", "table", "ul",
    ]

    private init(base: URL?) { self.base = base }

    private mutating func take(_ token: HTMLTokens.Token) {
        if let (name, depth) = skipped {
            switch token {
            case .start(name, _): skipped = (name, depth + 1)
            case .end(name): skipped = depth == 0 ? nil : (name, depth - 1)
            default: break
            }
            return
        }
        switch token {
        case .text(let text): if inTitle { title += text } else { write(text) }
        case .start(let name, let attributes): start(name, attributes)
        case .end(let name): end(name)
        }
    }

    // MARK: Elements

    private mutating func start(_ name: String, _ attributes: [String: String]) {
        if Self.left.contains(name) || attributes["hidden"] != nil && !Self.void.contains(name) {
            skipped = (name, 0)
            return
        }
        switch name {
        case "title": if title.isEmpty { inTitle = true } else { skipped = (name, 0) }
        case "base": if let href = attributes["href"], let url = URL(string: href, relativeTo: base) { base = url.absoluteURL }
        case "br": lineBreak()
        case "hr":
            separate(2)
            out += "---"
            separate(2)
        case "img": image(attributes)
        case "td", "th", "tr", "caption", "thead", "tbody", "tfoot", "table": tablePart(name, isStart: true)
        default:
            if Self.blocks.contains(name) { openBlock(name) }
            guard !Self.void.contains(name), elements.count < Self.mostDepth else { return }
            open(name, attributes)
        }
    }

    private mutating func openBlock(_ name: String) {
        if let table = tables.indices.last, tables[table].outer != nil, name != "p", name != "div" { tables[table].holdsBlocks = true }
        closeOpenParagraph()
        switch name {
        case "li": closeOpen("li", within: ["ul", "ol", "menu"])
        case "dt", "dd": for other in ["dt", "dd"] { closeOpen(other, within: ["dl"]) }
        default: break
        }
        separate(name == "li" || name == "dd" || name == "summary" || (name == "ul" || name == "ol") && !lists.isEmpty ? 1 : 2)
    }

    private mutating func open(_ name: String, _ attributes: [String: String]) {
        var element = Element(name: name, start: out.utf8.count)
        switch name {
        case "main":
            if mainDepth == nil, tables.isEmpty {
                // Menus and banners before it are left behind.
                out = ""
                owesSpace = false
                (lists, quotes, preformatted) = ([], 0, 0)
                element.start = 0
                mainDepth = elements.count
            }
        case "h1", "h2", "h3", "h4", "h5", "h6":
            beginLine()
            out += String(repeating: "#", count: Int(name.dropFirst()) ?? 1) + " "
        case "ul", "ol", "menu": lists.append((name == "ol", (attributes["start"].flatMap { Int($0) } ?? 1)))
        case "li":
            beginLine(nesting: max(0, lists.count - 1))
            if let last = lists.indices.last, lists[last].ordered {
                out += "\(lists[last].number). "
                lists[last].number &+= 1
            } else {
                out += "- "
            }
        case "dd":
            beginLine()
            out += ": "
        case "blockquote": quotes += 1
        case "pre":
            beginLine()
            out += "```\n"
            preformatted += 1
        case "a": element.link = attributes["href"].flatMap(address)
        case "b", "strong": element.mark = "**"
        case "i", "em", "cite", "var": element.mark = "*"
        case "del", "s", "strike": element.mark = "~~"
        case "code", "kbd", "samp", "tt": element.mark = preformatted > 0 ? "" : "`"
        case "q": element.mark = "\""
        default: break
        }
        if element.link != nil || !element.mark.isEmpty {
            spend()
            element.start = out.utf8.count
        }
        elements.append(element)
    }

    private mutating func end(_ name: String) {
        switch name {
        case "title": inTitle = false
        case "td", "th", "tr", "caption", "thead", "tbody", "tfoot", "table": tablePart(name, isStart: false)
        // Browsers make an element of either.
        case "br": lineBreak()
        case "p" where !elements.contains { $0.name == "p" }: lineBreak()
        default:
            // An end tag without its start is passed over; a cell's own elements only are in its reach.
            guard let index = elements.lastIndex(where: { $0.name == name }), index >= (cellFloor.last ?? 0) else { return }
            close(downTo: index)
        }
    }

    private mutating func close(downTo index: Int) {
        while elements.count > index {
            let element = elements.removeLast()
            switch element.name {
            case "ul", "ol", "menu":
                _ = lists.popLast()
                separate(lists.isEmpty ? 2 : 1)
            case "blockquote":
                separate(2)
                quotes = max(0, quotes - 1)
            case "pre":
                preformatted = max(0, preformatted - 1)
                if out.utf8.last != UInt8(ascii: "\n") { out += "\n" }
                out += "```"
                separate(2)
            case "main":
                if mainDepth == elements.count { isDone = true }
            case "li", "dd", "dt", "summary": separate(1)
            default:
                wrap(element)
                if Self.blocks.contains(element.name) { separate(2) }
            }
        }
    }

    /// Puts an element's marks around its text, now that it is known.
    private mutating func wrap(_ element: Element) {
        guard element.link != nil || !element.mark.isEmpty, element.start <= out.utf8.count else { return }
        let from = out.utf8.index(out.startIndex, offsetBy: element.start)
        let text = String(out[from...])
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else {
            // Nothing to see: no mark, no link.
            return
        }
        if let link = element.link {
            if trimmed.contains("\n") || trimmed.utf8.count > Self.mostLinkText {
                // A card with headings and paragraphs: its link goes after it.
                out += " (\(link))"
            } else if trimmed == link {
                return
            } else {
                out.replaceSubrange(from..., with: "[\(trimmed)](\(link))")
            }
        } else if !trimmed.contains("\n") {
            out.replaceSubrange(from..., with: element.mark + trimmed + element.mark)
        }
        if text.last?.isWhitespace == true { owesSpace = true }
    }

    private mutating func closeOpenParagraph() {
        guard let index = elements.lastIndex(where: { $0.name == "p" }), index >= (cellFloor.last ?? 0) else { return }
        // Only inline elements may lie between.
        if elements[(index + 1)...].allSatisfy({ !Self.blocks.contains($0.name) }) { close(downTo: index) }
    }
    private mutating func closeOpen(_ name: String, within limits: Set<String>) {
        guard let index = elements.lastIndex(where: { $0.name == name || limits.contains($0.name) }), elements[index].name == name,
            index >= (cellFloor.last ?? 0)
        else { return }
        close(downTo: index)
    }

    private mutating func image(_ attributes: [String: String]) {
        let words = (attributes["alt"] ?? "").split(whereSeparator: \.isWhitespace).joined(separator: " ")
        guard !words.isEmpty, let source = attributes["src"].flatMap(address) else { return }
        spend()
        beginLine()
        out += "![\(words.prefix(300))](\(source))"
    }

    /// An absolute address that is worth showing; nil for scripts, embedded data and places in the page.
    private func address(_ text: String) -> String? {
        let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
        let lower = text.prefix(12).lowercased()
        guard !text.isEmpty, !text.hasPrefix("#"), !["javascript:", "data:", "blob:", "about:"].contains(where: lower.hasPrefix), text.utf8.count <= 2000 else { return nil }
        guard let base else { return text }
        return URL(string: text, relativeTo: base)?.absoluteString ?? text
    }

    // MARK: Tables

    /// How many elements were open when each open cell began: end tags inside it reach no further.
    private var cellFloor: [Int] = []

    private mutating func tablePart(_ name: String, isStart: Bool) {
        switch (name, isStart) {
        case ("table", true):
            if let last = tables.indices.last, tables[last].outer != nil { tables[last].holdsBlocks = true }
            closeOpenParagraph()
            if tables.count < 8 { tables.append(Table()) }
        case ("table", false):
            guard !tables.isEmpty else { return }
            endCell()
            let table = tables.removeLast()
            write(table)
        case ("tr", true):
            guard let last = tables.indices.last else { return separate(1) }
            endCell()
            tables[last].rows.append([])
        case ("td", true), ("th", true):
            guard let last = tables.indices.last else { return separate(1) }
            endCell()
            if tables[last].rows.isEmpty { tables[last].rows.append([]) }
            if name == "th", tables[last].rows.count == 1 { tables[last].headerRows = 1 }
            tables[last].outer = out
            cellFloor.append(elements.count)
            out = ""
            owesSpace = false
        case ("thead", true): if let last = tables.indices.last { tables[last].headerRows = 1 }
        case ("td", false), ("th", false), ("tr", false), ("thead", false), ("tbody", false), ("tfoot", false): endCell()
        default: if tables.isEmpty { separate(1) }
        }
    }

    private mutating func endCell() {
        guard let last = tables.indices.last, let outer = tables[last].outer else { return }
        close(downTo: cellFloor.removeLast())
        let text = out.trimmingCharacters(in: .whitespacesAndNewlines)
        tables[last].rows[tables[last].rows.count - 1].append(text)
        tables[last].outer = nil
        out = outer
        owesSpace = false
    }

    private mutating func write(_ table: Table) {
        let rows = table.rows.filter { row in row.contains { !$0.isEmpty } }
        guard !rows.isEmpty else { return }
        let columns = rows.map(\.count).max() ?? 0
        // Pages are also laid out with tables: those are no tables of data.
        let isLayout = columns < 2 || table.holdsBlocks || rows.contains { $0.contains { $0.utf8.count > 1000 } }
        separate(2)
        if isLayout {
            for cell in rows.joined() where !cell.isEmpty {
                for line in cell.split(separator: "\n", omittingEmptySubsequences: false) {
                    beginLine()
                    out += line
                    newline()
                }
                separate(2)
            }
            return
        }
        func line(_ cells: [String]) {
            beginLine()
            let padded = cells + Array(repeating: "", count: columns - cells.count)
            out += "| " + padded.map { $0.split(whereSeparator: \.isNewline).joined(separator: " ").replacingOccurrences(of: "|", with: "\\|") }.joined(separator: " | ") + " |"
            newline()
        }
        let hasHeader = table.headerRows > 0
        line(hasHeader ? rows[0] : Array(repeating: "", count: columns))
        line(Array(repeating: "---", count: columns))
        for row in hasHeader ? rows.dropFirst() : rows[...] { line(row) }
        separate(2)
    }

    // MARK: Text

    private mutating func write(_ text: String) {
        if preformatted > 0 {
            out += quotes > 0 ? text.replacingOccurrences(of: "\n", with: "\n" + String(repeating: "> ", count: quotes)) : text
            return
        }
        var word = ""
        func flush(_ writer: inout HTMLMarkdown) {
            guard !word.isEmpty else { return }
            writer.spend()
            writer.beginLine()
            writer.out += word
            word = ""
        }
        for character in text {
            // Also no-break spaces: they are of no use to a reader of Markdown.
            if character.isWhitespace {
                flush(&self)
                owesSpace = true
            } else if character != "\u{ad}", character != "\u{200b}" {
                word.append(character)
            }
        }
        flush(&self)
    }

    private var atLineStart: Bool { out.isEmpty || out.utf8.last == UInt8(ascii: "\n") }

    /// Writes the space that is owed, if something stands before it on the line.
    private mutating func spend() {
        if owesSpace, !atLineStart, out.utf8.last != UInt8(ascii: " ") { out += " " }
        owesSpace = false
    }

    private mutating func beginLine(nesting: Int? = nil) {
        guard atLineStart else { return }
        out += String(repeating: "> ", count: min(quotes, 8))
        let depth = nesting ?? lists.count
        if depth > 0, tables.last?.outer == nil || !lists.isEmpty { out += String(repeating: "  ", count: min(depth, 12)) }
    }

    private mutating func newline() {
        while out.utf8.last == UInt8(ascii: " ") { out.removeLast() }
        out += "\n"
        owesSpace = false
    }
    private mutating func lineBreak() {
        if preformatted > 0 { out += "\n" } else if !atLineStart { newline() }
        owesSpace = false
    }

    /// At least so many line ends before the next word, and never more than two.
    private mutating func separate(_ count: Int) {
        guard preformatted == 0 else { return }
        owesSpace = false
        guard !out.isEmpty else { return }
        // Within a list item that has no words yet nothing is separated.
        let lineStart = out.utf8.lastIndex(of: UInt8(ascii: "\n")).map { out.utf8.index(after: $0) } ?? out.startIndex
        let item = out.utf8[lineStart...]
        if item.last == UInt8(ascii: " "),
            item.allSatisfy({ " >-.0123456789".utf8.contains($0) }), item.contains(UInt8(ascii: "-")) || item.contains(UInt8(ascii: "."))
        {
            return
        }
        var present = 0
        var index = out.utf8.endIndex
        while present < 2, index > out.utf8.startIndex {
            index = out.utf8.index(before: index)
            guard out.utf8[index] == UInt8(ascii: "\n") else { break }
            present += 1
        }
        if present == 0 { newline(); present = 1 }
        while present < count { out += "\n"; present += 1 }
    }

    private mutating func finish() -> String {
        endCell()
        while let table = tables.popLast() {
            write(table)
            endCell()
        }
        close(downTo: 0)
        return out.trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
