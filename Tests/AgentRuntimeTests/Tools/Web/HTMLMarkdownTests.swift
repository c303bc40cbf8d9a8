import Foundation
import Pace
import Testing

@testable import AgentRuntime

@Suite("HTML as Markdown", .paced)
struct HTMLMarkdownTests {
    private func markdown(_ html: String, base: String? = nil) -> String {
        HTMLMarkdown.page(Array(html.utf8), base: base.flatMap { URL(string: $0) }).text
    }

    @Test(
        "what authors write becomes what readers of Markdown expect",
        arguments: [
            ("<h1>A</h1><p>one <b>two</b> <i>three</i></p><p>four", "# A\n\none **two** *three*\n\nfour"),
            ("a<br>b<hr>c", "a\nb\n\n---\n\nc"),
            ("<ul><li>one<li>two<ul><li>deep</ul></ul>after", "- one\n- two\n  - deep\n\nafter"),
            ("<ol start=3><li>three<li><p>four</p></ol>", "3. three\n4. four"),
            ("<p>see <a href='/x?a=1&amp;b=2'>the page</a>.", "see [the page](https://e.org/x?a=1&b=2)."),
            ("<a href='#top'>up</a> <a href='javascript:x()'>go</a> <a href='x'></a>", "up go"),
            ("<pre><code>if a &lt; b {\n  c\n}</code></pre>", "```\nif a < b {\n  c\n}\n```"),
            ("<p>use <code>rm -rf</code> with care", "use `rm -rf` with care"),
            ("<blockquote><p>one<p>two</blockquote>x", "> one\n\n> two\n\nx"),
            ("<img src=a.png alt='A cat'><img src=b.png>", "![A cat](https://e.org/a.png)"),
            ("<table><tr><th>a<th>b<tr><td>1<td>x|y</table>", "| a | b |\n| --- | --- |\n| 1 | x\\|y |"),
            ("<table><tr><td>only</td></tr></table>", "only"),
            ("<table><tr><td><h2>menu</h2></td><td><p>words</td></tr></table>", "## menu\n\nwords"),
            ("<dl><dt>term<dd>meaning</dl>", "term\n: meaning"),
            ("<div>a</div><div>b</div><section>c</section>", "a\n\nb\n\nc"),
            ("<script>x<y</script><style>p{}</style><svg><text>no</text></svg><p hidden>no</p>yes", "yes"),
            ("<nav>menu</nav><main><p>content</p></main><footer>small print</footer>", "content"),
            ("one\n   two\t three&nbsp;four&#8211;five &lt;tag&gt; &unknown; &copy", "one two three four–five <tag> &unknown; &copy"),
            ("a <!-- <p>no</p> --> b <!doctype html> c", "a b c"),
            ("3 < 4 and 5 <6", "3 < 4 and 5 <6"),
        ])
    func forms(_ html: String, _ expected: String) {
        #expect(markdown(html, base: "https://e.org/dir") == expected)
    }

    @Test("titles are decoded, and no part of the text")
    func title() {
        let page = HTMLMarkdown.page(Array("<html><head><title>A &amp;\n B</title></head><body>text".utf8), base: nil)
        #expect(page == .init(title: "A & B", text: "text"))
    }

    @Test("any bytes give an end, in time that grows with their number")
    func anything() {
        var state: UInt64 = 7
        func random() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let pieces = ["<", ">", "</", "<p>", "<li>", "<ul>", "</ul>", "<table>", "<td>", "</table>", "<a href='x'>", "</a>", "<b>", "</i>", "<!--", "-->", "&", "&#", "\"", "'", "=", "x ", "\n", "<pre>", "<main>", "</p>", "<tr>", "\u{e9}", "<title>", "<script>", "</script>", "<blockquote>", "</div>"]
        for _ in 0..<400 {
            let html = (0..<Int(random() % 60)).map { _ in pieces[Int(random() % UInt64(pieces.count))] }.joined()
            let text = markdown(html)
            #expect(!text.hasPrefix("\n") && !text.contains("<script"))
        }
        // Nesting without end costs no stack, and no square of time.
        #expect(markdown(String(repeating: "<div><ul><li>", count: 4000) + "deep").contains("deep"))
        #expect(markdown(String(repeating: "<table><tr><td>", count: 5000) + "deep").contains("deep"))
        #expect(markdown(String(repeating: "<a href=x>", count: 20_000)).isEmpty)
    }

    @Test("references are resolved as browsers do")
    func entities() {
        #expect(HTMLEntities.decoded("&lt;&#60;&#x3C;&#x3c &#150; &#0; &#x110000; &amp;amp; &; &#; &apos;&euro;") == "<<<< – \u{fffd} \u{fffd} &amp; &; &#; '€")
    }

    @Test(
        "pages in other encodings are read by what names them: the answer, the page, a byte order mark",
        arguments: [
            ([0xe4, 0x93], "iso-8859-1", "ä“"), ([0xc4, 0xe3, 0xba, 0xc3], "GBK", "你好"), ([0x93, 0xfa, 0x96, 0x7b], "Shift_JIS", "日本"),
            ([0xef, 0xbb, 0xbf, 0xc3, 0xa4], "latin1", "ä"), ([0xff, 0xfe, 0x61, 0x00], nil, "a"), ([0xe4], "utf-8", "\u{fffd}"),
            ([0xe4], "no-such-charset", "\u{fffd}"), ([0xcf, 0xf0, 0xe8], "windows-1251", "При"), ([0x82], "gb18030", "\u{fffd}"),
        ] as [([UInt8], String?, String)])
    func encodings(_ bytes: [UInt8], _ charset: String?, _ expected: String) {
        #expect(TextDecoding.text(bytes, charset: charset, isHTML: false) == expected)
    }

    @Test("a page may name its encoding itself")
    func meta() {
        let page = Array("<meta charset='windows-1252'><p>".utf8) + [0x80]
        #expect(TextDecoding.text(page, charset: nil, isHTML: true).hasSuffix("€"))
        #expect(TextDecoding.text(Array("<meta http-equiv=content-type content=\"text/html; charset=koi8-r\">".utf8) + [0xd0], charset: nil, isHTML: true).hasSuffix("п"))
    }
}
