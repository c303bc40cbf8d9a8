import Foundation
import Pace
import Testing

@testable import Platform

@Suite("Archives", .paced)
struct ArchiveTests {
    private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("clawbot-archive-\(UUID().uuidString)")
    private let key = Secret("a passphrase of enough length")

    init() throws { try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true) }

    private func write(_ name: String, passphrase: Secret?, big: Int = 200_000) throws -> String {
        let path = folder.appendingPathComponent(name).path
        let archive = try ArchiveWriter(path: path, about: ["kind": "test"], passphrase: passphrase)
        try archive.add(name: "small", Array("canary-7f3a".utf8))
        try archive.add(ArchiveEntry(name: "folder", kind: .folder, mode: 0o755, modified: 1_700_000_000))
        try archive.add(ArchiveEntry(name: "folder/link", kind: .link(target: "../small"), mode: 0o777))
        try archive.add(name: "folder/" + String(repeating: "long ünicode ", count: 20), [1, 2, 3])
        try archive.add(name: "empty", [])
        try archive.add(name: "big", (0..<big).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try archive.finish()
        return path
    }

    @Test("what was written is read: names, kinds, modes, content", arguments: [true, false])
    func roundTrip(sealed: Bool) throws {
        let reader = try ArchiveReader(path: write("a", passphrase: sealed ? key : nil), passphrase: sealed ? key : nil)
        #expect(reader.about["kind"] == "test")
        var seen: [String] = []
        while let entry = try reader.next() {
            seen.append(entry.name)
            switch entry.name {
            case "small": #expect(try reader.content() == Data("canary-7f3a".utf8))
            case "folder": #expect(entry.kind == .folder && entry.mode == 0o755 && entry.modified == 1_700_000_000)
            case "folder/link": #expect(entry.kind == .link(target: "../small"))
            case "big": #expect(try reader.content().count == 200_000)
            default: break
            }
        }
        #expect(seen.count == 6 && seen.contains("empty"))
    }

    @Test("an archive without a key is a tar file")
    func tar() throws {
        let path = try write("plain.tar", passphrase: nil)
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/tar")
        process.arguments = ["-xOf", path, "small"]
        process.standardOutput = output
        try process.run()
        #expect(output.fileHandleForReading.readDataToEndOfFile() == Data("canary-7f3a".utf8))
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }

    @Test("SEC-127 an encrypted backup shows nothing of its content and opens with its key only")
    func sealed() throws {
        let path = try write("sealed", passphrase: key)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        for word in ["canary", "small", "clawbot-backup", "manifest"] { #expect(bytes.range(of: Data(word.utf8)) == nil) }
        #expect(throws: ArchiveError.wrongKey(path)) { try ArchiveReader.verify(path: path, passphrase: Secret("another passphrase, long enough")) }
        #expect(throws: ArchiveError.keyNeeded(path)) { try ArchiveReader.verify(path: path, passphrase: nil) }
        #expect(throws: ArchiveError.weakKey) { try write("weak", passphrase: Secret("short")) }
        #expect(!FileManager.default.fileExists(atPath: folder.appendingPathComponent("weak").path))
    }

    @Test("one that was cut short anywhere is refused", arguments: [true, false])
    func truncated(sealed: Bool) throws {
        let path = try write("t", passphrase: sealed ? key : nil, big: 3000)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let cut = folder.appendingPathComponent("cut")
        // A key costs a good part of a second: fewer places there.
        let places = sealed ? [0, 20, 51, 52, 60, bytes.count / 2, bytes.count - 1] : Array(stride(from: 0, to: bytes.count, by: 97)) + [bytes.count - 1]
        for length in places {
            try bytes.prefix(length).write(to: cut)
            #expect(throws: ArchiveError.self, "cut at \(length) of \(bytes.count)") { try ArchiveReader.verify(path: cut.path, passphrase: key) }
        }
        try (bytes + Data([0])).write(to: cut)
        #expect(throws: ArchiveError.self) { try ArchiveReader.verify(path: cut.path, passphrase: key) }
    }

    @Test("a single flipped bit anywhere is noticed", arguments: [true, false])
    func flipped(sealed: Bool) throws {
        let path = try write("f", passphrase: sealed ? key : nil, big: 1000)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        let changed = folder.appendingPathComponent("changed")
        let places = sealed ? [0, 17, 25, 40, 52, 300, bytes.count - 1] : Array(stride(from: 0, to: bytes.count, by: 11))
        for place in places {
            var copy = bytes
            copy[place] ^= 1 << (place % 8)
            try copy.write(to: changed)
            #expect(throws: ArchiveError.self, "bit in byte \(place)") { try ArchiveReader.verify(path: changed.path, passphrase: key) }
        }
        #expect(try ArchiveReader.verify(path: path, passphrase: key).entries == 6)
    }

    @Test("a writer that is given up leaves nothing, and none replaces a file that is there")
    func partial() throws {
        let path = folder.appendingPathComponent("p").path
        let archive = try ArchiveWriter(path: path, about: [:], passphrase: nil)
        try archive.add(name: "x", [1])
        #expect(!FileManager.default.fileExists(atPath: path))
        archive.abandon()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
        _ = try write("p", passphrase: nil)
        #expect(throws: ArchiveError.exists(path)) { try ArchiveWriter(path: path, about: [:], passphrase: nil) }
    }

    @Test("a file that gives less than was announced ends the writing")
    func short() throws {
        let archive = try ArchiveWriter(path: folder.appendingPathComponent("s").path, about: [:], passphrase: nil)
        #expect(throws: ArchiveError.self) { try archive.add(ArchiveEntry(name: "x", kind: .file(size: 5))) { nil } }
        for name in ["../x", "/x", "a//b", "a/./b", ""] { #expect(throws: ArchiveError.self) { try archive.add(name: name, []) } }
    }

    @Test("a list of deletions is read back, and a line that is none is refused")
    func deletions() throws {
        let list = [Deletion(kind: .bot, id: "B", userId: "U", purgeAt: Date(timeIntervalSince1970: 1_800_000_000)), Deletion(kind: .user, id: "U", userId: nil, purgeAt: Date(timeIntervalSince1970: 0))]
        #expect(try Deletion.parse(Deletion.text(list), source: "x") == list)
        #expect(throws: ArchiveError.self) { try Deletion.parse("{\"kind\":\"bot\"}\n", source: "x") }
    }
}
