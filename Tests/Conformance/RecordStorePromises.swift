import Foundation
import Platform

/// A fresh, empty record store.
public struct RecordStoreHarness: Sendable {
    public let store: any RecordStore
    public let time: ManualTime
    /// Opens the same data again; nil where the backend does not outlive its object.
    public let reopen: (@Sendable () async throws -> any RecordStore)?
    public init(store: any RecordStore, time: ManualTime, reopen: (@Sendable () async throws -> any RecordStore)? = nil) {
        self.store = store; self.time = time; self.reopen = reopen
    }
}

public enum RecordStorePromises {
    /// The table that the checks use; they `prepare` it themselves.
    public static let table = Table("promises", indexes: [byState, byOwner, byNumber], expires: true)
    public static let byState = Table.Index("state-index", partition: "state", sort: "at")
    public static let byOwner = Table.Index("owner-index", partition: "owner")
    public static let byNumber = Table.Index("number-index", partition: "pk", sort: "number")

    public static let all: [Promise<RecordStoreHarness>] =
        reading + writing + conditions + changes + querying + transactions + expiry + concurrency
    /// For backends that persist.
    public static let afterRestart: [Promise<RecordStoreHarness>] = [
        promise("records, expiries and cursors outlive a restart") { store, harness in
            try await fill(store, 7)
            try await store.put(key("p", "x"), ["state": "kept"], expiresAt: harness.time.now() + 100)
            let first = try await store.query(RecordQuery(table, partition: "p", limit: 3))
            let again = try await present(harness.reopen, "a harness with reopen")()
            let rest = try await pages(
                again, RecordQuery(table, partition: "p", limit: 3, cursor: present(first.cursor, "a cursor")))
            try expect((first.records + rest).map(\.key.sort), is: (0..<7).map { "s\($0)" } + ["x"])
            harness.time.advance(by: .seconds(101))
            try expect(try await again.get(key("p", "x")) == nil, "the record expired after the restart")
        }
    ]

    // MARK: Reading and writing

    static let reading: [Promise<RecordStoreHarness>] = [
        promise("what was put is read back, every type of value exactly") { store, _ in
            let document: Document = [
                "null": .null, "true": true, "int": .int(.max), "negative": .int(.min), "double": .double(0.1),
                "text": "a\"\\\n\u{0}é😀\u{2028}",
                "list": .array([1, "a", .array([]), .object([:])]),
                "map": .object(["a.b": 1, "": "empty name", "ü": .array([.null])]), "empty": "",
            ]
            try await store.put(key("p#:/", "s %'é"), document)
            let found = try present(await store.get(key("p#:/", "s %'é")), "the record")
            try expect(found.document, is: document)
            try expect(found.key, is: key("p#:/", "s %'é"))
            try expect(found.expiresAt, is: nil)
        },
        promise("an absent record is nil") { store, _ in
            try await store.put(key("p", "s"), [:])
            try expect(try await store.get(key("p", "t")), is: nil)
            try expect(try await store.get(key("q", "s")), is: nil)
        },
        promise("tables do not share records") { store, _ in
            let other = Table("promises2", expires: true)
            try await store.prepare([other])
            try await store.put(key("p", "s"), ["a": 1])
            try expect(try await store.get(RecordKey(other, "p", "s")), is: nil)
        },
        promise("preparing tables again changes nothing") { store, _ in
            try await store.put(key("p", "s"), ["a": 1])
            try await store.prepare([table])
            try expect(try await store.get(key("p", "s"))?.document, is: ["a": 1])
        },
        promise("batchGet takes any number of keys, repeated and absent ones too") { store, _ in
            try await fill(store, 230)
            let keys = (0..<260).map { key("p", "s\($0)") } + [key("p", "s0"), key("p", "s0")]
            let found = try await store.batchGet(keys)
            try expect(found.count, is: 230)
            try expect(found[key("p", "s229")]?.document["n"], is: 229)
            try expect(try await store.batchGet([]).count, is: 0)
        },
        promise("a scan meets every live record of its table once") { store, harness in
            for p in 0..<4 { for s in 0..<6 { try await store.put(key("p\(p)", "s\(s)"), ["n": .int(s)]) } }
            try await store.put(key("p9", "gone"), [:], expiresAt: harness.time.now() + 1)
            harness.time.advance(by: .seconds(2))
            var seen: [RecordKey] = [], cursor: String?
            repeat {
                let page = try await store.scan(table, limit: 5, cursor: cursor)
                try expect(page.records.count <= 5, "at most 5 records in a page", seen: page.records.count)
                seen += page.records.map(\.key)
                cursor = page.cursor
            } while cursor != nil
            try expect(seen.count, is: 24)
            try expect(Set(seen).count, is: 24)
        },
        promise("probe passes on a working store") { store, _ in try await store.probe() },
    ]

