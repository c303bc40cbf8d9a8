import Foundation
import GRDB
import Platform
import struct Platform.Table
import Synchronization

/// Records in the embedded database. Conditions and changes are evaluated by Platform's pure functions between a read
/// and a write of the same transaction, so they mean here what they mean everywhere.
public final class SQLiteRecordStore: RecordStore {
    /// Rows a filtered page looks at before it is cut short with a cursor.
    static let filterWindow = 2000

    private let database: LocalDatabase
    private let time: any TimeSource
    private let tables = Mutex<[String: RecordTable]>([:])

    public init(_ database: LocalDatabase, time: any TimeSource = SystemTime()) {
        self.database = database
        self.time = time
    }

    public func prepare(_ tables: [Table]) async throws {
        let tables = tables.map(RecordTable.init)
        self.tables.withLock { known in for table in tables { known[table.table.name] = table } }
        try await write { db in for table in tables { try table.prepare(db) } }
    }

    public func probe() async throws {
        do { try await database.probe() } catch { throw translated(error) }
    }

    public func get(_ key: RecordKey) async throws -> StoredRecord? {
        let table = table(key.table), now = time.now()
        return try await read { db in try Self.current(db, key, table)?.live(at: now) }
    }

    public func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord] {
        let keys = Set(keys).map { ($0, self.table($0.table)) }, now = time.now()
        guard !keys.isEmpty else { return [:] }
        return try await read { db in
            var found: [RecordKey: StoredRecord] = [:]
            for (key, table) in keys { found[key] = try Self.current(db, key, table)?.live(at: now) }
            return found
        }
    }

    @discardableResult
    public func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord? {
        try RecordWrite.validate([write])
        let prepared = try prepare(write)
        return try await self.write { db in
            let (before, after) = try self.carryOut(prepared, db, index: 0, needsBefore: returning == .before)
            return switch returning {
            case .nothing: nil
            case .before: before
            case .after: after
            }
        }
    }

    public func transact(_ writes: [RecordWrite], token: String?) async throws {
        try RecordWrite.validate(writes)
        guard !writes.isEmpty else { return }
        let prepared = try writes.map(prepare)
        try await write { db in
            for (index, write) in prepared.enumerated() { _ = try self.carryOut(write, db, index: index, needsBefore: false) }
        }
    }

    public func query(_ query: RecordQuery) async throws -> RecordPage {
        try query.validate()
        let cursor = try query.cursor.map { try RecordCursor.read($0, table: query.table, index: query.index, partition: query.partition) }
        let select = RecordSelect(query, in: table(query.table), after: cursor, now: time.now())
        return try await page(select, query.table, query.limit, query.filter) { record in
            try RecordCursor(table: query.table, index: query.index, partition: query.partition, last: record).text
        }
    }

    public func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage {
        let cursor = try cursor.map { try RecordCursor.read($0, table: table, partition: nil) }
        let select = RecordSelect(scan: self.table(table), after: cursor, now: time.now())
        return try await page(select, table, limit, nil) { try RecordCursor(table: table, partition: nil, last: $0).text }
    }

    /// Deletes a batch of expired records of each given table.
    /// - Returns: whether there may be more.
    func sweep(_ tables: [Table], limit: Int = 250) async throws -> Bool {
        var more = false
        for table in tables where table.expires {
            let sql = self.table(table).sweep, now = Int64(time.now().timeIntervalSince1970.rounded(.down))
            if try await write({ db in try db.run(sql, .int(now), .int(limit)) }) == limit { more = true }
        }
        return more
    }

    /// The plan of a query in SQLite's words, for the test that each is an index range scan.
    func plan(_ query: RecordQuery) async throws -> [String] {
        let cursor = try query.cursor.map { try RecordCursor.read($0, table: query.table, index: query.index, partition: query.partition) }
        let select = RecordSelect(query, in: table(query.table), after: cursor, now: time.now())
        let (sql, arguments) = (select.sql, select.arguments)
        return try await read { db in
            var lines: [String] = []
            try db.each("EXPLAIN QUERY PLAN " + sql, arguments) { lines.append($0.text(3)); return true }
            return lines
        }
    }
}

// MARK: - Inside a transaction

extension SQLiteRecordStore {
    /// A write with what can be done before the writer is busy with it.
    private struct PreparedWrite: Sendable {
        var write: RecordWrite
        var table: RecordTable
        /// Of a put.
        var text: String?
    }

