import GRDB
import GRDBSQLite

@testable import LocalBackend

extension Database {
    /// Steps of SQLite's virtual machine that this connection's cached statements have taken so far.
    func vmSteps() throws -> Int64 {
        var sum: Int64 = 0
        var statement = sqlite3_next_stmt(sqliteConnection, nil)
        while let current = statement {
            sum += Int64(sqlite3_stmt_status(current, SQLITE_STMTSTATUS_VM_STEP, 0))
            statement = sqlite3_next_stmt(sqliteConnection, current)
        }
        return sum
    }
}
