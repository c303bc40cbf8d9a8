import CMarkGFM
import Synchronization

extension Markdown {
    /// Blocks or spans nested deeper than this are kept as their bare text, so that no walk over the tree can exhaust a stack.
    static let maxDepth = 24
    /// Longer texts are not parsed but taken as paragraphs of plain text. Callers cut before (a reply of ten chunks is about 40 KB).
    public static let maxBytes = 256 << 10
    /// cmark fills every row up to the header's column count: cells beyond this would grow quadratically with the input.
    static let maxTableCells = 50_000

    /// CommonMark with tables, strikethrough and autolinks. Never fails; time and memory stay proportional to the input.
    public static func parse(_ text: String) -> Markdown {
        guard text.utf8.count <= maxBytes, potentialCells(text) <= maxTableCells else { return plain(text) }
        registerExtensions
        return parserLock.withLock { _ in parseLocked(text) }
    }

    private static func parseLocked(_ text: String) -> Markdown {
        guard let parser = cmark_parser_new(CMARK_OPT_DEFAULT) else { return plain(text) }
        defer { cmark_parser_free(parser) }
        for name in ["table", "strikethrough", "autolink"] {
            if let found = cmark_find_syntax_extension(name) { cmark_parser_attach_syntax_extension(parser, found) }
        }
        var text = text
        text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { cmark_parser_feed(parser, $0.baseAddress, $0.count) }
        }
        guard let root = cmark_parser_finish(parser) else { return plain(text) }
        defer { cmark_node_free(root) }
        return Markdown(blocks: TreeReader().blocks(of: root, depth: 0))
    }

    /// The text as paragraphs without any markup.
    static func plain(_ text: String) -> Markdown {
        var blocks = [Block]()
        var lines = [Substring]()
        func flush() {
            if !lines.isEmpty { blocks.append(.paragraph([.text(lines.joined(separator: "\n"))])) }
            lines.removeAll()
        }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.allSatisfy(\.isWhitespace) { flush() } else { lines.append(line) }
        }
        flush()
        return Markdown(blocks: blocks)
    }

    /// Most cells a table in this text could get: the widest line's bars times the number of lines.
    private static func potentialCells(_ text: String) -> Int {
        var bars = 0, widest = 0, lines = 1
        for byte in text.utf8 {
            if byte == UInt8(ascii: "|") { bars += 1; widest = max(widest, bars) }
            if byte == UInt8(ascii: "\n") { lines += 1; bars = 0 }
        }
        return widest < 64 ? 0 : widest * lines
    }

    /// cmark-gfm switches its extensions' special characters on and off in a table of the whole process while it parses, so that two parses
    /// at once see each other's half-set table (text then loses its strikethrough or links). A parse takes microseconds.
    private static let parserLock = Mutex<Void>(())

    /// cmark keeps its extensions in a global list: filled once, before the first parse, then only read.
    private static let registerExtensions: Void = cmark_gfm_core_extensions_ensure_registered()
}

/// Reads a cmark tree into values. The C nodes stay the caller's.
private struct TreeReader {
    typealias Node = OpaquePointer

    func blocks(of parent: Node, depth: Int) -> [Markdown.Block] {
        children(of: parent).flatMap { block($0, depth: depth) }
    }

    private func block(_ node: Node, depth: Int) -> [Markdown.Block] {
        if depth >= Markdown.maxDepth {
            let text = bareText(node)
            return text.isEmpty ? [] : [.paragraph([.text(text)])]
        }
        switch name(node) {
        case "heading": return [.heading(level: Int(cmark_node_get_heading_level(node)), inlines(of: node, depth: depth + 1))]
        case "paragraph": return [.paragraph(inlines(of: node, depth: depth + 1))]
        case "code_block":
            var text = string(cmark_node_get_literal(node))
            if text.hasSuffix("\n") { text.removeLast() }
            return [.code(info: string(cmark_node_get_fence_info(node)), text: text)]
        case "block_quote": return [.quote(blocks(of: node, depth: depth + 1))]
        case "list":
            let isOrdered = cmark_node_get_list_type(node) == CMARK_ORDERED_LIST
            let items = children(of: node).map { blocks(of: $0, depth: depth + 1) }
            return [.list(.init(start: isOrdered ? Int(cmark_node_get_list_start(node)) : nil, isTight: cmark_node_get_list_tight(node) != 0, items: items))]
        case "thematic_break": return [.rule]
        case "html_block":
            var text = string(cmark_node_get_literal(node))
            while text.last?.isNewline == true { text.removeLast() }
            return [.html(text)]
        case "table": return [.table(table(node, depth: depth))]
        default:
            let text = bareText(node)
            return text.isEmpty ? [] : [.paragraph([.text(text)])]
        }
    }

