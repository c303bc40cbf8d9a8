/// A stretch of output that the packer places: a paragraph, a list item, a code block, a table.
struct Piece: Sendable {
    enum Body: Sendable {
        case flow([StyledRun])
        /// Splits at line ends; each part is a block of its own.
        case code(language: String, text: String, around: [Style])
        /// Splits between rows; the head is repeated.
        case table(head: [String], rows: [String], around: [Style])
    }
    var body: Body
    /// What stands between this piece and the one before it in the same chunk.
    var separator: StyledRun
    /// A heading must not be the last thing of a chunk.
    var keepsWithNext = false
}

/// Lays a Markdown tree out as pieces of styled text.
struct Layout {
    let dialect: any Dialect
    private(set) var pieces: [Piece] = []

    init(_ markdown: Markdown, dialect: any Dialect) {
        self.dialect = dialect
        for block in markdown.blocks { add(block, Place()) }
    }

    /// Where a block stands: styles around it, indent of its lines, what to put before its first line.
    private struct Place {
        var styles: [Style] = []
        var indent = ""
        var marker = ""
        var isTight = false
        /// The separator belongs to what surrounds both neighbours.
        var separatorStyles: [Style] = []
    }

    private mutating func add(_ block: Markdown.Block, _ place: Place) {
        switch block {
        case .heading(_, let inlines):
            append(.flow(flow(inlines, place, extra: [.bold])), place, keepsWithNext: true)
        case .paragraph(let inlines): append(.flow(flow(inlines, place)), place)
        case .html(let text): append(.flow(merged([StyledRun(place.indent + place.marker, place.styles)] + lines(text, place))), place)
        case .rule: append(.flow([StyledRun(place.indent + place.marker + "———", dialect.shown(place.styles))]), place)
        case .code(let info, let text):
            leadMarker(place)
            let language = String(info.prefix { !$0.isWhitespace && $0 != "{" }.prefix(40))
            append(.code(language: language, text: Sanitizer.clean(text), around: place.styles), place)
        case .quote(let blocks):
            leadMarker(place)
            var inside = place
            inside.marker = ""
            inside.indent = ""
            inside.isTight = false
            inside.styles = place.styles.contains(.quote) ? place.styles : [.quote] + place.styles
            for (index, block) in blocks.enumerated() {
                inside.separatorStyles = index == 0 ? place.separatorStyles : inside.styles
                add(block, inside)
            }
        case .list(let list): add(list, place)
        case .table(let table):
            leadMarker(place)
            let text = TableText(table)
            append(.table(head: text.head, rows: text.rows, around: place.styles), place)
        }
    }

    private mutating func add(_ list: Markdown.List, _ place: Place) {
        var number = list.start
        // A list that begins a list item has the outer marker on a line of its own.
        leadMarker(place)
        for (index, item) in list.items.enumerated() {
            let marker = number.map { "\($0). " } ?? "• "
            var first = place
            first.marker = marker
            first.isTight = (index > 0 && list.isTight) || (index == 0 && (place.isTight || !place.marker.isEmpty))
            if index > 0 { first.separatorStyles = place.styles }
            if item.isEmpty { append(.flow([StyledRun(place.indent + marker, dialect.shown(place.styles))]), first) }
            var rest = place
            rest.marker = ""
            rest.indent = place.indent + String(repeating: " ", count: number == nil ? 2 : 3)
            rest.isTight = list.isTight
            rest.separatorStyles = place.styles
            for (index, block) in item.enumerated() { add(block, index == 0 ? first : rest) }
            number = number.map { $0 &+ 1 }
        }
    }

    /// Blocks that cannot carry a list marker on their first line get it on the line before.
    private mutating func leadMarker(_ place: Place) {
        guard !place.marker.isEmpty else { return }
        append(.flow([StyledRun(place.indent + place.marker, dialect.shown(place.styles))]), place, keepsWithNext: true)
    }

    private mutating func append(_ body: Piece.Body, _ place: Place, keepsWithNext: Bool = false) {
        if case .flow(let runs) = body, runs.allSatisfy({ $0.text.isEmpty }) { return }
        let separator = StyledRun(place.isTight ? "\n" : "\n\n", dialect.shown(place.separatorStyles))
        pieces.append(Piece(body: body, separator: separator, keepsWithNext: keepsWithNext))
    }