    static let writing: [Promise<RecordStoreHarness>] = [
        promise("put replaces the whole record, its expiry too") { store, harness in
            try await store.put(key("p", "s"), ["a": 1, "b": 2], expiresAt: harness.time.now() + 50)
            try await store.put(key("p", "s"), ["c": 3])
            let found = try present(await store.get(key("p", "s")), "the record")
            try expect(found.document, is: ["c": 3])
            try expect(found.expiresAt, is: nil)
        },
        promise("before and after are returned as asked") { store, _ in
            let k = key("p", "s")
            try expect(try await store.write(.put(k, ["a": 1]), returning: .before), is: nil)
            try expect(try await store.write(.put(k, ["a": 2]), returning: .before)?.document, is: ["a": 1])
            try expect(try await store.write(.put(k, ["a": 3]), returning: .after)?.document, is: ["a": 3])
            try expect(try await store.write(.update(k, [.add("a", 1)]), returning: .before)?.document, is: ["a": 3])
            try expect(try await store.write(.update(k, [.add("a", 1)]), returning: .after)?.document, is: ["a": 5])
            try expect(try await store.write(.update(k, [.add("a", 1)]), returning: .nothing), is: nil)
            try expect(try await store.write(.delete(k), returning: .before)?.document, is: ["a": 6])
            try expect(try await store.write(.delete(k), returning: .before), is: nil)
            try await store.put(k, ["a": 1])
            try expect(try await store.write(.delete(k), returning: .after), is: nil)
        },
        promise("an update of an absent record fails and makes none") { store, _ in
            try await expectConditionFailed(current: nil) { try await store.update(key("p", "s"), [.set("a", 1)]) }
            try expect(try await store.get(key("p", "s")), is: nil)
        },
        promise("an update with orCreate makes the record") { store, _ in
            let after = try await store.update(key("p", "s"), [.set("a", 1), .add("n", 2)], orCreate: true)
            try expect(after.document, is: ["a": 1, "n": 2])
            try expect(try await store.get(key("p", "s")), is: after)
        },
        promise("deleting what is absent is fine") { store, _ in
            try await store.delete(key("p", "s"))
            try await store.put(key("p", "s"), [:])
            try await store.delete(key("p", "s"))
            try expect(try await store.get(key("p", "s")), is: nil)
        },
        promise("a failed condition is a typed error with the record as it is, and writes nothing") { store, _ in
            let k = key("p", "s")
            try await store.put(k, ["a": 1])
            try await expectConditionFailed(current: ["a": 1]) { try await store.put(k, ["a": 9], if: .recordAbsent) }
            try await expectConditionFailed(current: ["a": 1]) { try await store.update(k, [.set("a", 9)], if: .equals("a", 2)) }
            try await expectConditionFailed(current: ["a": 1]) { try await store.delete(k, if: .equals("a", 2)) }
            try await expectConditionFailed(current: nil) { try await store.delete(key("p", "none"), if: .recordExists) }
            try await expectConditionFailed(current: nil) {
                try await store.update(key("p", "none"), [], orCreate: true, if: .recordExists)
            }
            try expect(try await store.get(k)?.document, is: ["a": 1])
        },
        promise("writes that can never succeed are refused as such") { store, _ in
            let k = key("p", "s")
            try await expectInvalid("over 380 KB") {
                try await store.put(k, ["a": .string(String(repeating: "x", count: 381 * 1024))])
            }
            try await store.put(k, ["a": .string(String(repeating: "x", count: 200 * 1024))])
            try await expectInvalid("an update that grows past 380 KB") {
                try await store.update(k, [.set("b", .string(String(repeating: "x", count: 200 * 1024)))])
            }
            var deep = Value.int(1)
            for _ in 0..<40 { deep = .array([deep]) }
            try await expectInvalid("nested 40 deep") { try await store.put(k, ["a": deep]) }
            try await expectInvalid("an infinite number") { try await store.put(k, ["a": .double(.infinity)]) }
            try await expectInvalid("an empty sort key") { try await store.put(key("p", ""), [:]) }
            try await expectInvalid("an empty or") { try await store.put(k, [:], if: .or([])) }
            try await expectInvalid("an empty or inside") { try await store.put(k, [:], if: .and([.not(.or([]))])) }
            try await expectInvalid("overlapping paths") { try await store.update(k, [.set("m", 1), .set("m.x", 1)]) }
            try expect(try await store.get(k)?.document.keys.sorted(), is: ["a"])
        },
        promise("a record just under 380 KB is stored") { store, _ in
            try await store.put(key("p", "s"), ["a": .string(String(repeating: "x", count: 379 * 1024))])
            try expect(try await store.get(key("p", "s"))?.document["a"]?.string?.utf8.count, is: 379 * 1024)
        },
    ]

