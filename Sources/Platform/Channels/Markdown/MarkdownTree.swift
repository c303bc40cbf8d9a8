/// Markdown as values: what every dialect renders from. Made by ``Markdown/parse(_:)``.
public struct Markdown: Sendable, Hashable {
    public var blocks: [Block]
    public init(blocks: [Block]) { self.blocks = blocks }

    public indirect enum Block: Sendable, Hashable {
        case heading(level: Int, [Inline])
        case paragraph([Inline])
        /// `info` is the fence's info string; empty for an indented block. `text` has no final line feed.
        case code(info: String, text: String)
        case quote([Block])
        case list(List)
        case table(Table)
        case rule
        /// Raw HTML; shown as the text that it is, never interpreted.
        case html(String)
    }

    public struct List: Sendable, Hashable {
        /// Number of the first item; nil for a bullet list.
        public var start: Int?
        /// No blank lines between the items.
        public var isTight: Bool
        public var items: [[Block]]
    }

    public struct Table: Sendable, Hashable {
        public enum Alignment: Sendable, Hashable { case none, left, center, right }
        public var alignments: [Alignment]
        public var header: [[Inline]]
        public var rows: [[[Inline]]]
    }

    public indirect enum Inline: Sendable, Hashable {
        case text(String)
        case code(String)
        case emphasis([Inline])
        case strong([Inline])
        case strikethrough([Inline])
        case link(url: String, [Inline])
        case image(url: String, [Inline])
        case softBreak
        case lineBreak
        case html(String)
    }
}
