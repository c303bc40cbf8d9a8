import GRDB

/// The versions of the database's own schema. Record and queue tables are made from their declarations
/// (`SQLiteRecordStore.prepare`, `SQLiteMessageQueue.open`); everything else is made here, step by step, forward only.
enum Schema {
    /// `PRAGMA application_id` of our files: "CLAW".
    static let applicationID: Int64 = 0x434c_4157

    /// Step n brings version n to n + 1; all missing ones run in one transaction.
    typealias Step = @Sendable (Database) throws -> Void
    static let steps: [Step] = [
        { db in
            try db.execute(sql: """
                CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
                CREATE TABLE queues(name TEXT PRIMARY KEY, messages INTEGER NOT NULL) WITHOUT ROWID;
                CREATE TABLE schedules(
                    bot TEXT NOT NULL, task TEXT NOT NULL,
                    next INTEGER,            -- milliseconds; NULL = does not fire
                    schedule TEXT NOT NULL,  -- TaskSchedule as JSON
                    PRIMARY KEY(bot, task)) WITHOUT ROWID;
                CREATE INDEX schedules_next ON schedules(next) WHERE next IS NOT NULL;
                """)
        },
    ]

    /// - Throws: ``LocalDatabaseError/foreign(path:)``, ``LocalDatabaseError/newerSchema(path:found:known:)``
    static func migrate(_ db: Database, path: String, steps: [Step] = Schema.steps) throws {
        let application = try db.first("PRAGMA application_id") { $0.int(0) } ?? 0
        let version = Int(try db.first("PRAGMA user_version") { $0.int(0) } ?? 0)
        let isEmpty = try db.first("SELECT count(*) FROM sqlite_master") { $0.int(0) == 0 } ?? true
        guard application == applicationID || (application == 0 && version == 0 && isEmpty) else { throw LocalDatabaseError.foreign(path: path) }
        guard version <= steps.count else { throw LocalDatabaseError.newerSchema(path: path, found: version, known: steps.count) }
        guard version < steps.count else { return }
        try db.inTransaction(.immediate) {
            for step in steps[version...] { try step(db) }
            try db.execute(sql: "PRAGMA application_id = \(applicationID); PRAGMA user_version = \(steps.count)")
            return .commit
        }
    }
}
