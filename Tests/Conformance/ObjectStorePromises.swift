import Foundation
import Platform

/// A fresh, empty object store.
public struct ObjectStoreHarness: Sendable {
    public let store: any ObjectStore
    public let time: ManualTime
    public let reopen: (@Sendable () async throws -> any ObjectStore)?
    public init(store: any ObjectStore, time: ManualTime, reopen: (@Sendable () async throws -> any ObjectStore)? = nil) {
        self.store = store; self.time = time; self.reopen = reopen
    }
}

public enum ObjectStorePromises {
    public static let all: [Promise<ObjectStoreHarness>] = content + conditions + listing + keys + concurrency
    /// For backends that persist.
    public static let afterRestart: [Promise<ObjectStoreHarness>] = [
        promise("objects, etags, content types and cursors outlive a restart") { store, harness in
            for number in 0..<5 { try await store.put(key("u/b/\(number)"), Data("\(number)".utf8), contentType: "text/plain") }
            let info = try await store.head(key("u/b/3"))
            let page = try await store.list("u/b/", delimiter: nil, limit: 2, cursor: nil)
            let again = try await present(harness.reopen, "a harness with reopen")()
            try expect(try await again.head(key("u/b/3"))?.etag, is: info?.etag)
            try expect(try await again.head(key("u/b/3"))?.contentType, is: "text/plain")
            try expect(try await again.bytes(key("u/b/3"), limit: 10), is: Data("3".utf8))
            try expect(
                names(try await again.list("u/b/", delimiter: nil, limit: 9, cursor: page.cursor)),
                is: ["u/b/2", "u/b/3", "u/b/4"])
        }
    ]