    private func table(_ node: Node, depth: Int) -> Markdown.Table {
        let columns = Int(cmark_gfm_extensions_get_table_columns(node))
        var alignments = [Markdown.Table.Alignment](repeating: .none, count: columns)
        if let raw = cmark_gfm_extensions_get_table_alignments(node) {
            for column in 0..<columns {
                switch raw[column] {
                case UInt8(ascii: "l"): alignments[column] = .left
                case UInt8(ascii: "c"): alignments[column] = .center
                case UInt8(ascii: "r"): alignments[column] = .right
                default: break
                }
            }
        }
        var table = Markdown.Table(alignments: alignments, header: [], rows: [])
        for row in children(of: node) {
            let cells = children(of: row).map { inlines(of: $0, depth: depth + 2) }
            if table.header.isEmpty, cmark_gfm_extensions_get_table_row_is_header(row) != 0 { table.header = cells } else { table.rows.append(cells) }
        }
        return table
    }

    private func inlines(of parent: Node, depth: Int) -> [Markdown.Inline] {
        var out = [Markdown.Inline]()
        for node in children(of: parent) {
            let inline = inline(node, depth: depth)
            // cmark cuts text at every character that might be markup; one person's text is one node here.
            if case .text(let more) = inline, case .text(let before)? = out.last { out[out.count - 1] = .text(before + more) } else { out.append(inline) }
        }
        return out
    }

    private func inline(_ node: Node, depth: Int) -> Markdown.Inline {
        if depth >= Markdown.maxDepth { return .text(bareText(node)) }
        switch name(node) {
        case "text": return .text(string(cmark_node_get_literal(node)))
        case "softbreak": return .softBreak
        case "linebreak": return .lineBreak
        case "code": return .code(string(cmark_node_get_literal(node)))
        case "html_inline": return .html(string(cmark_node_get_literal(node)))
        case "emph": return .emphasis(inlines(of: node, depth: depth + 1))
        case "strong": return .strong(inlines(of: node, depth: depth + 1))
        case "strikethrough": return .strikethrough(inlines(of: node, depth: depth + 1))
        case "link": return .link(url: string(cmark_node_get_url(node)), inlines(of: node, depth: depth + 1))
        case "image": return .image(url: string(cmark_node_get_url(node)), inlines(of: node, depth: depth + 1))
        default: return .text(bareText(node))
        }
    }

    /// All literal text below a node, without recursion.
    private func bareText(_ node: Node) -> String {
        guard let walk = cmark_iter_new(node) else { return "" }
        defer { cmark_iter_free(walk) }
        var text = ""
        while true {
            let event = cmark_iter_next(walk)
            if event == CMARK_EVENT_DONE { break }
            guard event == CMARK_EVENT_ENTER, let here = cmark_iter_get_node(walk) else {
                if let here = cmark_iter_get_node(walk), ["paragraph", "heading", "item", "table_row"].contains(name(here)), !text.isEmpty, !text.hasSuffix("\n") {
                    text += "\n"
                }
                continue
            }
            switch name(here) {
            case "softbreak", "linebreak": text += "\n"
            default: text += string(cmark_node_get_literal(here))
            }
        }
        while text.hasSuffix("\n") { text.removeLast() }
        return text
    }

    private func children(of parent: Node) -> [Node] {
        var out = [Node]()
        var next = cmark_node_first_child(parent)
        while let node = next {
            out.append(node)
            next = cmark_node_next(node)
        }
        return out
    }

    private func name(_ node: Node) -> String { string(cmark_node_get_type_string(node)) }
    /// The strings belong to the node; they are copied here.
    private func string(_ text: UnsafePointer<CChar>?) -> String { text.map { String(cString: $0) } ?? "" }
}
