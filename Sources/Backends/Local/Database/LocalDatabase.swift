import Foundation
import GRDB
import Platform

/// The embedded database: one SQLite file in the data directory, for records, queues, schedules and secrets.
///
/// WAL with `synchronous=FULL`: what was acknowledged survives a power cut. One writer (``GroupCommit``), several
/// readers; a read that starts after a write was acknowledged sees it. One process at a time (``DirectoryLock``).
public final class LocalDatabase: Sendable {
    public let directory: URL
    /// `{dataDirectory}/clawbot.sqlite`
    public let file: URL
    private let lock: DirectoryLock
    private let pool: DatabasePool
    private let commits: GroupCommit

    /// Opens the database of a data directory (made with mode 0700 when absent) and brings its schema up to date.
    /// - Throws: ``LocalDatabaseError``
    public convenience init(directory: URL) throws { try self.init(directory: directory, steps: Schema.steps) }

    /// - Parameter steps: of the schema; others than ours to test a migration.
    init(directory: URL, steps: [Schema.Step]) throws {
        self.directory = directory
        file = directory.appendingPathComponent("clawbot.sqlite")
        let path = file.path
        try Self.makePrivate(directory)
        lock = try DirectoryLock(directory: directory)
        guard !FileManager.default.fileExists(atPath: directory.appendingPathComponent(InstallationRestore.markName).path) else {
            throw LocalDatabaseError.halfRestored(directory: directory.path)
        }
        try MigrationBackup.make(of: file, steps: steps)

        var configuration = Configuration()
        configuration.label = "clawbot"
        configuration.busyMode = .timeout(10)
        configuration.maximumReaderCount = 4
        configuration.foreignKeysEnabled = false
        configuration.prepareDatabase { db in
            // No mmap: an I/O error would be a SIGBUS. Cache in KiB, more for the one writer. fullfsync matters on macOS only.
            try db.execute(sql: """
                PRAGMA temp_store = MEMORY; PRAGMA cache_size = \(db.configuration.readonly ? -4000 : -16000);
                PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1;
                """)
        }
        do {
            pool = try DatabasePool(path: path, configuration: configuration)
            // The pool's initializer leaves the writer at NORMAL, so this has to come after it.
            try pool.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 67108864")
                let found = Int(try db.first("PRAGMA synchronous") { $0.int(0) } ?? -1)
                guard found == 2 else { throw LocalDatabaseError.notDurable(found: found) }
                try Schema.migrate(db, path: path, steps: steps)
                // A database that can be read but not written must not start; this is the first write of all.
                try Self.touch(db)
            }
        } catch { throw LocalDatabaseError.from(error, path: path) }
        commits = GroupCommit(pool: pool)
    }

    /// Carries out a write in the next group commit; returns once it is durable. All of `body` happens or nothing.
    /// - Parameter committed: see ``GroupCommit/write(committed:_:)``.
    @discardableResult
    func write<T: Sendable>(committed: (@Sendable (T) -> Void)? = nil, _ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        try await commits.write(committed: committed, body)
    }

    /// Runs one or more selects on a reader. Each statement has its own snapshot.
    func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        try await pool.unsafeRead(body)
    }

    /// Writes that wait for the next transaction, and transactions so far: what a metric or a test wants to know.
    var pendingWrites: Int { commits.pending }
    var transactions: Int { commits.transactions }

    /// A real write, so that a full or vanished disk shows.
    /// - Throws: ``LocalDatabaseError``
    public func probe() async throws {
        do { try await write { db in try Self.touch(db) } } catch { throw LocalDatabaseError.from(error, path: file.path) }
    }

    /// A consistent copy of the whole database into a new file, while it is in use.
    /// - Throws: ``LocalDatabaseError``
    public func backup(to destination: URL) async throws {
        guard !FileManager.default.fileExists(atPath: destination.path) else {
            throw LocalDatabaseError.failed("\(destination.path) exists; a backup does not overwrite")
        }
        do {
            try await read { db in try db.execute(sql: "VACUUM INTO ?", arguments: [destination.path]) }
        } catch { throw LocalDatabaseError.from(error, path: destination.path) }
    }

    /// Ends all access once the writes under way are done; whatever comes later fails with ``LocalDatabaseError/closed``.
    /// Then lets go of the data directory.
    public func close() throws {
        commits.close()
        defer { lock.release() }
        do { try pool.close() } catch { throw LocalDatabaseError.from(error, path: file.path) }
    }

    private static func touch(_ db: Database) throws {
        try db.run("INSERT INTO meta(name, value) VALUES('probe', 1) ON CONFLICT(name) DO UPDATE SET value = value + 1")
    }

    private static func makePrivate(_ directory: URL) throws {
        do {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            let existing = (try? FileManager.default.attributesOfItem(atPath: directory.path))?[.type] as? FileAttributeType
            let reason = existing.map { $0 == .typeDirectory ? "it cannot be opened" : "it is not a directory" }
                ?? "it cannot be created (\((error as NSError).localizedDescription))"
            throw LocalDatabaseError.directory(directory.path, reason: reason)
        }
        // Also an older directory is closed to others: it holds conversations and keys.
        try? FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: directory.path)
    }
}