    // MARK: Transactions

    static let transactions: [Promise<RecordStoreHarness>] = [
        promise("a transaction writes all of its kinds together") { store, _ in
            try await store.put(key("p", "old"), ["n": 1])
            try await store.put(key("p", "dead"), [:])
            try await store.put(key("p", "guard"), ["open": true])
            try await store.transact([
                .put(key("p", "new"), ["a": 1], if: .recordAbsent), .update(key("p", "old"), [.add("n", 1)], if: .equals("n", 1)),
                .delete(key("p", "dead"), if: .recordExists), .check(key("p", "guard"), if: .equals("open", true)),
            ])
            try expect(try await store.get(key("p", "new"))?.document, is: ["a": 1])
            try expect(try await store.get(key("p", "old"))?.document, is: ["n": 2])
            try expect(try await store.get(key("p", "dead")), is: nil)
            try expect(try await store.get(key("p", "guard"))?.document, is: ["open": true])
        },
        promise("a transaction whose condition fails writes nothing and names the write") { store, _ in
            try await store.put(key("p", "b"), ["n": 1])
            let error = try await expectThrow("conditionFailed", { $0 is RecordStoreError }) {
                try await store.transact([
                    .put(key("p", "a"), ["n": 1]), .update(key("p", "b"), [.add("n", 1)]),
                    .check(key("p", "b2"), if: .recordExists), .delete(key("p", "b3")),
                ])
            }
            guard case .conditionFailed(index: 2, current: nil) = error as? RecordStoreError else {
                throw PromiseBroken(
                    expected: "conditionFailed(index: 2, current: nil)", seen: "\(error)", line: #line, file: #fileID)
            }
            try expect(try await store.get(key("p", "a")), is: nil)
            try expect(try await store.get(key("p", "b"))?.document, is: ["n": 1])
        },
        promise("a failed check carries the current record") { store, _ in
            try await store.put(key("p", "b"), ["n": 7])
            try await expectThrow(
                "conditionFailed(index: 1) with the record",
                {
                    guard case .conditionFailed(index: 1, let current?) = $0 as? RecordStoreError else { return false }
                    return current.document == ["n": 7]
                }
            ) { try await store.transact([.put(key("p", "a"), [:]), .check(key("p", "b"), if: .equals("n", 8))]) }
        },
        promise("a transaction that cannot be written is refused whole") { store, _ in
            let many = (0..<26).map { RecordWrite.put(key("p", "s\($0)"), [:]) }
            try await expectInvalid("26 writes") { try await store.transact(many) }
            try await store.transact(Array(many.prefix(25)))
            try expect(try await store.query(RecordQuery(table, partition: "p", limit: 100)).records.count, is: 25)
            try await expectInvalid("one record twice") {
                try await store.transact([.put(key("p", "x"), [:]), .check(key("p", "x"), if: .recordAbsent)])
            }
            try await expectInvalid("a missing parent in the second write") {
                try await store.transact([.put(key("p", "x"), [:]), .update(key("p", "s0"), [.set("no.parent", 1)])])
            }
            try expect(try await store.get(key("p", "x")), is: nil)
        },
        promise("an empty transaction is fine") { store, _ in try await store.transact([]) },
    ]

    // MARK: Expiry

    static let expiry: [Promise<RecordStoreHarness>] = [
        promise("an expired record is absent everywhere, swept or not") { store, harness in
            let end = harness.time.now() + 10, k = key("p", "s")
            try await store.put(k, ["state": "x", "at": "1", "owner": "o"], expiresAt: end)
            try expect(try await store.get(k)?.expiresAt, is: Date(timeIntervalSince1970: end.timeIntervalSince1970.rounded(.up)))
            harness.time.advance(by: .seconds(12))
            try expect(try await store.get(k), is: nil)
            try expect(try await store.batchGet([k]).count, is: 0)
            try expect(try await store.query(RecordQuery(table, partition: "p")).records.count, is: 0)
            try expect(try await store.query(RecordQuery(table, index: byState, partition: "x")).records.count, is: 0)
            try expect(try await store.query(RecordQuery(table, index: byOwner, partition: "o")).records.count, is: 0)
            try await expectConditionFailed(current: nil) { try await store.update(k, [.set("a", 1)]) }
            try await expectConditionFailed(current: nil) { try await store.delete(k, if: .exists("state")) }
            try await expectConditionFailed(current: nil) { try await store.transact([.check(k, if: .recordExists)]) }
            try expect(try await store.write(.delete(k), returning: .before), is: nil)
        },
        promise("over an expired record put-if-absent and orCreate start afresh") { store, harness in
            try await store.put(key("p", "a"), ["old": 1], expiresAt: harness.time.now() + 10)
            try await store.put(key("p", "b"), ["old": 1], expiresAt: harness.time.now() + 10)
            harness.time.advance(by: .seconds(12))
            try await store.put(key("p", "a"), ["new": 1], if: .recordAbsent)
            try expect(try await store.get(key("p", "a"))?.document, is: ["new": 1])
            let b = try await store.update(key("p", "b"), [.add("n", 1)], orCreate: true)
            try expect(b.document, is: ["n": 1])
            try expect(b.expiresAt, is: nil)
        },
        promise("an update keeps the expiry unless it sets one") { store, harness in
            let k = key("p", "s"), start = Date(timeIntervalSince1970: harness.time.now().timeIntervalSince1970.rounded(.up))
            try await store.put(k, [:], expiresAt: start + 10)
            try expect(try await store.update(k, [.set("a", 1)]).expiresAt, is: start + 10)
            try expect(try await store.update(k, [.set("a", 2)], expiresAt: start + 100).expiresAt, is: start + 100)
            harness.time.advance(by: .seconds(50))
            try expect(try await store.get(k)?.document, is: ["a": 2])
        },
    ]

    // MARK: Concurrency

    static let concurrency: [Promise<RecordStoreHarness>] = [
        promise("fifty concurrent adds are counted exactly") { store, _ in
            try await store.put(key("p", "n"), ["n": 0])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<50 { group.addTask { try await store.update(key("p", "n"), [.add("n", 1)]) } }
                try await group.waitForAll()
            }
            try expect(try await store.get(key("p", "n"))?.document["n"], is: 50)
        },
        promise("of fifty concurrent conditional creates one wins") { store, _ in
            let winners = try await withThrowingTaskGroup(of: Int?.self) { group in
                for number in 0..<50 {
                    group.addTask {
                        do {
                            try await store.put(key("p", "one"), ["winner": .int(number)], if: .recordAbsent)
                            return number
                        } catch RecordStoreError.conditionFailed { return nil }
                    }
                }
                return try await group.reduce(into: [Int]()) { if let number = $1 { $0.append(number) } }
            }
            try expect(winners.count, is: 1, "winners")
            try expect(try await store.get(key("p", "one"))?.document["winner"], is: .int(winners[0]))
        },
        promise("concurrent transactions keep a sum, and one failure spoils no other") { store, _ in
            for account in 0..<4 { try await store.put(key("bank", "a\(account)"), ["n": 100]) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for step in 0..<40 {
                    group.addTask {
                        let from = step % 4, to = (step + 1 + step / 4 % 3) % 4
                        do {
                            try await store.transact([
                                .update(key("bank", "a\(from)"), [.add("n", -10)], if: .atLeast("n", step % 5 == 0 ? 1000 : 10)),
                                .update(key("bank", "a\(to)"), [.add("n", 10)]),
                            ])
                        } catch RecordStoreError.conditionFailed {}
                    }
                }
                try await group.waitForAll()
            }
            let sum = try await store.query(RecordQuery(table, partition: "bank")).records.reduce(0) {
                $0 + ($1.document["n"]?.int ?? 0)
            }
            try expect(sum, is: 400)
        },
        promise("a reader sees every write that ended before it") { store, _ in
            for number in 0..<40 {
                try await store.put(key("p", "s"), ["n": .int(number)])
                try expect(try await store.get(key("p", "s"))?.document["n"], is: .int(number))
                try expect(
                    try await store.query(RecordQuery(table, partition: "p")).records.first?.document["n"], is: .int(number))
            }
        },
    ]

