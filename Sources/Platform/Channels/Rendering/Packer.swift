import Foundation

/// Cuts a reply into chunks that a channel accepts (CHANNELS.md §1.5). Pure and deterministic.
public struct Packer: Sendable {
    let dialect: any Dialect
    let maxChunks: Int
    /// A block too long for one chunk starts in the present one only if this share of the limit is still free.
    private static let worthStarting = 3

    public init(dialect: any Dialect, maxChunks: Int = 10) { self.dialect = dialect; self.maxChunks = maxChunks }

    /// No chunks for a text that shows nothing. More than `maxChunks` → the first one and the whole text as `reply.md`.
    public func chunks(_ text: String) -> [Chunk] {
        guard Sanitizer.isVisible(text) else { return [] }
        let isHuge = text.utf8.count > Markdown.maxBytes
        var chunks = pack(Markdown.parse(isHuge ? String(text.unicodeScalars.prefix(32_768)) : text))
        if chunks.isEmpty { chunks = pack(Markdown.plain(text)) }
        guard isHuge || chunks.count > maxChunks, let first = chunks.first else { return chunks }
        return [first, Chunk(text: "reply.md", plain: "reply.md", file: .init(name: "reply.md", content: Data(text.utf8)))]
    }

    private func pack(_ markdown: Markdown) -> [Chunk] {
        let pieces = Layout(markdown, dialect: dialect).pieces
        var builder = ChunkBuilder(dialect: dialect)
        var index = 0
        while index < pieces.count, builder.chunks.count <= maxChunks {
            var last = index
            while last < pieces.count - 1, pieces[last].keepsWithNext { last += 1 }
            place(pieces[index...last], in: &builder)
            index = last + 1
        }
        builder.flush()
        return builder.chunks
    }

    /// Places headings together with the piece that they head.
    private func place(_ group: ArraySlice<Piece>, in builder: inout ChunkBuilder) {
        var whole = [StyledRun]()
        for piece in group { whole += (whole.isEmpty ? [] : [piece.separator]) + runs(of: piece) }
        let separator = group.first.map(\.separator) ?? StyledRun("\n\n")
        if builder.append(whole, after: separator) { return }
        if dialect.extent(whole).fits(in: dialect.limit) {
            builder.flush()
            _ = builder.append(whole, after: separator)
            return
        }
        let heads = group.dropLast().flatMap { [$0.separator] + runs(of: $0) }
        if builder.freeUnits - dialect.extent(heads).units < dialect.limit.units / Self.worthStarting { builder.flush() }
        for piece in group { split(piece, into: &builder) }
    }

    private func runs(of piece: Piece) -> [StyledRun] {
        switch piece.body {
        case .flow(let runs): runs
        case .code(let language, let text, let around): [block(text, language, around)]
        case .table(let head, let rows, let around): [block((head + rows).joined(separator: "\n"), "", around)]
        }
    }

    private func block(_ text: String, _ language: String, _ around: [Style]) -> StyledRun {
        // An empty block cannot be written in most dialects; a space can.
        StyledRun(text.isEmpty ? " " : CrowdPing.neutralised(text), dialect.shown(around + [.block(language: language)]))
    }

    private func split(_ piece: Piece, into builder: inout ChunkBuilder) {
        switch piece.body {
        case .flow(let runs): builder.fill(with: runs, at: .sentences, after: piece.separator)
        case .code: builder.fill(with: runs(of: piece), at: .lines, after: piece.separator)
        case .table(let head, let rows, let around):
            // A head that takes half a chunk is not repeated.
            let headExtent = dialect.extent([block(head.joined(separator: "\n"), "", around)])
            let repeated = headExtent.units * 2 < dialect.limit.units ? head : []
            var part = head
            func placed(_ lines: [String], _ builder: inout ChunkBuilder) -> Bool {
                builder.append([block(lines.joined(separator: "\n"), "", around)], after: piece.separator)
            }
            var extent = dialect.extent([block(part.joined(separator: "\n"), "", around)])
            for row in rows {
                let more = dialect.extent(of: ("\n" + row)[...], in: dialect.shown(around + [.block(language: "")]))
                if (extent + more).fits(in: builder.free(after: piece.separator)) {
                    part.append(row)
                    extent += more
                    continue
                }
                if part.count > repeated.count || part == head, !part.isEmpty, part.count > head.count || repeated.isEmpty {
                    if !placed(part, &builder) { builder.fill(with: [block(part.joined(separator: "\n"), "", around)], at: .lines, after: piece.separator) }
                }
                builder.flush()
                part = repeated + [row]
                extent = dialect.extent([block(part.joined(separator: "\n"), "", around)])
                if !extent.fits(in: dialect.limit) {
                    builder.fill(with: [block(part.joined(separator: "\n"), "", around)], at: .lines, after: piece.separator)
                    builder.flush()
                    part = repeated
                    extent = dialect.extent([block(part.joined(separator: "\n"), "", around)])
                }
            }
            if part.count > repeated.count || rows.isEmpty, !part.isEmpty, !placed(part, &builder) {
                builder.fill(with: [block(part.joined(separator: "\n"), "", around)], at: .lines, after: piece.separator)
            }
        }
    }
}

/// The chunks made so far and the one being filled.
struct ChunkBuilder {
    enum Breaks { case sentences, lines }
    let dialect: any Dialect
    private(set) var chunks: [Chunk] = []
    private var runs: [StyledRun] = []
    private var meter: Meter

    init(dialect: any Dialect) {
        self.dialect = dialect
        meter = Meter(dialect: dialect)
    }

    var freeUnits: Int { dialect.limit.units - meter.total.units }
    func free(after separator: StyledRun) -> Extent {
        runs.isEmpty ? dialect.limit : dialect.limit - meter.total - meter.cost(of: separator.text[...], separator.styles)
    }

    /// Adds runs that fit as a whole; otherwise changes nothing and returns false.
    mutating func append(_ added: [StyledRun], after separator: StyledRun) -> Bool {
        var trial = meter
        if !runs.isEmpty { trial.add(separator.text[...], separator.styles) }
        for run in added { trial.add(run.text[...], run.styles) }
        guard trial.total.fits(in: dialect.limit) else { return false }
        if !runs.isEmpty { runs.append(separator) }
        runs += added
        meter = trial
        return true
    }

    mutating func flush() {
        defer { runs = []; meter = Meter(dialect: dialect) }
        guard runs.contains(where: { Sanitizer.isVisible($0.text) }) else { return }
        chunks.append(Chunk(text: dialect.write(runs), plain: PlainText.write(runs, limit: dialect.limit.units)))
    }

    /// Adds runs over as many chunks as they need.
    mutating func fill(with added: [StyledRun], at breaks: Breaks, after separator: StyledRun) {
        var rest = RunSplitter(dialect: dialect, runs: added, breaks: breaks)
        while !rest.isEmpty {
            var start = meter
            if !runs.isEmpty { start.add(separator.text[...], separator.styles) }
            let part = rest.take(from: start, mayForce: runs.isEmpty)
            if part.isEmpty {
                // Nothing fits behind what is there already; in an empty chunk something always does.
                if runs.isEmpty { break }
                flush()
                continue
            }
            if !append(part, after: separator) {
                flush()
                _ = append(part, after: separator)
            }
            if !rest.isEmpty { flush() }
        }
    }
}