    // MARK: inlines

    private func flow(_ inlines: [Markdown.Inline], _ place: Place, extra: [Style] = []) -> [StyledRun] {
        var runs = [StyledRun]()
        let lead = place.indent + place.marker
        if !lead.isEmpty { runs.append(StyledRun(lead, place.styles)) }
        let lineIndent = place.indent + String(repeating: " ", count: place.marker.isEmpty ? 0 : (place.marker == "• " ? 2 : 3))
        collect(inlines, place.styles + extra, lineIndent, into: &runs)
        return merged(runs)
    }

    private func collect(_ inlines: [Markdown.Inline], _ styles: [Style], _ indent: String, into runs: inout [StyledRun]) {
        let isInLink = styles.contains { if case .link = $0 { true } else { false } }
        for inline in inlines {
            switch inline {
            case .text(let text): runs.append(StyledRun(Sanitizer.clean(text), styles, isAtomic: isInLink))
            case .code(let text): runs.append(StyledRun(Sanitizer.clean(text), styles + [.code], isAtomic: true))
            case .softBreak, .lineBreak: runs.append(StyledRun("\n" + indent, styles, isAtomic: isInLink))
            case .html(let text):
                let isBreak = ["<br>", "<br/>", "<br />"].contains(text.lowercased())
                runs.append(StyledRun(isBreak ? "\n" + indent : Sanitizer.clean(text), styles, isAtomic: isInLink))
            case .emphasis(let inside): collect(inside, adding(.italic, to: styles), indent, into: &runs)
            case .strong(let inside): collect(inside, adding(.bold, to: styles), indent, into: &runs)
            case .strikethrough(let inside): collect(inside, adding(.strikethrough, to: styles), indent, into: &runs)
            case .link(let url, let inside): link(url, inside, fallback: url, styles, indent, into: &runs)
            case .image(let url, let inside): link(url, inside, fallback: "image", styles, indent, into: &runs)
            }
        }
    }

    private func link(_ url: String, _ inside: [Markdown.Inline], fallback: String, _ styles: [Style], _ indent: String, into runs: inout [StyledRun]) {
        let isNested = styles.contains { if case .link = $0 { true } else { false } }
        var inner = [StyledRun]()
        let target = LinkTarget.checked(url)
        collect(inside, isNested || target == nil ? styles : styles + [.link(target ?? "")], indent, into: &inner)
        let text = inner.map(\.text).joined()
        if text.allSatisfy(\.isWhitespace) {
            inner = [StyledRun(Sanitizer.clean(fallback), isNested || target == nil ? styles : styles + [.link(target ?? "")], isAtomic: true)]
        } else if text == url || "mailto:" + text == url || "http://" + text == url || "https://" + text == url {
            // A bare address: vendors link it themselves, so it needs no entity; it only must not be broken.
            inner = [StyledRun(text, styles, isAtomic: true)]
        }
        for index in inner.indices { inner[index].isAtomic = true }
        runs += inner
    }

    private func adding(_ style: Style, to styles: [Style]) -> [Style] { styles.contains(style) ? styles : styles + [style] }

    private func lines(_ text: String, _ place: Place) -> [StyledRun] {
        [StyledRun(Sanitizer.clean(text).split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n" + place.indent), place.styles)]
    }

    /// Brings styles to what the dialect shows, joins equal neighbours, and takes the sting out of crowd pings.
    private func merged(_ runs: [StyledRun]) -> [StyledRun] {
        var out = [StyledRun]()
        for run in runs where !run.text.isEmpty {
            let styles = dialect.shown(run.styles)
            if let last = out.last, last.styles == styles, last.isAtomic == run.isAtomic, !run.isAtomic || isLink(styles) {
                out[out.count - 1].text += run.text
            } else {
                out.append(StyledRun(run.text, styles, isAtomic: run.isAtomic))
            }
        }
        for index in out.indices { out[index].text = CrowdPing.neutralised(out[index].text) }
        return out
    }

    private func isLink(_ styles: [Style]) -> Bool { styles.contains { if case .link = $0 { true } else { false } } }
}