    private struct Row {
        var id: Int64
        var record: StoredRecord
        func live(at now: Date) -> StoredRecord? { record.isLive(at: now) ? record : nil }
    }

    private func prepare(_ write: RecordWrite) throws -> PreparedWrite {
        var prepared = PreparedWrite(write: write, table: table(write.key.table))
        if case .put(_, let document, _, _) = write { prepared.text = try Self.text(document) }
        return prepared
    }

    private func carryOut(_ prepared: PreparedWrite, _ db: Database, index: Int, needsBefore: Bool) throws -> (before: StoredRecord?, after: StoredRecord?) {
        let (write, table) = (prepared.write, prepared.table), now = time.now()
        if case .put(let key, let document, _, nil) = write, !needsBefore, let text = prepared.text {
            guard case .store(let record) = try write.apply(to: nil, at: now, index: index) else { return (nil, nil) }
            try db.run(table.upsert, arguments: [.text(key.partition), .text(key.sort)] + table.values(document, text: text, expires: record.expiresAt))
            return (nil, record)
        }
        let key = write.key
        let row = try Self.current(db, key, table)
        let before = row?.live(at: now)
        switch try write.apply(to: before, at: now, index: index) {
        case .nothing:
            if case .check = write { return (before, before) }
            return (before, nil)
        case .delete:
            if let row { try db.run(table.delete, .int(row.id)) }
            return (before, nil)
        case .store(let record):
            let text = try prepared.text ?? Self.text(record.document)
            let values = table.values(record.document, text: text, expires: record.expiresAt)
            if let row {
                try db.run(table.update, arguments: values + [.int(row.id)])
            } else {
                try db.run(table.insert, arguments: [.text(key.partition), .text(key.sort)] + values)
            }
            return (before, record)
        }
    }

    /// The record as stored, expired or not.
    private static func current(_ db: Database, _ key: RecordKey, _ table: RecordTable) throws -> Row? {
        try db.first(table.select, .text(key.partition), .text(key.sort)) { row in
            Row(id: row.int(0), record: StoredRecord(key: key, document: try document(row, 1), expiresAt: expiry(row, 2)))
        }
    }

    private func page(
        _ select: RecordSelect, _ table: Table, _ limit: Int, _ filter: Condition?, _ cursor: @escaping @Sendable (StoredRecord) throws -> String
    ) async throws -> RecordPage {
        let limit = max(1, limit), (sql, arguments) = (select.sql, select.arguments)
        return try await read { db in
            var found: [StoredRecord] = [], last: StoredRecord?, looked = 0, end: String?
            try db.each(sql, arguments) { row in
                if let last, found.count == limit || looked >= max(limit, Self.filterWindow) {
                    end = try cursor(last)
                    return false
                }
                let record = StoredRecord(key: RecordKey(table, row.text(0), row.text(1)), document: try Self.document(row, 2), expiresAt: Self.expiry(row, 3))
                looked += 1
                last = record
                if filter?.holds(in: record.document) ?? true { found.append(record) }
                return true
            }
            return RecordPage(records: found, cursor: end)
        }
    }

    private static func text(_ document: Document) throws -> String { String(decoding: try JSON.data(.object(document)), as: UTF8.self) }
    private static func document(_ row: SQLRow, _ column: Int32) throws -> Document {
        guard case .object(let document) = try row.withBytes(column, { try JSON.value(Data($0)) }) else {
            throw RecordStoreError.unavailable("a stored document is damaged")
        }
        return document
    }
    private static func expiry(_ row: SQLRow, _ column: Int32) -> Date? { row.optionalInt(column).map { Date(timeIntervalSince1970: Double($0)) } }

    private func table(_ table: Table) -> RecordTable {
        tables.withLock { tables in
            if let known = tables[table.name] { return known }
            let made = RecordTable(table)
            tables[table.name] = made
            return made
        }
    }

    private func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        do { return try await database.read(body) } catch { throw translated(error) }
    }
    private func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        do { return try await database.write(body) } catch { throw translated(error) }
    }
    private func translated(_ error: any Error) -> any Error {
        switch LocalDatabaseError.from(error, path: database.file.path) {
        case let error as LocalDatabaseError: RecordStoreError.unavailable(error.description)
        case let error: error
        }
    }
}
