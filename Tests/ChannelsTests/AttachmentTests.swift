import Foundation
import Pace
import Testing

@testable import Channels

@Suite("Files from outside", .paced)
struct AttachmentTests {
    @Test(
        "SEC-39 file names lose what is dangerous",
        arguments: [
            ("../../etc/passwd", "passwd"), ("a/b\\c.txt", "c.txt"), ("...", "file"), ("CON.txt", "_CON.txt"), ("in\u{202e}fdp.exe", "infdp.exe"), (".env", "env"),
            ("x:y?.md", "x_y_.md"), ("a/", "file"), ("", "file"), ("a\u{0}b.txt", "ab.txt"), ("name. . ", "name"), ("e\u{301}.txt", "é.txt"), ("lpt1", "_lpt1"), ("console.log", "console.log"),
            ("com1 .txt", "_com1 .txt"), ("..\\..\\x", "x"), ("tab\there", "tabhere"),
        ])
    func SEC_39_names(name: String, shown: String) { #expect(FileName.shown(name) == shown) }

    @Test("long names keep their extension and never break a character")
    func long() {
        let name = FileName.shown(String(repeating: "é", count: 2000) + ".pdf")
        #expect(name.utf8.count <= 120)
        #expect(name.hasSuffix("é.pdf"))
        #expect(FileName.shown("x." + String(repeating: "y", count: 300)).utf8.count <= 120)
        #expect(FileName.shown("e" + String(repeating: "\u{301}", count: 3000)).utf8.count <= 120)
        #expect(!FileName.shown(String(repeating: "/", count: 4096)).isEmpty)
    }

    @Test("names in object keys are plain ASCII", arguments: [("Übersicht (1).pdf", "_bersicht__1_.pdf"), ("../../x", "x"), ("a b.txt", "a_b.txt"), ("图.png", "_.png")])
    func keys(name: String, key: String) { #expect(FileName.keySafe(name) == key) }

    @Test("equal names of one message are told apart")
    func distinct() { #expect(FileName.distinct(["a.txt", "b", "A.txt", "a.txt", "b"]) == ["a.txt", "b", "A (2).txt", "a (3).txt", "b (2)"]) }

    @Test(
        "types are told by the bytes",
        arguments: [
            ([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], "image/png"), ([0xff, 0xd8, 0xff, 0xe0], "image/jpeg"), (Array("%PDF-1.7".utf8), "application/pdf"),
            (Array("RIFF....WEBPVP8 ".utf8), "image/webp"), (Array("OggS....".utf8), "audio/ogg"), (Array("....ftypM4A ".utf8), "audio/mp4"),
            (Array("plain words".utf8), "text/plain"), (Array("  <!DOCTYPE html><p>".utf8), "text/html"), (Array("<svg onload=x>".utf8), "image/svg+xml"), ([0, 1, 2, 3], "application/octet-stream"),
            ([0xc3, 0x28, 0x41], "application/octet-stream"), ([], "text/plain"), (Array(String(repeating: "é", count: 300).utf8), "text/plain"), (Array(("a" + String(repeating: "é", count: 300)).utf8), "text/plain"),
        ] as [([UInt8], String)])
    func sniffing(bytes: [UInt8], type: String) { #expect(MediaType.sniff(Data(bytes)) == type) }

    @Test("SEC-39 a declared type is only a hint")
    func SEC_39_hints() {
        let html = Data("<html><script>1</script>".utf8)
        #expect(MediaType.resolve(html, hint: "image/png") == "text/html")
        #expect(MediaType.resolve(Data("a,b\n1,2".utf8), hint: "text/csv; charset=utf-8") == "text/csv")
        #expect(MediaType.resolve(Data("a,b".utf8), hint: "text/html") == "text/plain")
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
        #expect(MediaType.resolve(Data([0x50, 0x4b, 3, 4]), hint: docx) == docx)
        #expect(MediaType.resolve(Data([0x50, 0x4b, 3, 4]), hint: "image/png") == "application/zip")
        #expect(MediaType.resolve(Data([0, 1]), hint: "bad\nheader/x") == "application/octet-stream")
    }
}
