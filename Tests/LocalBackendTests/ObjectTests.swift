import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import LocalBackend

@Suite("Objects as files", .paced)
struct ObjectTests {
    private let scratch = Scratch()
    private func store(openat2: Bool = true) throws -> FileObjectStore { try FileObjectStore(directory: scratch["objects"], logger: quiet, usesOpenat2: openat2) }
    private func names(_ page: ObjectPage) -> [String] {
        page.entries.map { entry in
            switch entry {
            case .object(let info): info.key.text
            case .folder(let text): text
            }
        }
    }

    @Test("what an agent writes into the mounted directory is an object, and an edit in place changes the etag")
    func mounted() async throws {
        let store = try store()
        let directory = try #require(try await store.localDirectory("u/b/workspace/g/"))
        try Data("hello".utf8).write(to: directory.appendingPathComponent("note.md"))
        let info = try #require(try await store.head(key("u/b/workspace/g/note.md")))
        #expect(info.size == 5 && info.contentType == "text/markdown; charset=utf-8")
        let put = try await store.put(key("u/b/workspace/g/put.txt"), Data("12345".utf8))
        let file = try #require(try await store.localFile(key("u/b/workspace/g/put.txt")))
        let handle = try FileHandle(forWritingTo: file)
        try handle.write(contentsOf: Data("54321".utf8))
        try handle.close()
        #expect(try await store.head(key("u/b/workspace/g/put.txt"))?.etag != put.etag)
        await #expect(throws: ObjectStoreError.self) { try await store.put(key("u/b/workspace/g/put.txt"), Data("x".utf8), if: .matches(etag: put.etag)) }
        #expect(try await store.bytes(key("u/b/workspace/g/put.txt"), limit: 10) == Data("54321".utf8))
    }

