import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("PDFs in Read", .paced)
struct PDFTests {
    /// A program in the place of pdftotext, which not every machine has: writes what it was asked for into its last argument.
    private static let program = """
        #!/bin/sh
        for last; do :; done
        case "$*" in *broken*) echo "Syntax Error: no trailer" >&2; exit 1;; esac
        printf 'args %s\\fsecond page\\f' "$*" > "$last"
        """

    private func withProgram(_ world: inout ToolWorld) throws {
        try world.put("bin/pdftotext", Self.program)
        chmod(world.folder + "/bin/pdftotext", 0o755)
        world.context.environment["PATH"] = world.folder + "/bin:/usr/bin:/bin"
    }

    @Test("a model that takes documents gets the file itself")
    func document() async throws {
        try await ToolWorld.run { world in
            world.context.takesDocuments = true
            try world.put("a.pdf", "%PDF-1.7\n%%EOF")
            let result = try await world.read("a.pdf")
            #expect(result.content.last == .document(mediaType: "application/pdf", data: Data("%PDF-1.7\n%%EOF".utf8), title: "a.pdf"))
            let block = result.block(for: ToolUse(id: "t", name: "Read", input: [:]))
            #expect(try JSON.value(JSON.encode(block.content.last!))["source"]?["media_type"] == "application/pdf")
        }
    }

    @Test("another model, a large file or a choice of pages gets its text by pages")
    func text() async throws {
        try await ToolWorld.run { world in
            try withProgram(&world)
            try world.put("a.pdf", "%PDF-1.7\n%%EOF")
            #expect(try await world.read("a.pdf").text.contains("--- Page 1 ---\nargs -layout -enc UTF-8 -f 1 -- \(world.folder)/a.pdf"))
            world.context.takesDocuments = true
            let pages = try await world.call(ReadTool(), ["file_path": "a.pdf", "pages": "3-7"]).text
            #expect(pages.contains("--- Page 3 ---\nargs -layout -enc UTF-8 -f 3 -l 7") && pages.hasSuffix("--- Page 4 ---\nsecond page"))
            world.context.limits.documentBytes = 5
            #expect(try await world.read("a.pdf").text.contains("--- Page 2 ---"))
            world.context.limits.readBytes = 20
            #expect(try await world.read("a.pdf").text.contains("go on with `pages` from 2"))
            for bad in ["0", "5-2", "x", "1-", "-3"] {
                #expect(try await world.call(ReadTool(), ["file_path": "a.pdf", "pages": .string(bad)]).text.contains("a page or a range"))
            }
            try world.put("plain.txt", "x")
            #expect(try await world.call(ReadTool(), ["file_path": "plain.txt", "pages": "1"]).text.contains("for PDFs only"))
        }
    }

    @Test("a broken file and an absent program are told as such")
    func trouble() async throws {
        try await ToolWorld.run { world in
            try withProgram(&world)
            try world.put("broken.pdf", "%PDF-1.7")
            #expect(try await world.read("broken.pdf").text.contains("cannot be read: Syntax Error: no trailer"))
            world.context.environment["PATH"] = "/nowhere"
            #expect(try await world.read("broken.pdf").text.contains("pdftotext, which would read it, is not installed"))
        }
    }
}
