import GRDB
import GRDBSQLite

// Statements straight on SQLite's C interface, over GRDB's statement cache. GRDB's own binding ends a text at its first
// NUL and allocates an argument list per call; here text is bound with its length, whatever it holds.

enum SQLArgument {
    case text(String)
    case int(Int64)
    case null

    static func int(_ value: Int) -> SQLArgument { .int(Int64(value)) }
    static func text(_ value: String?) -> SQLArgument { value.map { .text($0) } ?? .null }
    static func int(_ value: Int64?) -> SQLArgument { value.map { .int($0) } ?? .null }
}

/// The row a statement stands on; valid only inside the closure that receives it.
struct SQLRow {
    fileprivate let statement: OpaquePointer

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(statement, column) == SQLITE_NULL }
    func int(_ column: Int32) -> Int64 { sqlite3_column_int64(statement, column) }
    func text(_ column: Int32) -> String { withBytes(column) { String(decoding: $0, as: UTF8.self) } }
    func optionalInt(_ column: Int32) -> Int64? { isNull(column) ? nil : int(column) }
    func optionalText(_ column: Int32) -> String? { isNull(column) ? nil : text(column) }
    func byteCount(_ column: Int32) -> Int { Int(sqlite3_column_bytes(statement, column)) }

    /// The UTF-8 bytes of a text column, without a copy.
    func withBytes<T>(_ column: Int32, _ body: (UnsafeBufferPointer<UInt8>) throws -> T) rethrows -> T {
        let start = sqlite3_column_text(statement, column)
        return try body(UnsafeBufferPointer(start: start, count: start == nil ? 0 : Int(sqlite3_column_bytes(statement, column))))
    }
}

extension Database {
    /// Runs a statement to its end.
    /// - Returns: how many rows it changed.
    @discardableResult
    func run(_ sql: String, _ arguments: SQLArgument...) throws -> Int {
        try each(sql, arguments) { _ in true }
        return Int(sqlite3_changes(sqliteConnection))
    }
    @discardableResult
    func run(_ sql: String, arguments: [SQLArgument]) throws -> Int {
        try each(sql, arguments) { _ in true }
        return Int(sqlite3_changes(sqliteConnection))
    }

    func first<T>(_ sql: String, _ arguments: SQLArgument..., read: (SQLRow) throws -> T) throws -> T? {
        var found: T?
        try each(sql, arguments) { row in
            found = try read(row)
            return false
        }
        return found
    }

    /// Visits rows until `visit` returns false. The same SQL must not be run again inside of `visit`.
    func each(_ sql: String, _ arguments: [SQLArgument], _ visit: (SQLRow) throws -> Bool) throws {
        let statement = try cachedStatement(sql: sql).sqliteStatement
        defer { sqlite3_reset(statement) }
        // SQLite copies the bytes (SQLITE_TRANSIENT), so that they need not outlive this loop.
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        for (position, argument) in arguments.enumerated() {
            let index = Int32(position + 1)
            let code: Int32
            switch argument {
            case .int(let value): code = sqlite3_bind_int64(statement, index, value)
            case .null: code = sqlite3_bind_null(statement, index)
            case .text(var text):
                code = text.withUTF8 { bytes in
                    // A nil start would bind NULL; an empty text may have one.
                    guard let start = bytes.baseAddress else { return sqlite3_bind_text64(statement, index, "", 0, transient, UInt8(SQLITE_UTF8)) }
                    let characters = UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
                    return sqlite3_bind_text64(statement, index, characters, UInt64(bytes.count), transient, UInt8(SQLITE_UTF8))
                }
            }
            guard code == SQLITE_OK else { throw failure(code, sql) }
        }
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: if try !visit(SQLRow(statement: statement)) { return }
            case SQLITE_DONE: return
            case let code: throw failure(code, sql)
            }
        }
    }

    var lastRowID: Int64 { sqlite3_last_insert_rowid(sqliteConnection) }

    private func failure(_ code: Int32, _ sql: String) -> DatabaseError {
        let extended = sqlite3_extended_errcode(sqliteConnection)
        return DatabaseError(resultCode: ResultCode(rawValue: extended == 0 ? code : extended), message: String(cString: sqlite3_errmsg(sqliteConnection)), sql: sql)
    }
}
