import Foundation
import Pace
import Platform
import Testing

@testable import Channels

@Suite("Rendering for Telegram", .paced)
struct RenderingTests {
    private func render(_ text: String) -> [Chunk] { Fixture.adapter().render(text, for: Fixture.group) }
    private func html(_ text: String) -> String { render(text).map(\.text).joined(separator: "\n---\n") }

    @Test("the vector of the design renders as it says")
    func vector() {
        #expect(html(#"**a<b** [x](https://e.x/?a=1&b="2")"#) == #"<b>a&lt;b</b> <a href="https://e.x/?a=1&amp;b=&quot;2&quot;">x</a>"#)
    }

    @Test(
        "each Markdown form has its Telegram form",
        arguments: [
            ("*i* ~~s~~ `c<d`", "<i>i</i> <s>s</s> <code>c&lt;d</code>"),
            ("# Title\n\ntext", "<b>Title</b>\n\ntext"),
            ("```swift\nlet a = 1 < 2\n```", "<pre><code class=\"language-swift\">let a = 1 &lt; 2</code></pre>"),
            ("    plain", "<pre>plain</pre>"),
            ("> quoted\n> > twice", "<blockquote>quoted\n\ntwice</blockquote>"),
            ("- a\n- b\n  1. c\n  2. d", "• a\n• b\n  1. c\n  2. d"),
            ("7. a\n8. b", "7. a\n8. b"),
            ("a\n\n---\n\nb", "a\n\n———\n\nb"),
            ("![alt](https://e.x/i.png)", "<a href=\"https://e.x/i.png\">alt</a>"),
            ("[x](javascript:alert(1)) [y](tg://user?id=1) [z](mailto:a@b.c)", "x <a href=\"tg://user?id=1\">y</a> <a href=\"mailto:a@b.c\">z</a>"),
            ("<b>raw</b> & &amp;", "&lt;b&gt;raw&lt;/b&gt; &amp; &amp;"),
            ("see https://e.x/a_b_c and a@b.co", "see https://e.x/a_b_c and a@b.co"),
            ("**bold `code` bold**", "<b>bold </b><code>code</code><b> bold</b>"),
            ("[`name`](https://e.x)", "<a href=\"https://e.x\">name</a>"),
            ("| a | b |\n|---|--:|\n| 1 | 22 |", "<pre>a |  b\n--+---\n1 | 22</pre>"),
            ("one<br>two", "one\ntwo"),
        ])
    func forms(markdown: String, expected: String) { #expect(html(markdown) == expected) }

    @Test("a text that shows nothing has no chunks", arguments: ["", " \n\t", "\u{200b}\u{200d}", "\u{0}\u{1}"])
    func nothing(text: String) { #expect(render(text).isEmpty) }

    @Test("lengths are UTF-16 units", arguments: [("a👍b", 4), ("👩‍👩‍👧", 8), ("é", 1)])
    func units(text: String, length: Int) { #expect(TelegramDialect().extent(of: text[...], in: []).units == length) }

    @Test("4,096 visible units are one chunk, whatever the tags weigh; one more are two")
    func limit() throws {
        let full = String(repeating: "👍", count: 2047) + "ab"
        #expect(render("**\(full)**").count == 1)
        let chunks = render("**\(full)c**")
        #expect(chunks.count == 2)
        for chunk in chunks { #expect(try StrictHTML(chunk.text).visible.utf16.count <= 4096) }
    }

    @Test("a heading stays with the block after it")
    func headings() throws {
        let filler = String(repeating: "word ", count: 790)
        let chunks = render("\(filler)\n\n## The heading\n\n\(String(repeating: "next ", count: 100))")
        #expect(chunks.count == 2)
        #expect(chunks[1].text.hasPrefix("<b>The heading</b>"))
        let long = render("\(filler)\n\n## The heading\n\n\(String(repeating: "next ", count: 1500))")
        #expect(try #require(long.first { $0.text.contains("heading") }).text.contains("next"))
    }

    @Test("a long code fence is split at line ends, each piece with its language")
    func fences() throws {
        let lines = (0..<400).map { "let value\($0) = \($0) // <&>" }
        let chunks = render("```swift\n\(lines.joined(separator: "\n"))\n```")
        #expect(chunks.count > 2)
        var seen = [Substring]()
        for chunk in chunks {
            #expect(chunk.text.hasPrefix("<pre><code class=\"language-swift\">"))
            #expect(chunk.text.hasSuffix("</code></pre>"))
            seen += try StrictHTML(chunk.text).visible.split(separator: "\n")
        }
        #expect(seen.map(String.init) == lines)
    }

    @Test("a long table is split between rows and its header repeated")
    func tables() throws {
        let rows = (0..<300).map { "| \($0) | row number \($0) |" }
        let chunks = render("| n | what |\n|---|---|\n\(rows.joined(separator: "\n"))")
        #expect(chunks.count > 1)
        var body = [String]()
        for chunk in chunks {
            let lines = try StrictHTML(chunk.text).visible.split(separator: "\n").map(String.init)
            #expect(lines[0].hasPrefix("n   | what"))
            #expect(lines[1].hasPrefix("----+---"))
            body += lines.dropFirst(2)
        }
        #expect(body.count == 300)
        #expect(body.last == "299 | row number 299")
    }

    @Test("a long paragraph is split behind a sentence, never inside a grapheme, a link or code")
    func paragraphs() throws {
        let sentences = (0..<200).map { "Sentence number \($0) is here." }.joined(separator: " ")
        for chunk in render(sentences).dropLast() { #expect(chunk.text.hasSuffix(".")) }
        let link = "[the very link](https://e.x/path)"
        let linked = String(repeating: "x", count: 4090) + " " + link + " " + String(repeating: "y", count: 4090) + " `inline code` end"
        let chunks = render(linked)
        #expect(chunks.contains { $0.text.contains("<a href=\"https://e.x/path\">the very link</a>") })
        #expect(chunks.contains { $0.text.contains("<code>inline code</code>") })
        let family = String(repeating: "👩‍👩‍👧", count: 1200)
        #expect(render(family).map { $0.text.count }.reduce(0, +) == 1200)
    }

    @Test("more than ten chunks become the first one and the whole text as a file")
    func overlong() throws {
        let text = (0..<2000).map { "Paragraph \($0) with some words in it." }.joined(separator: "\n\n")
        let chunks = render(text)
        #expect(chunks.count == 2)
        #expect(chunks[0].text.hasPrefix("Paragraph 0"))
        #expect(chunks[1].file?.name == "reply.md")
        #expect(chunks[1].file?.content == Data(text.utf8))
    }

    @Test("more than a hundred formatted spans are spread over chunks")
    func entities() throws {
        let chunks = render((0..<350).map { "**b\($0)** x" }.joined(separator: " "))
        #expect(chunks.count == 4)
        for chunk in chunks { #expect(try StrictHTML(chunk.text).entities <= 100) }
    }

    @Test("model text cannot ping a crowd", arguments: ["@everyone", "@here", "<!channel>", "<at user_id=\"all\">", "`@everyone`", "a @HERE b", "@**everyone**"])
    func pings(text: String) {
        for chunk in render(text) {
            for shown in [chunk.text.replacing("&lt;", with: "<"), chunk.plain] {
                for ping in ["@everyone", "@here", "<!channel", "<at "] { #expect(!shown.lowercased().contains(ping)) }
            }
        }
        #expect(render("ann@example.com, @ann").first?.plain == "ann@example.com, @ann")
    }

    @Test("the plain form has no marks and shows where links lead")
    func plain() {
        #expect(render("**b** [x](https://e.x) <i> https://e.y").first?.plain == "b x (https://e.x) <i> https://e.y")
        #expect(render("**b**").first?.unformatted.isPlain == true)
    }

    @Test("a chunk that was too long is split at 60 percent")
    func resplit() {
        let chunk = Chunk(text: "", plain: String(repeating: "word ", count: 400))
        let parts = Fixture.adapter().resplit(chunk)
        #expect(parts.count == 2)
        #expect(parts.allSatisfy { $0.plain.utf16.count <= 1200 && $0.isPlain })
    }

    @Test("any Markdown gives well-formed chunks within the limits that hold all of the text, and the same ones again", arguments: 0..<60)
    func anything(seed: Int) throws {
        var random = SeededGenerator(seed: UInt64(seed + 1))
        let text = MarkdownGenerator.document(&random, blocks: 4 + seed)
        var dialect = TelegramDialect()
        if seed % 2 == 0 { dialect.limit.units = 60 + seed * 9 }
        let again = Packer(dialect: dialect, maxChunks: .max)
        let chunks = again.chunks(text)
        var joined = ""
        for chunk in chunks {
            let parsed = try StrictHTML(chunk.text)
            #expect(parsed.visible.utf16.count <= dialect.limit.units)
            #expect(parsed.entities <= 100)
            #expect(parsed.visible.contains { !$0.isWhitespace })
            #expect(chunk.plain.utf16.count <= dialect.limit.units)
            joined += parsed.visible
        }
        dialect.limit = Extent(units: Extent.unlimited, bytes: Extent.unlimited, entities: Extent.unlimited)
        let whole = try StrictHTML(try #require(Packer(dialect: dialect).chunks(text).first).text).visible
        func bare(_ text: String) -> String { String(text.unicodeScalars.filter { !$0.properties.isWhitespace && $0 != "\u{200b}" }.map(Character.init)) }
        let isComplete = bare(joined) == bare(whole)
        #expect(isComplete, "seed \(seed)")
        let isRepeatable = again.chunks(text) == chunks
        #expect(isRepeatable, "seed \(seed)")
    }

    @Test("hostile Markdown is rendered in time and memory that follow its length", arguments: HostileMarkdown.all.keys.sorted())
    func hostile(name: String) throws {
        let text = try #require(HostileMarkdown.all[name])
        let start = ContinuousClock.now
        let chunks = render(text)
        // Debug builds on a loaded machine are slow; a quadratic walk would take minutes.
        #expect(ContinuousClock.now - start < .seconds(20))
        for chunk in chunks where chunk.file == nil {
            let parsed = try StrictHTML(chunk.text)
            #expect(parsed.visible.utf16.count <= 4096)
        }
    }
}

/// Inputs that made Markdown parsers or renderers quadratic, or that no chunk limit foresees.
enum HostileMarkdown {
    static let all: [String: String] = [
        "quotes": repeated(">", 60_000), "lists": repeated("- ", 30_000), "numbers": repeated("1. ", 20_000), "brackets": repeated("[", 60_000), "images": repeated("![a](", 20_000),
        "emphasis": repeated("*a_ ", 20_000), "strong": repeated("**", 40_000), "tildes": repeated("~", 60_000), "addresses": repeated("a@", 40_000), "tags": repeated("<", 60_000),
        "ticks": repeated("`", 60_000), "fences": repeated("```\n", 20_000), "marks on one letter": "e" + repeated("\u{301}", 60_000), "headings": repeated("# h\n", 20_000),
        "wide table": repeated("|", 30_000) + "\n" + repeated("|-", 30_000) + "\n" + repeated("a\n", 30_000),
        "table with one long cell": "|a|b|\n|-|-|\n|" + repeated("x", 50_000) + "|y|\n" + repeated("|1|2|\n", 5_000), "one long word": repeated("a", 2_000_000), "zeros": repeated("\u{0}", 50_000) + "x",
    ]
    private static func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }
}

/// Random Markdown with everything that is hard to cut.
enum MarkdownGenerator {
    private static let words = [
        "word", "a", "**bold text**", "*it*", "~~gone~~", "`code`", "[link text](https://e.x/?a=1&b=2)", "👩‍👩‍👧", "漢字かな交じり文", "<tag>", "&amp;", "&", "a<b", "naïve", "e\u{301}",
        "https://e.x/very/long/path_with_underscores", "supercalifragilisticexpialidocious", "![img](https://e.x/i.png)", "sentence.", "end!", "@everyone", "\\*", "x@y.zz", "***both***",
        "\n", "  \n", "**half", "`tick", "مرحبا", "¼",
    ]
    private static func line(_ random: inout SeededGenerator, _ count: Int) -> String {
        (0..<Int.random(in: 1...count, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }.joined(separator: " ")
    }
    static func document(_ random: inout SeededGenerator, blocks: Int) -> String {
        (0..<blocks).map { _ -> String in
            switch Int.random(in: 0..<9, using: &random) {
            case 0: return "## " + line(&random, 4).replacing("\n", with: " ")
            case 1: return "```js\n" + (0..<Int.random(in: 1...60, using: &random)).map { "  line \($0) <&> \"x\"" }.joined(separator: "\n") + "\n```"
            case 2: return (0..<Int.random(in: 1...12, using: &random)).map { _ in "- " + line(&random, 8).replacing("\n", with: " ") }.joined(separator: "\n")
            case 3: return "> " + line(&random, 40).replacing("\n", with: "\n> ")
            case 4: return (1...Int.random(in: 1...6, using: &random)).map { "\($0). " + line(&random, 5).replacing("\n", with: " ") + "\n   - inner " + line(&random, 3).replacing("\n", with: " ") }.joined(separator: "\n")
            case 5: return String(repeating: "longword", count: Int.random(in: 1...400, using: &random))
            case 6: return "---"
            default: return line(&random, 250)
            }
        }.joined(separator: "\n\n")
    }
}
