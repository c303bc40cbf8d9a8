import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite(.paced) struct FileToolTests {
    // MARK: Read

    @Test("text comes with line numbers, in pages")
    func readLines() async throws {
        try await ToolWorld.run { world in
            try world.put("a.txt", "one\r\ntwo\n\nfour")
            #expect(try await world.read("a.txt").text == "     1\tone\n     2\ttwo\n     3\t\n     4\tfour\n")
            #expect(try await world.read("a.txt", offset: 2, limit: 1).text == "     2\ttwo\n(There is more: read on with offset 3.)\n")
            #expect(try await world.read("a.txt", offset: 9).text.contains("has 4 lines"))
            try world.put("empty", "")
            #expect(try await world.read("empty").text.contains("is empty"))
            try world.put("long", (1...5000).map { "line \($0)\n" }.joined())
            let page = try await world.read("long").text
            #expect(page.contains("  2000\tline 2000\n") && !page.contains("line 2001") && page.contains("offset 2001"))
        }
    }

    @Test("very long lines and very large files are cut to a bounded page")
    func readBounds() async throws {
        try await ToolWorld.run { world in
            try world.put("line", String(repeating: "ü", count: 100_000) + "\nend\n")
            let text = try await world.read("line").text
            #expect(text.count < 2200 && text.contains("cut, 200000 bytes") && text.hasSuffix("     2\tend\n"))
            try world.put("wide", String(repeating: String(repeating: "w", count: 1500) + "\n", count: 2000))
            let wide = try await world.read("wide").text
            #expect(wide.utf8.count < 210_000 && wide.contains("read on with offset"))
            truncate(world.folder + "/wide", 3 << 30)
            #expect(try await world.read("wide", limit: 1).text.hasPrefix("     1\twww"))
        }
    }

    @Test("directories, pipes, devices, binaries and absent files are told apart, and none hangs")
    func readOdd() async throws {
        try await ToolWorld.run { world in
            mkfifo(world.folder + "/fifo", 0o600)
            try world.put("binary", [1, 2, 0, 3])
            try world.put("plain", "text")
            #expect(try await world.read(".").text.hasSuffix("is a directory."))
            #expect(try await world.read("fifo").text.contains("no plain file"))
            #expect(try await world.read("/dev/zero").text.contains("no plain file"))
            #expect(try await world.read("binary").text.contains("binary file of 4 bytes"))
            #expect(try await world.read("absent") == .error("\(world.folder)/absent does not exist."))
            #expect(try await world.read("plain/b").text.contains("no directory"))
            #expect(try await world.read("").isError)
            #expect(try await world.read("/proc/self/status").text.contains("VmRSS"))
            #expect(try await world.write("fifo", "x").text.contains("no plain file"))
            #expect(try await world.edit("fifo", "a", "b").text.contains("no plain file"))
        }
    }

    @Test("images are shown by what they are, not by their name, up to the size that the API takes")
    func images() async throws {
        try await ToolWorld.run { world in
            let png: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] + [UInt8](repeating: 7, count: 20_000)
            try world.put("picture.txt", png)
            let result = try await world.read("picture.txt")
            #expect(result.content.last == .image(mediaType: "image/png", data: Data(png)))
            let block = result.block(for: ToolUse(id: "t", name: "Read", input: .object([:])))
            #expect(block.content.last == .image(.base64(mediaType: "image/png", data: Data(png).base64EncodedString())))
            for (name, start) in [
                ("image/jpeg", [0xff, 0xd8, 0xff, 0xe0]), ("image/gif", Array("GIF89a".utf8)), ("image/webp", Array("RIFF0000WEBP".utf8)),
            ] {
                try world.put("x", start + [0, 1])
                #expect(try await world.read("x").content.last == .image(mediaType: name, data: Data(start + [0, 1])))
            }
            try world.put("large.png", png + [UInt8](repeating: 0, count: 4_000_000))
            #expect(try await world.read("large.png").text.contains("images over"))
        }
    }

    // MARK: Write

    @Test("a file that was not read, or changed since, is not overwritten")
    func writeGuard() async throws {
        try await ToolWorld.run { world in
            #expect(try await world.write("deep/er/new.txt", "1").text.hasPrefix("Made"))
            #expect(try await world.write("deep/er/new.txt", "2").text.hasPrefix("Replaced"))
            try world.put("old.txt", "old")
            #expect(try await world.write("old.txt", "new").text.hasSuffix("has not been read yet. Read it first."))
            _ = try await world.read("old.txt")
            try world.put("old.txt", "changed behind")
            #expect(try await world.write("old.txt", "new").text.hasSuffix("has changed since it was read. Read it again."))
            _ = try await world.read("old.txt")
            #expect(try await world.write("old.txt", "new").isError == false)
            #expect(try world.content("old.txt") == "new")
            #expect(try await world.write("deep", "x").text.hasSuffix("is a directory."))
            #expect(try await world.write("old.txt/x", "x").isError)
            #expect(try FileManager.default.contentsOfDirectory(atPath: world.folder).sorted() == ["deep", "old.txt"])
        }
    }

    @Test("links, modes and other names of a file stay what they were")
    func writeKeeps() async throws {
        try await ToolWorld.run { world in
            try world.put("script.sh", "echo 1\n")
            chmod(world.folder + "/script.sh", 0o750)
            symlink("script.sh", world.folder + "/link")
            link(world.folder + "/script.sh", world.folder + "/other-name")
            _ = try await world.read("link")
            #expect(try await world.write("link", "echo 2\n").isError == false)
            #expect(try world.content("script.sh") == "echo 2\n" && world.content("other-name") == "echo 2\n")
            #expect(FileAccess.status(world.folder + "/link", followingLinks: false)?.kind == .link)
            unlink(world.folder + "/other-name")
            #expect(try await world.write("link", "echo 3\n").isError == false)
            #expect(FileAccess.status(world.folder + "/script.sh")?.mode == 0o750)
            symlink("nowhere", world.folder + "/dangling")
            #expect(try await world.write("dangling", "x").text.contains("does not exist"))
        }
    }

    @Test("a file that is a mount of its own is written in place")
    func writeMount() async throws {
        try await ToolWorld.run { world in
            try world.put("source", "a longer content")
            try world.put("target", "")
            guard try await !world.bash("mount --bind source target 2>/dev/null").isError else { return }
            _ = try await world.read("target")
            let result = try await world.write("target", "new")
            let edited = try await world.edit("target", "new", "newer")
            _ = try await world.bash("umount target")
            #expect(!result.isError && !edited.isError, "\(result.text)")
            #expect(try world.content("source") == "newer" && world.content("target") == "")
            #expect(try FileManager.default.contentsOfDirectory(atPath: world.folder).sorted() == ["source", "target"])
        }
    }

    @Test("a read-only mount and a full disk are told as such, and leave the file whole")
    func writeRefused() async throws {
        try await ToolWorld.run { world in
            try world.put("small/keep", "kept")
            guard try await !world.bash("mount -t tmpfs -o size=64k tmpfs small 2>/dev/null && echo kept > small/keep").isError else { return }
            _ = try await world.read("small/keep")
            let full = try await world.write("small/keep", String(repeating: "x", count: 200_000))
            let content = try world.content("small/keep")
            _ = try await world.bash("mount -o remount,ro small")
            let readOnly = try await world.write("small/keep", "x")
            let new = try await world.write("small/new", "x")
            let folder = try await world.write("small/sub/new", "x")
            _ = try await world.bash("umount small")
            #expect(full.text.contains("disk is full") && content == "kept\n")
            #expect(readOnly.text.contains("read-only") && new.text.contains("read-only") && folder.text.contains("cannot be made"))
        }
    }

    // MARK: Edit

    @Test("an edit is exact and unique")
    func edit() async throws {
        try await ToolWorld.run { world in
            try world.put("a.txt", "one\ntwo\nthree\ntwo\n")
            #expect(try await world.edit("a.txt", "one", "1").text.contains("has not been read yet"))
            _ = try await world.read("a.txt")
            let result = try await world.edit("a.txt", "one\ntwo\nthree", "1\n2")
            #expect(result.text.contains("     1\t1\n     2\t2\n     3\ttwo"))
            #expect(try world.content("a.txt") == "1\n2\ntwo\n")
            #expect(try await world.edit("a.txt", "absent", "x").text.contains("is not in"))
            #expect(try await world.edit("a.txt", "2", "2").text.contains("the same"))
            try world.put("b.txt", "aaaa e\u{301} é")
            _ = try await world.read("b.txt")
            #expect(try await world.edit("b.txt", "aa", "b").text.contains("2 times"))
            #expect(try await world.edit("b.txt", "aa", "b", all: true).text.contains("2 places"))
            // Two spellings of one character are two texts.
            #expect(try await world.edit("b.txt", "é", "E").isError == false)
            #expect(try Array(world.content("b.txt").utf8) == Array("bb e\u{301} E".utf8))
            #expect(try await world.edit("absent", "a", "b").text.hasSuffix("does not exist."))
        }
    }

    @Test("line ends of Windows are kept, an empty old_string makes a file, and change in between is seen")
    func editEdges() async throws {
        try await ToolWorld.run { world in
            try world.put("w.txt", "one\r\ntwo\r\nthree\r\n")
            _ = try await world.read("w.txt")
            #expect(try await world.edit("w.txt", "one\ntwo", "1\n2").isError == false)
            #expect(try Array(world.content("w.txt").utf8) == Array("1\r\n2\r\nthree\r\n".utf8))
            #expect(try await world.edit("new.txt", "", "made").isError == false)
            #expect(try world.content("new.txt") == "made")
            #expect(try await world.edit("new.txt", "", "again").text.contains("not empty"))
            try world.put("new.txt", "changed")
            #expect(try await world.edit("new.txt", "changed", "x").text.contains("has changed since"))
            try world.put("bytes", [0x61, 0xff, 0x62])
            _ = try await world.read("bytes")
            #expect(try await world.edit("bytes", "a", "c").isError == false)
            #expect(try Data(contentsOf: URL(filePath: world.folder + "/bytes")) == Data([0x63, 0xff, 0x62]))
        }
    }

    // MARK: Glob

    @Test(
        "globs match as shells and ripgrep do",
        arguments: [
            ("*.swift", ["a.swift"]), ("**/*.swift", ["a.swift", "src/b.swift", "src/deep/c.swift"]), ("src/*.swift", ["src/b.swift"]),
            ("src/**", ["src/b.swift", "src/deep/c.swift", "src/deep/d.txt"]), ("**/d?p/*.{swift,txt}", []),
            ("**/dee?/*.{swift,txt}", ["src/deep/c.swift", "src/deep/d.txt"]),
            ("[ab].swift", ["a.swift"]), ("[!a].swift", []), (".hidden/*", [".hidden/h.txt"]),
            ("**/[b-c].swift", ["src/b.swift", "src/deep/c.swift"]),
            ("./a.swift", ["a.swift"]), ("**/**/c*", ["src/deep/c.swift"]),
        ])
    func glob(pattern: String, expected: [String]) async throws {
        try await ToolWorld.run { world in
            for path in ["a.swift", "src/b.swift", "src/deep/c.swift", "src/deep/d.txt", ".hidden/h.txt", ".git/objects/a.swift"] {
                try world.put(path, "x")
            }
            symlink(".", world.folder + "/loop")
            mkfifo(world.folder + "/pipe.swift", 0o600)
            let result = try await world.call(GlobTool(), ["pattern": .string(pattern)])
            let found =
                result.text == "No file matches." ? [] : result.text.split(separator: "\n").map { $0.dropFirst(world.folder.count + 1) }.sorted()
            #expect(found.map(String.init) == expected)
            let absolute = try await world.call(GlobTool(), ["pattern": .string(world.folder + "/" + pattern), "path": "/nowhere"])
            #expect(absolute == result)
        }
    }

    @Test("the newest files come first, and only so many")
    func globOrder() async throws {
        try await ToolWorld.run { world in
            for index in 0..<120 {
                try world.put("f\(index)", "")
                try world.setModified("f\(index)", Double(1_000_000 + index))
            }
            let lines = try await world.call(GlobTool(), ["pattern": "f*"]).text.split(separator: "\n")
            #expect(lines.count == 101 && lines[0].hasSuffix("/f119") && lines[99].hasSuffix("/f20") && lines[100].contains("20 more"))
            #expect(try await world.call(GlobTool(), ["pattern": "*", "path": "f1"]).isError)
            #expect(try await world.call(GlobTool(), ["pattern": .string(String(repeating: "{a,b}", count: 20))]).isError)
        }
    }
}