    @Test("very long segments, names that differ in case only and every length around the limit are kept apart and listed in order")
    func longNames() async throws {
        let store = try store()
        var keys = ["k/A", "k/a", "k/" + String(repeating: "é", count: 400), "k/" + String(repeating: "😀", count: 200) + "/deep"]
        for length in [239, 240, 241, 254, 255, 256, 257, 480, 481, 482, 1000] { keys.append("k/" + String(repeating: "x", count: length)) }
        keys.append("k/" + String(repeating: "x", count: 600) + "/inner")
        for text in keys { try await store.put(key(text), Data(text.utf8)) }
        for text in keys { #expect(try await store.bytes(key(text), limit: 2000) == Data(text.utf8)) }
        let sorted = keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        var found: [String] = [], cursor: String?
        repeat {
            let page = try await store.list("k/", delimiter: nil, limit: 3, cursor: cursor)
            found += names(page)
            cursor = page.cursor
        } while cursor != nil
        #expect(found == sorted)
        try await store.delete(key(keys[5]), if: nil)
        #expect(try await store.head(key(keys[5])) == nil)
    }

    @Test("an object cannot take a folder's place, an empty folder gives way, and nothing lies beneath an object")
    func folders() async throws {
        let store = try store()
        try await store.put(key("u/a/b"), Data("x".utf8))
        await #expect(throws: ObjectStoreError.self) { try await store.put(key("u/a"), Data("x".utf8)) }
        await #expect(throws: ObjectStoreError.self) { try await store.put(key("u/a/b/c"), Data("x".utf8)) }
        #expect(try await store.head(key("u/a")) == nil)
        try await store.delete(key("u/a/b"), if: nil)
        #expect(names(try await store.list("u/", delimiter: "/", limit: 10, cursor: nil)) == [])
        try await store.put(key("u/a"), Data("y".utf8))
        #expect(names(try await store.list("u/", delimiter: "/", limit: 10, cursor: nil)) == ["u/a"])
    }

    @Test("deleteAll removes what an agent made, links and very deep folders included, and keeps the folder itself for who has it mounted")
    func deleteAll() async throws {
        let store = try store()
        let outside = scratch["outside"]
        try FileManager.default.createDirectory(at: outside, withIntermediateDirectories: true)
        try Data("safe".utf8).write(to: outside.appendingPathComponent("file"))
        let directory = try #require(try await store.localDirectory("u/b/"))
        try FileManager.default.createSymbolicLink(at: directory.appendingPathComponent("link"), withDestinationURL: outside)
        try FileManager.default.createSymbolicLink(at: directory.appendingPathComponent("dangling"), withDestinationURL: URL(fileURLWithPath: "/nowhere"))
        // Deeper than any path may be long: made step by step, as a shell can.
        var descriptor = open(directory.path, O_RDONLY | O_DIRECTORY)
        for _ in 0..<3000 {
            mkdirat(descriptor, "deep", 0o755)
            let next = openat(descriptor, "deep", O_RDONLY | O_DIRECTORY)
            close(descriptor)
            descriptor = next
        }
        close(descriptor)
        try await store.put(key("u/b/x/y"), Data("x".utf8))
        try await store.put(key("u/c"), Data("x".utf8))
        #expect(names(try await store.list("u/", delimiter: nil, limit: 10, cursor: nil)) == ["u/b/x/y", "u/c"])
        try await store.deleteAll("u/b/")
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
        #expect(try Data(contentsOf: outside.appendingPathComponent("file")) == Data("safe".utf8))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch["objects"].appendingPathComponent("uploads").path).isEmpty)
        #expect(try await store.head(key("u/c")) != nil)
    }

    @Test("SEC-35 links, FIFOs, devices and files with several names are refused, left out of listings, and nothing hangs", arguments: [true, false])
    func SEC_35_odd(openat2: Bool) async throws {
        let store = try store(openat2: openat2)
        let outside = scratch["outside"]
        try FileManager.default.createDirectory(at: outside, withIntermediateDirectories: true)
        try Data("canary".utf8).write(to: outside.appendingPathComponent("secret"))
        let directory = try #require(try await store.localDirectory("u/b/")).path
        func name(_ text: String) -> String { directory + "/" + text }
        symlink(outside.path + "/secret", name("file-link"))
        symlink(outside.path, name("dir-link"))
        symlink("../../../../outside/secret", name("relative-link"))
        mkfifo(name("fifo"), 0o644)
        mknod(name("device"), S_IFCHR | 0o644, 0x103)
        link(outside.path + "/secret", name("hard-link"))
        try Data("mine".utf8).write(to: URL(fileURLWithPath: name("plain")))
        for odd in ["file-link", "relative-link", "fifo", "device", "hard-link", "dir-link"] where access(name(odd), F_OK) == 0 {
            await #expect(throws: ObjectStoreError.self, "\(odd)") { try await store.head(key("u/b/\(odd)")) }
            await #expect(throws: ObjectStoreError.self, "\(odd)") { try await store.get(key("u/b/\(odd)"), range: nil) }
            await #expect(throws: ObjectStoreError.self, "\(odd)") { try await store.localFile(key("u/b/\(odd)")) }
        }
        // Beneath a linked directory there is nothing, and nothing can be put there.
        #expect((try? await store.head(key("u/b/dir-link/secret")))?.size == nil)
        await #expect(throws: ObjectStoreError.self) { try await store.put(key("u/b/dir-link/new"), Data("x".utf8)) }
        await #expect(throws: ObjectStoreError.self) { try await store.localDirectory("u/b/dir-link/") }
        #expect(!FileManager.default.fileExists(atPath: outside.path + "/new"))
        #expect(names(try await store.list("u/b/", delimiter: nil, limit: 100, cursor: nil)) == ["u/b/plain"])
        #expect(names(try await store.list("u/b/", delimiter: "/", limit: 100, cursor: nil)) == ["u/b/plain"])
        // A put over a link replaces the link, not what it points to.
        try await store.put(key("u/b/file-link"), Data("new".utf8))
        #expect(try Data(contentsOf: outside.appendingPathComponent("secret")) == Data("canary".utf8))
        #expect(try await store.bytes(key("u/b/file-link"), limit: 10) == Data("new".utf8))
    }

    @Test("SEC-35 an agent that swaps a directory for a link 1000 times gets nothing read from or written to the outside", arguments: [true, false])
    func SEC_35_race(openat2: Bool) async throws {
        let store = try store(openat2: openat2)
        let outside = scratch["outside"]
        try FileManager.default.createDirectory(at: outside, withIntermediateDirectories: true)
        try Data("canary".utf8).write(to: outside.appendingPathComponent("file"))
        let before = try FileManager.default.attributesOfItem(atPath: outside.appendingPathComponent("file").path)[.modificationDate] as? Date
        let directory = try #require(try await store.localDirectory("u/b/")).path
        try await store.put(key("u/b/sub/file"), Data("inside".utf8))
        let swaps = Shared(0), stops = Shared(false), leaks = Shared<[String]>([])
        let swapper = Thread {
            symlink(outside.path, directory + "/link")
            // The directory and the link change places: sub is now one, now the other, or for a moment absent.
            while !stops.withLock({ $0 }) {
                rename(directory + "/sub", directory + "/away")
                rename(directory + "/link", directory + "/sub")
                rename(directory + "/sub", directory + "/link")
                rename(directory + "/away", directory + "/sub")
                swaps.withLock { $0 += 1 }
            }
        }
        swapper.start()
        var tries = 0
        while swaps.withLock({ $0 < 1000 }) || tries < 200 {
            tries += 1
            if let data = try? await store.bytes(key("u/b/sub/file"), limit: 100), data == Data("canary".utf8) { leaks.withLock { $0.append("read") } }
            _ = try? await store.put(key("u/b/sub/planted"), Data("planted".utf8))
            if let page = try? await store.list("u/b/sub/", delimiter: nil, limit: 10, cursor: nil) {
                for case .object(let info) in page.entries where info.size == 6 && info.key.name == "file" {
                    // Both have six bytes: the etag's inode tells which one it was.
                    let inode = (try? FileManager.default.attributesOfItem(atPath: outside.appendingPathComponent("file").path)[.systemFileNumber] as? Int) ?? 0
                    if info.etag.hasPrefix(String(inode, radix: 36) + "-") { leaks.withLock { $0.append("list") } }
                }
            }
            try? await store.delete(key("u/b/sub/planted"), if: nil)
        }
        stops.withLock { $0 = true }
        try await eventually { swapper.isFinished }
        #expect(leaks.withLock { $0 } == [])
        #expect(try FileManager.default.contentsOfDirectory(atPath: outside.path) == ["file"])
        #expect(try Data(contentsOf: outside.appendingPathComponent("file")) == Data("canary".utf8))
        #expect(try FileManager.default.attributesOfItem(atPath: outside.appendingPathComponent("file").path)[.modificationDate] as? Date == before)
    }

    @Test("a listing of a large tree reads only the folders on its way")
    func lazy() async throws {
        let store = try store()
        for folder in 0..<30 { try await store.put(key("u/f\(folder)/x"), Data("x".utf8)) }
        let tree = try ObjectTree(directory: scratch["objects"])
        var walk = ObjectWalk(tree: tree, prefix: "u/", folds: false, after: "u/f2/x", limit: 2) { key, state in
            ObjectInfo(key: key, size: state.size, etag: state.etag, lastModified: state.modified)
        }
        try walk.run()
        #expect(walk.found.map(\.key.text) == ["u/f20/x", "u/f21/x"])
        #expect(walk.directoriesRead <= 4)
    }

    @Test("a big object streams through both ways, whole and in part")
    func big() async throws {
        let store = try store()
        let chunk = Data((0..<100_003).map { UInt8(truncatingIfNeeded: $0) })
        let left = Shared(60)
        try await store.put(key("u/big"), ByteStream { left.withLock { left in left -= 1; return left >= 0 ? chunk : nil } }, contentType: nil, if: nil)
        let content = try #require(try await store.get(key("u/big"), range: 3_000_000..<5_000_000))
        var count = 0, sum = 0
        for try await part in content.body { count += part.count; sum += part.reduce(0) { $0 + Int($1) } }
        #expect(content.info.size == 60 * chunk.count && count == 2_000_000)
        #expect(sum == (3_000_000..<5_000_000).reduce(0) { $0 + Int(chunk[$1 % chunk.count]) })
    }

    @Test("what a killed process left half is cleared at the next start, and no listing shows it")
    func leftovers() async throws {
        let store = try store()
        try await store.put(key("u/a"), Data("x".utf8))
        let uploads = scratch["objects"].appendingPathComponent("uploads")
        try Data("half".utf8).write(to: uploads.appendingPathComponent("upload-1"))
        try FileManager.default.createDirectory(at: uploads.appendingPathComponent("trash-1/a/b"), withIntermediateDirectories: true)
        #expect(names(try await store.list("", delimiter: nil, limit: 10, cursor: nil)) == ["u/a"])
        _ = try self.store()
        #expect(try FileManager.default.contentsOfDirectory(atPath: uploads.path).isEmpty)
        try await store.probe()
        #expect(try FileManager.default.contentsOfDirectory(atPath: uploads.path).isEmpty)
    }

    @Test("a full disk is a sentence, and the old object stays whole")
    func full() async throws {
        let mount = scratch["mount"]
        try FileManager.default.createDirectory(at: mount, withIntermediateDirectories: true)
        guard try shell("/bin/mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount.path) else { return }
        defer { _ = try? shell("/bin/umount", "-l", mount.path) }
        let store = try FileObjectStore(directory: mount.appendingPathComponent("objects"), logger: quiet)
        try await store.put(key("u/a"), Data("old".utf8))
        let error = await #expect(throws: ObjectStoreError.self) { try await store.put(key("u/a"), Data(repeating: 1, count: 3_000_000)) }
        #expect("\(error!)".contains("full"))
        #expect(try await store.bytes(key("u/a"), limit: 10) == Data("old".utf8))
        #expect(try FileManager.default.contentsOfDirectory(atPath: mount.path + "/objects/uploads").isEmpty)
    }
}
