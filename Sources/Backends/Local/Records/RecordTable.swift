import Foundation
import GRDB
import Platform
import struct Platform.Table

/// A declared table as it lies in SQLite: the document as JSON text, and one column per attribute that an index uses.
///
/// An ordinary rowid table with an index over the key: documents of a few hundred bytes would leave a WITHOUT ROWID
/// b-tree with a handful of entries per page (https://www.sqlite.org/withoutrowid.html §4). Index columns hold NULL
/// where the attribute is no non-empty string, and every index leaves such rows out, so it is as sparse as declared.
struct RecordTable: Sendable {
    let table: Table
    /// Attributes with a column of their own, sorted.
    let attributes: [String]
    let name: String

    let select, insert, upsert, update, delete, sweep: String

    init(_ table: Table) {
        self.table = table
        let attributes = Set(table.indexes.flatMap { [$0.partition == "pk" ? nil : $0.partition, $0.sort].compactMap { $0 } }).sorted()
        self.attributes = attributes
        let name = "\"records_\(table.name)\""
        self.name = name
        let columns = attributes.map(Self.column)
        let values = ["doc", "expires"] + columns
        select = "SELECT id, doc, expires FROM \(name) WHERE pk = ? AND sk = ?"
        insert = "INSERT INTO \(name)(\((["pk", "sk"] + values).joined(separator: ", "))) VALUES(?, ?\(String(repeating: ", ?", count: values.count)))"
        upsert = insert + " ON CONFLICT(pk, sk) DO UPDATE SET " + values.map { "\($0) = excluded.\($0)" }.joined(separator: ", ")
        update = "UPDATE \(name) SET \(values.map { "\($0) = ?" }.joined(separator: ", ")) WHERE id = ?"
        delete = "DELETE FROM \(name) WHERE id = ?"
        sweep = "DELETE FROM \(name) WHERE id IN (SELECT id FROM \(name) WHERE expires IS NOT NULL AND expires <= ? ORDER BY expires LIMIT ?)"
    }

    /// What insert, upsert (after the key) and update (before the id) store.
    func values(_ document: Document, text: String, expires: Date?) -> [SQLArgument] {
        [.text(text), .int(expires.map { Int64($0.timeIntervalSince1970) })]
            + attributes.map { name in document[name]?.string.flatMap { $0.isEmpty ? nil : SQLArgument.text($0) } ?? .null }
    }

    static func column(_ attribute: String) -> String { "\"x_\(attribute)\"" }

    /// Creates the table, or adds what the declaration gained since: new columns are filled from the documents.
    func prepare(_ db: Database) throws {
        for word in [table.name] + attributes + table.indexes.map(\.name) {
            guard !word.isEmpty, word.utf8.allSatisfy({ $0 != UInt8(ascii: "\"") && $0 > 0x20 && $0 < 0x7f }) else {
                throw RecordStoreError.invalidWrite("“\(word)” cannot name a table, an index or an indexed attribute")
            }
        }
        try db.execute(sql: """
            CREATE TABLE IF NOT EXISTS \(name)(id INTEGER PRIMARY KEY, pk TEXT NOT NULL, sk TEXT NOT NULL, doc TEXT NOT NULL, expires INTEGER, UNIQUE(pk, sk));
            """)
        var present = Set<String>()
        try db.each("PRAGMA table_info(\(name))", []) { present.insert($0.text(1)); return true }
        for attribute in attributes where !present.contains("x_\(attribute)") {
            try db.execute(sql: "ALTER TABLE \(name) ADD COLUMN \(Self.column(attribute)) TEXT")
            try db.execute(sql: """
                UPDATE \(name) SET \(Self.column(attribute)) = nullif(json_extract(doc, '$."\(attribute)"'), '')
                WHERE json_type(doc, '$."\(attribute)"') = 'text'
                """)
        }
        for index in table.indexes {
            let order = order(of: index)
            let partition = index.partition == "pk" ? "pk" : Self.column(index.partition)
            let sparse = [index.partition == "pk" ? nil : partition, index.sort.map(Self.column)].compactMap { $0 }.map { "\($0) IS NOT NULL" }
            guard !sparse.isEmpty else { continue }
            try createIndex(db, "records_\(table.name)_\(index.name)", "(\(([partition] + order).joined(separator: ", "))) WHERE \(sparse.joined(separator: " AND "))")
        }
        if table.expires { try createIndex(db, "records_\(table.name)_expiry", "(expires) WHERE expires IS NOT NULL") }
    }

    /// Makes the index, anew when its declaration changed.
    private func createIndex(_ db: Database, _ indexName: String, _ definition: String) throws {
        let statement = "CREATE INDEX \"\(indexName)\" ON \(name)\(definition)"
        let present = try db.first("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", .text(indexName)) { $0.text(0) }
        guard present != statement else { return }
        if present != nil { try db.execute(sql: "DROP INDEX \"\(indexName)\"") }
        try db.execute(sql: statement)
    }

    /// Columns that order a partition of the index (or of the table itself), last ones making the order total.
    func order(of index: Table.Index?) -> [String] {
        guard let index else { return ["sk"] }
        return [index.sort.map(Self.column), index.partition == "pk" ? nil : "pk", "sk"].compactMap { $0 }
    }
}