    static let content: [Promise<ObjectStoreHarness>] = [
        promise("bytes come back as they were put, with size, etag and content type") { store, _ in
            let bytes = Data((0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
            let put = try await store.put(key("u/b/file.bin"), bytes, contentType: "image/png")
            try expect(put.size, is: 300_000)
            let content = try present(await store.get(key("u/b/file.bin"), range: nil), "the object")
            try expect(content.info.etag, is: put.etag)
            try expect(content.info.contentType, is: "image/png")
            try expect(try await collect(content), is: bytes)
            let head = try present(await store.head(key("u/b/file.bin")), "its head")
            try expect(head.size, is: 300_000)
            try expect(head.etag, is: put.etag)
            try expect(head.key, is: key("u/b/file.bin"))
        },
        promise("a stream of many chunks is stored whole") { store, _ in
            let chunks = AsyncThrowingStream<Data, any Error> { continuation in
                for number in 0..<100 { continuation.yield(Data(repeating: UInt8(number), count: 1000)) }
                continuation.finish()
            }
            try await store.put(key("a/b"), chunks, contentType: nil, if: nil)
            let bytes = try present(await store.bytes(key("a/b"), limit: 200_000), "the object")
            try expect(bytes.count, is: 100_000)
            try expect(bytes[99_999], is: 99)
        },
        promise("an empty object is an object") { store, _ in
            try await store.put(key("a/empty"), Data())
            try expect(try await store.head(key("a/empty"))?.size, is: 0)
            try expect(try await store.bytes(key("a/empty"), limit: 0), is: Data())
        },
        promise("an absent object is nil, deleting it is fine") { store, _ in
            try expect(try await store.head(key("a/b")), is: nil)
            try expect(try await store.get(key("a/b"), range: nil) == nil, "nil for an absent object")
            try expect(try await store.get(key("a/b"), range: 0..<5) == nil, "nil for a range of an absent object")
            try await store.delete(key("a/b"), if: nil)
            try await store.put(key("a/b"), Data("x".utf8))
            try await store.delete(key("a/b"), if: nil)
            try expect(try await store.head(key("a/b")), is: nil)
        },
        promise("the etag changes when the content does") { store, _ in
            let one = try await store.put(key("a/b"), Data("one".utf8))
            let two = try await store.put(key("a/b"), Data("two".utf8))
            try expect(one.etag != two.etag, "another etag for other content")
            try expect(try await store.head(key("a/b"))?.etag, is: two.etag)
            try expect(try await store.bytes(key("a/b"), limit: 10), is: Data("two".utf8))
        },
        promise("ranges are clamped, empty ones are refused with the size") { store, _ in
            try await store.put(key("a/b"), Data("0123456789".utf8))
            for (range, expected) in [(0..<4, "0123"), (3..<5, "34"), (8..<100, "89"), (0..<10, "0123456789"), (9..<10, "9")] {
                let content = try present(await store.get(key("a/b"), range: range), "a range")
                try expect(String(decoding: try await collect(content), as: UTF8.self), is: expected)
                try expect(content.info.size, is: 10, "size of the whole object")
            }
            for range in [10..<20, 5..<5, 100..<101] {
                try await expectThrow(
                    "rangeNotSatisfiable(10) for \(range)",
                    { if case .rangeNotSatisfiable(size: 10) = $0 as? ObjectStoreError { true } else { false } }
                ) {
                    _ = try await store.get(key("a/b"), range: range)
                }
            }
        },
        promise("a put that fails midway leaves the old object whole, or none") { store, _ in
            struct Broken: Error {}
            let old = try await store.put(key("a/b"), Data("old".utf8), contentType: "text/plain")
            for name in ["a/b", "a/new"] {
                let broken = AsyncThrowingStream<Data, any Error> { continuation in
                    continuation.yield(Data(repeating: 1, count: 100_000))
                    continuation.finish(throwing: Broken())
                }
                try await expectThrow("the stream's error", { $0 is Broken }) {
                    try await store.put(key(name), broken, contentType: nil, if: nil)
                }
            }
            try expect(try await store.bytes(key("a/b"), limit: 10), is: Data("old".utf8))
            try expect(try await store.head(key("a/b"))?.etag, is: old.etag)
            try expect(names(try await store.list("a/", delimiter: nil, limit: 10, cursor: nil)), is: ["a/b"])
        },
        promise("reading goes on with the old bytes while they are replaced") { store, _ in
            let old = Data(repeating: 1, count: 400_000)
            try await store.put(key("a/b"), old)
            let content = try present(await store.get(key("a/b"), range: nil), "the object")
            try await store.put(key("a/b"), Data(repeating: 2, count: 400_000))
            try expect(try await collect(content), is: old)
        },
        promise("more than the limit is refused when read whole") { store, _ in
            try await store.put(key("a/b"), Data(repeating: 1, count: 101))
            try await expectThrow("tooLarge", { if case .tooLarge(limit: 100) = $0 as? ObjectStoreError { true } else { false } })
            { _ = try await store.bytes(key("a/b"), limit: 100) }
        },
        promise("probe passes on a working store") { store, _ in try await store.probe() },
    ]

    static let conditions: [Promise<ObjectStoreHarness>] = [
        promise("put if absent creates once") { store, _ in
            let first = try await store.put(key("a/b"), Data("1".utf8), if: .absent)
            try await expectConditionFailed(first.etag) { try await store.put(key("a/b"), Data("2".utf8), if: .absent) }
            try expect(try await store.bytes(key("a/b"), limit: 9), is: Data("1".utf8))
        },
        promise("put if the etag matches replaces only what was seen") { store, _ in
            let first = try await store.put(key("a/b"), Data("1".utf8))
            let second = try await store.put(key("a/b"), Data("2".utf8), if: .matches(etag: first.etag))
            try await expectConditionFailed(second.etag) {
                try await store.put(key("a/b"), Data("3".utf8), if: .matches(etag: first.etag))
            }
            try await expectConditionFailed(nil) {
                try await store.put(key("a/none"), Data("3".utf8), if: .matches(etag: first.etag))
            }
            try expect(try await store.bytes(key("a/b"), limit: 9), is: Data("2".utf8))
            try expect(try await store.head(key("a/none")), is: nil)
        },
        promise("delete if the etag matches deletes only what was seen") { store, _ in
            let first = try await store.put(key("a/b"), Data("1".utf8))
            let second = try await store.put(key("a/b"), Data("2".utf8))
            try await expectConditionFailed(second.etag) { try await store.delete(key("a/b"), if: .matches(etag: first.etag)) }
            try await store.delete(key("a/b"), if: .matches(etag: second.etag))
            try expect(try await store.head(key("a/b")), is: nil)
            try await expectConditionFailed(nil) { try await store.delete(key("a/b"), if: .matches(etag: second.etag)) }
        },
    ]

    static let listing: [Promise<ObjectStoreHarness>] = [
        promise("keys are listed in byte order, only those under the prefix") { store, _ in
            let texts = [
                "u/a", "u/B", "u/a/x", "u/a-", "u/a.txt", "u/é", "u/z/1", "u/a/b/c", "u/😀", "u/0", "u/a b", "u/tg%3A-1/x",
            ]
            for text in texts + ["v/a", "u2/a"] where text != "u/a" { try await store.put(key(text), Data("x".utf8)) }
            let expected = texts.filter { $0 != "u/a" }.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            try expect(names(try await store.list("u/", delimiter: nil, limit: 100, cursor: nil)), is: expected)
            try expect(names(try await store.list("u/a/", delimiter: nil, limit: 100, cursor: nil)), is: ["u/a/b/c", "u/a/x"])
            try expect(names(try await store.list("u/nothing/", delimiter: nil, limit: 100, cursor: nil)), is: [])
        },
        promise("a prefix may end inside of a name") { store, _ in
            for text in ["u/abc", "u/abd/x", "u/b"] { try await store.put(key(text), Data("x".utf8)) }
            try expect(names(try await store.list("u/ab", delimiter: nil, limit: 100, cursor: nil)), is: ["u/abc", "u/abd/x"])
            try expect(names(try await store.list("u/ab", delimiter: "/", limit: 100, cursor: nil)), is: ["u/abc", "u/abd/"])
        },
        promise("a delimiter folds folders into one entry each, still in byte order") { store, _ in
            for text in ["u/a.txt", "u/a/1", "u/a/2", "u/a/deep/3", "u/a0", "u/b/1", "u/c", "u/a-b"] {
                try await store.put(key(text), Data("x".utf8))
            }
            try expect(
                names(try await store.list("u/", delimiter: "/", limit: 100, cursor: nil)),
                is: ["u/a-b", "u/a.txt", "u/a/", "u/a0", "u/b/", "u/c"])
            try expect(
                names(try await store.list("u/a/", delimiter: "/", limit: 100, cursor: nil)), is: ["u/a/1", "u/a/2", "u/a/deep/"])
            try expect(names(try await store.list("", delimiter: "/", limit: 100, cursor: nil)), is: ["u/"])
        },
        promise("pages joined are the whole, folders once") { store, _ in
            for folder in 0..<5 { for file in 0..<4 { try await store.put(key("u/f\(folder)/\(file)"), Data("x".utf8)) } }
            for file in 0..<6 { try await store.put(key("u/f\(file).txt"), Data("x".utf8)) }
            for (delimiter, count) in [("/", 11), (nil, 26)] as [(String?, Int)] {
                for limit in [1, 3, 5, 26, 100] {
                    var found: [String] = [], cursor: String?
                    repeat {
                        let page = try await store.list("u/", delimiter: delimiter, limit: limit, cursor: cursor)
                        try expect(page.entries.count <= limit, "at most \(limit) entries", seen: page.entries.count)
                        found += names(page)
                        cursor = page.cursor
                        try expect(found.count <= count, "no entry twice", seen: found)
                    } while cursor != nil
                    try expect(found.count, is: count)
                    try expect(found, is: found.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
                }
            }
        },
        promise("listed objects carry size and etag") { store, _ in
            let put = try await store.put(key("u/a"), Data("12345".utf8))
            guard case .object(let info)? = try await store.list("u/", delimiter: nil, limit: 10, cursor: nil).entries.first
            else {
                throw PromiseBroken(expected: "an object", seen: "none", line: #line, file: #fileID)
            }
            try expect(info.size, is: 5)
            try expect(info.etag, is: put.etag)
        },
        promise("a made-up cursor is refused, not obeyed") { store, _ in
            try await store.put(key("u/a"), Data("x".utf8))
            try await expectThrow("an error", { $0 is ObjectStoreError }) {
                _ = try await store.list("u/", delimiter: nil, limit: 10, cursor: "../../made-up")
            }
        },
        promise("deleteAll deletes what is under the prefix and nothing else") { store, _ in
            for text in ["u/b/1", "u/b/c/2", "u/b2/3", "u/b.txt", "v/b/1"] { try await store.put(key(text), Data("x".utf8)) }
            try await store.deleteAll("u/b/")
            try await store.deleteAll("u/b/")
            try expect(names(try await store.list("u/", delimiter: nil, limit: 10, cursor: nil)), is: ["u/b.txt", "u/b2/3"])
            try expect(try await store.head(key("v/b/1")) != nil, "v/b/1 is there")
            for prefix in ["", "u", "/", "../", "u/../v/", "u//"] {
                try await expectInvalidKey("deleteAll(\(prefix))") { try await store.deleteAll(prefix) }
            }
        },
    ]

    static let keys: [Promise<ObjectStoreHarness>] = [
        promise("SEC-34 keys that could leave their folder cannot be made") { _, _ in
            let bad = [
                "", "/abs", "a/", "a//b", ".", "..", "../x", "a/../b", "a/./b", "a/..", "a\\..\\b", "a/\u{0}", "a\nb", "a\u{7f}",
                "a\u{85}b", "e\u{301}", String(repeating: "x", count: 1025),
            ]
            for text in bad { try expect((try? ObjectKey(checking: text)) == nil, "a refusal of \(text.debugDescription)") }
            for text in [
                "a", "a/b", "...", "a/.hidden", "..a/b..", "%2e%2e/x", "é/ü", "a b", String(repeating: "x", count: 1024),
            ] { _ = try ObjectKey(checking: text) }
        },
        promise("SEC-34 prefixes that could leave their folder are refused") { store, _ in
            for prefix in ["../", "a/../", "/", "/etc/", "a//", "a/./", "..", "a\\b/", "a\u{0}/"] {
                try await expectInvalidKey("list(\(prefix))") {
                    _ = try await store.list(prefix, delimiter: nil, limit: 10, cursor: nil)
                }
            }
        },
        promise("odd but legal keys are kept apart") { store, _ in
            let texts = [
                "k/...", "k/.hidden", "k/a b", "k/%2e%2e", "k/A", "k/a", "k/*", "k/?x", "k/#", "k/é", "k/\"q\"",
                "k/h-" + String(repeating: "f", count: 64), "k/a:b", "k/~",
            ]
            for text in texts { try await store.put(key(text), Data(text.utf8)) }
            for text in texts { try expect(try await store.bytes(key(text), limit: 100), is: Data(text.utf8)) }
            try expect(
                names(try await store.list("k/", delimiter: nil, limit: 100, cursor: nil)),
                is: texts.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) })
        },
    ]

    static let concurrency: [Promise<ObjectStoreHarness>] = [
        promise("concurrent puts leave one of them, whole") { store, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<16 {
                    group.addTask { try await store.put(key("a/b"), Data(repeating: UInt8(number), count: 50_000 + number)) }
                }
                try await group.waitForAll()
            }
            let bytes = try present(await store.bytes(key("a/b"), limit: 100_000), "the object")
            try expect(Set(bytes).count, is: 1, "one writer's bytes")
            try expect(bytes.count, is: 50_000 + Int(bytes[0]))
            try expect(names(try await store.list("a/", delimiter: nil, limit: 10, cursor: nil)), is: ["a/b"])
        },
        promise("of concurrent puts if absent one wins") { store, _ in
            let winners = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<16 {
                    group.addTask {
                        do {
                            try await store.put(key("a/b"), Data("\(number)".utf8), if: .absent); return 1
                        } catch ObjectStoreError.conditionFailed { return 0 }
                    }
                }
                return try await group.reduce(0, +)
            }
            try expect(winners, is: 1)
        },
        promise("concurrent read-and-replace loses no update") { store, _ in
            try await store.put(key("a/n"), Data("0".utf8))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        while true {
                            let content = try present(await store.get(key("a/n"), range: nil), "the counter")
                            let number = Int(String(decoding: try await collect(content), as: UTF8.self)) ?? 0
                            do {
                                try await store.put(
                                    key("a/n"), Data("\(number + 1)".utf8), if: .matches(etag: content.info.etag));
                                return
                            } catch ObjectStoreError.conditionFailed {}
                        }
                    }
                }
                try await group.waitForAll()
            }
            try expect(try await store.bytes(key("a/n"), limit: 10), is: Data("8".utf8))
        },
    ]

    // MARK: -

    static func promise(_ name: String, _ check: @escaping @Sendable (any ObjectStore, ObjectStoreHarness) async throws -> Void)
        -> Promise<ObjectStoreHarness>
    {
        Promise(name) { try await check($0.store, $0) }
    }
    static func key(_ text: String) throws -> ObjectKey { try ObjectKey(checking: text) }
    static func names(_ page: ObjectPage) -> [String] {
        page.entries.map { entry in
            switch entry {
            case .object(let info): info.key.text
            case .folder(let text): text
            }
        }
    }
    static func collect(_ content: ObjectContent) async throws -> Data {
        var data = Data()
        for try await chunk in content.body { data.append(chunk) }
        return data
    }
    static func expectConditionFailed(_ etag: String?, file: String = #fileID, line: Int = #line, _ body: () async throws -> Void)
        async throws
    {
        try await expectThrow(
            "conditionFailed with \(etag ?? "nothing")", file: file, line: line,
            {
                if case .conditionFailed(let current) = $0 as? ObjectStoreError { current?.etag == etag } else { false }
            }, body)
    }
    static func expectInvalidKey(_ what: String, file: String = #fileID, line: Int = #line, _ body: () async throws -> Void)
        async throws
    {
        try await expectThrow(
            "invalidKey for \(what)", file: file, line: line,
            { if case .invalidKey = $0 as? ObjectStoreError { true } else { false } }, body)
    }
}