    // MARK: -

    static func promise(_ name: String, _ check: @escaping @Sendable (any RecordStore, RecordStoreHarness) async throws -> Void)
        -> Promise<RecordStoreHarness>
    {
        Promise(name) { harness in
            try await harness.store.prepare([table])
            try await check(harness.store, harness)
        }
    }
    static func key(_ partition: String, _ sort: String) -> RecordKey { RecordKey(table, partition, sort) }

    /// Records `s0`… in partition `p`, with their number in `n`.
    static func fill(_ store: any RecordStore, _ count: Int) async throws {
        for number in 0..<count { try await store.put(key("p", "s\(number)"), ["n": .int(number)]) }
    }

    /// Every record of a query, page after page, each no longer than the limit.
    static func pages(_ store: any RecordStore, _ query: RecordQuery, file: String = #fileID, line: Int = #line) async throws
        -> [StoredRecord]
    {
        var query = query, found: [StoredRecord] = [], rounds = 0
        repeat {
            let page = try await store.query(query)
            try expect(
                page.records.count <= query.limit, "at most \(query.limit) records in a page", seen: page.records.count,
                file: file, line: line)
            found += page.records
            query.cursor = page.cursor
            rounds += 1
            try expect(rounds < 10_000, "an end of the pages", file: file, line: line)
        } while query.cursor != nil
        return found
    }

    static func expectConditionFailed(
        current: Document?, file: String = #fileID, line: Int = #line, _ body: () async throws -> Void
    ) async throws {
        try await expectThrow(
            "conditionFailed with \(current.map { "\($0)" } ?? "no record")", file: file, line: line,
            {
                guard case .conditionFailed(index: 0, let seen) = $0 as? RecordStoreError else { return false }
                return seen?.document == current
            }, body)
    }
    static func expectInvalid(_ what: String, file: String = #fileID, line: Int = #line, _ body: () async throws -> Void)
        async throws
    {
        try await expectThrow(
            "invalidWrite for \(what)", file: file, line: line,
            { if case .invalidWrite = $0 as? RecordStoreError { true } else { false } }, body)
    }
}
