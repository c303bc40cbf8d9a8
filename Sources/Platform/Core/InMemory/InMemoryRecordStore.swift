import Foundation
import Synchronization

/// A record store in memory, for tests and for the conformance suite itself: exact, not durable.
public final class InMemoryRecordStore: RecordStore {
    /// Byte order and byte equality, unlike `String`'s, which takes canonically equivalent texts for the same.
    private struct Bytes: Hashable, Comparable {
        let bytes: [UInt8]
        init(_ text: String) { bytes = Array(text.utf8) }
        static func < (a: Bytes, b: Bytes) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
    }
    private typealias Partition = [Bytes: StoredRecord]
    private typealias Rows = [Bytes: Partition]

    private let tables = Mutex<[String: Rows]>([:])
    private let time: any TimeSource
    /// Candidates that one page looks at when it filters: small, so that short pages with a cursor really occur.
    private let filterWindow: Int

    public init(time: any TimeSource = SystemTime(), filterWindow: Int = 100) {
        self.time = time
        self.filterWindow = filterWindow
    }

    public func prepare(_ tables: [Table]) async throws {}
    public func probe() async throws {}

    public func get(_ key: RecordKey) async throws -> StoredRecord? { tables.withLock { live(key, in: $0) } }

    public func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord] {
        tables.withLock { tables in
            keys.reduce(into: [:]) { found, key in found[key] = live(key, in: tables) }
        }
    }

    @discardableResult
    public func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord? {
        try RecordWrite.validate([write])
        return try tables.withLock { tables in
            let before = live(write.key, in: tables)
            let outcome = try write.apply(to: before, at: time.now())
            Self.store(outcome, write.key, in: &tables)
            return switch returning {
            case .nothing: nil
            case .before: before
            case .after: if case .check = write { before } else { outcome.after }
            }
        }
    }

    public func transact(_ writes: [RecordWrite], token: String?) async throws {
        try RecordWrite.validate(writes)
        try tables.withLock { tables in
            let now = time.now()
            var outcomes: [WriteOutcome] = []
            for (index, write) in writes.enumerated() {
                outcomes.append(try write.apply(to: live(write.key, in: tables), at: now, index: index))
            }
            for (write, outcome) in zip(writes, outcomes) { Self.store(outcome, write.key, in: &tables) }
        }
    }

    public func query(_ query: RecordQuery) async throws -> RecordPage {
        try query.validate()
        let cursor = try query.cursor.map { text in
            try RecordCursor.read(text, table: query.table, index: query.index, partition: query.partition)
        }
        let rows = tables.withLock { tables -> [StoredRecord] in
            let table = tables[query.table.name] ?? [:]
            guard query.index != nil else { return table[Bytes(query.partition)].map { Array($0.values) } ?? [] }
            return table.values.flatMap(\.values)
        }
        var candidates: [(position: [Bytes], record: StoredRecord)] = []
        for record in rows where record.isLive(at: time.now()) {
            guard let position = Self.position(record, query) else { continue }
            candidates.append((position, record))
        }
        candidates.sort { query.descending ? Self.precedes($1.position, $0.position) : Self.precedes($0.position, $1.position) }
        if let cursor {
            let last = [cursor.indexSort.map { Bytes($0) }, Bytes(cursor.lastPartition), Bytes(cursor.lastSort)].compactMap { $0 }
            candidates.removeAll { query.descending ? !Self.precedes($0.position, last) : !Self.precedes(last, $0.position) }
        }
        return try page(candidates.map(\.record), query.limit, query.filter) { record in
            try RecordCursor(table: query.table, index: query.index, partition: query.partition, last: record).text
        }
    }

    public func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage {
        let cursor = try cursor.map { try RecordCursor.read($0, table: table, partition: nil) }
        var candidates = tables.withLock { ($0[table.name] ?? [:]).values.flatMap(\.values) }
            .filter { $0.isLive(at: time.now()) }
            .map { (position: [Bytes($0.key.partition), Bytes($0.key.sort)], record: $0) }
            .sorted { Self.precedes($0.position, $1.position) }
        if let cursor {
            let last = [Bytes(cursor.lastPartition), Bytes(cursor.lastSort)]
            candidates.removeAll { !Self.precedes(last, $0.position) }
        }
        return try page(candidates.map(\.record), limit, nil) { try RecordCursor(table: table, partition: nil, last: $0).text }
    }

    // MARK: -

    private func live(_ key: RecordKey, in tables: [String: Rows]) -> StoredRecord? {
        guard let record = tables[key.table.name]?[Bytes(key.partition)]?[Bytes(key.sort)], record.isLive(at: time.now()) else {
            return nil
        }
        return record
    }

    private static func store(_ outcome: WriteOutcome, _ key: RecordKey, in tables: inout [String: Rows]) {
        switch outcome {
        case .nothing: break
        case .store(let record):
            tables[key.table.name, default: [:]][Bytes(key.partition), default: [:]][Bytes(key.sort)] = record
        case .delete: tables[key.table.name]?[Bytes(key.partition)]?[Bytes(key.sort)] = nil
        }
    }

    /// Where a record stands in the query's order; `nil` when it does not match partition and range.
    private static func position(_ record: StoredRecord, _ query: RecordQuery) -> [Bytes]? {
        let own = [Bytes(record.key.partition), Bytes(record.key.sort)]
        guard let index = query.index else { return query.sort.contains(record.key.sort) ? own : nil }
        guard let entry = index.entry(for: record), entry.partition.utf8.elementsEqual(query.partition.utf8) else { return nil }
        guard let sort = entry.sort else { return own }
        return query.sort.contains(sort) ? [Bytes(sort)] + own : nil
    }

    private static func precedes(_ a: [Bytes], _ b: [Bytes]) -> Bool { a.lexicographicallyPrecedes(b) }

    private func page(_ candidates: [StoredRecord], _ limit: Int, _ filter: Condition?, _ cursor: (StoredRecord) throws -> String)
        throws -> RecordPage
    {
        let limit = max(1, limit)
        var found: [StoredRecord] = []
        for (offset, record) in candidates.enumerated() {
            if filter?.holds(in: record.document) ?? true { found.append(record) }
            let isLast = offset == candidates.count - 1
            if !isLast, found.count == limit || (filter != nil && offset + 1 >= max(limit, filterWindow)) {
                return RecordPage(records: found, cursor: try cursor(record))
            }
        }
        return RecordPage(records: found, cursor: nil)
    }
}
