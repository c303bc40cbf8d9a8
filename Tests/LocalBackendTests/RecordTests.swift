import Foundation
import Pace
import Platform
import Testing

@testable import LocalBackend

@Suite("SQLite records", .paced)
struct RecordTests {
    @Test("every query of every declared table and index is a range scan of an index, page after page")
    func plans() async throws {
        let scratch = Scratch()
        let store = SQLiteRecordStore(try LocalDatabase(directory: scratch["data"]))
        try await store.prepare(Tables.all)
        for table in Tables.all {
            for index in [nil] + table.indexes.map(Optional.init) {
                let ranges: [RecordQuery.SortRange] = index.map { $0.sort == nil } ?? false
                    ? [.all] : [.all, .prefix("a"), .between("a", "b"), .lessThan("b"), .atMost("b"), .greaterThan("a"), .atLeast("a")]
                for range in ranges {
                    for descending in [false, true] {
                        var last = StoredRecord(key: RecordKey(table, "p", "s"), document: [:])
                        if let sort = index?.sort { last.document[sort] = "a" }
                        if let partition = index?.partition, partition != "pk" { last.document[partition] = "p" }
                        for cursor in [nil, try RecordCursor(table: table, index: index, partition: "p", last: last).text] {
                            let plan = try await store.plan(RecordQuery(table, index: index, partition: "p", sort: range, descending: descending, cursor: cursor))
                            #expect(plan.count == 1 && plan[0].hasPrefix("SEARCH"), "\(table.name) \(index?.name ?? "") \(range): \(plan)")
                            // The named index must be the one that is searched.
                            if let index { #expect(plan[0].contains("records_\(table.name)_\(index.name)"), "\(plan)") }
                        }
                    }
                }
            }
        }
        withExtendedLifetime(scratch) {}
    }

    @Test("an index that a table gains later holds the records that were there before")
    func gainedIndex() async throws {
        let scratch = Scratch()
        let store = SQLiteRecordStore(try LocalDatabase(directory: scratch["data"]))
        let before = Table("things"), index = Table.Index("kind-index", partition: "kind", sort: "at"), after = Table("things", indexes: [index])
        try await store.prepare([before])
        try await store.put(RecordKey(before, "a", "1"), ["kind": "x", "at": "2"])
        try await store.put(RecordKey(before, "b", "1"), ["kind": "x", "at": "1"])
        try await store.put(RecordKey(before, "c", "1"), ["kind": "x"])
        try await store.put(RecordKey(before, "d", "1"), ["kind": 7, "at": "1"])
        try await store.put(RecordKey(before, "e", "1"), ["kind": "", "at": "1"])
        try await store.prepare([after])
        try await store.prepare([after])
        let page = try await store.query(RecordQuery(after, index: index, partition: "x"))
        #expect(page.records.map(\.key.partition) == ["b", "a"])
        #expect(try await store.query(RecordQuery(after, index: index, partition: "")).records.isEmpty)
        withExtendedLifetime(scratch) {}
    }

    @Test("expired records are swept in batches, live ones stay")
    func sweeping() async throws {
        let scratch = Scratch(), time = ManualTime()
        let database = try LocalDatabase(directory: scratch["data"])
        let store = SQLiteRecordStore(database, time: time)
        try await store.prepare([Tables.events])
        for n in 0..<30 { try await store.put(RecordKey(Tables.events, "b", "\(n)"), ["n": .int(n)], expiresAt: n < 25 ? time.now() + 10 : nil) }
        #expect(try await store.sweep([Tables.events], limit: 10) == false)
        time.advance(by: .seconds(11))
        #expect(try await store.sweep([Tables.events], limit: 10))
        #expect(try await store.sweep([Tables.events], limit: 10))
        #expect(try await store.sweep([Tables.events], limit: 10) == false)
        #expect(try await database.read { db in try db.first("SELECT count(*) FROM records_events") { $0.int(0) } } == 5)
        withExtendedLifetime(scratch) {}
    }

    @Test("the sweeper runs by itself and ends when cancelled")
    func sweeper() async throws {
        let scratch = Scratch(), time = ManualTime()
        let database = try LocalDatabase(directory: scratch["data"])
        let store = SQLiteRecordStore(database, time: time)
        try await store.prepare([Tables.events])
        for n in 0..<600 { try await store.put(RecordKey(Tables.events, "b", "\(n)"), ["n": .int(n)], expiresAt: time.now() + 10) }
        let sweeper = ExpirySweeper(records: store, tables: [Tables.events], queues: [], time: time, logger: quiet)
        let running = Task { try await sweeper.run() }
        try await eventually { time.sleepers == 1 }
        time.advance(by: .seconds(31))
        try await eventually { try await database.read { db in try db.first("SELECT count(*) FROM records_events") { $0.int(0) } } == 0 }
        running.cancel()
        try await running.value
        withExtendedLifetime(scratch) {}
    }

    @Test("a prefix ends before the next scalar, whatever its last one is", arguments: ["a", "é", "\u{d7ff}", "a\u{10ffff}", "😀"])
    func prefixes(_ prefix: String) throws {
        let end = try #require(RecordSelect.end(ofPrefix: prefix))
        #expect(prefix.utf8.lexicographicallyPrecedes(end.utf8))
        #expect((prefix + "\u{10ffff}\u{10ffff}").utf8.lexicographicallyPrecedes(end.utf8))
        #expect(RecordSelect.end(ofPrefix: "\u{10ffff}") == nil)
        #expect(RecordSelect.end(ofPrefix: "") == nil)
    }
}
