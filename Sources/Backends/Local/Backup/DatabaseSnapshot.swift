import Foundation
import GRDB
import Platform

/// A consistent copy of a data directory's database, made beside whoever has it open: `VACUUM INTO` over a connection of its own
/// reads one snapshot of the write-ahead log, stops nobody from writing, and leaves out what was deleted.
public struct DatabaseSnapshot: Sendable {
    /// A data directory of its own that holds the copy, below `backups/` of the original: the same disk, the same owner.
    public let directory: URL
    /// Around it, held as long as this value is: what is found there without a holder was left by a backup that was killed.
    private let outer: URL
    private let holder: DirectoryLock
    public let schema: Int
    /// When the snapshot was taken: everything acknowledged before is in it.
    public let takenAt: Date
    /// Whether somebody had the original open.
    public let isLive: Bool

    /// - Throws: ``LocalDatabaseError``
    public static func take(of data: URL, at now: Date = Date()) throws -> DatabaseSnapshot {
        let file = data.appendingPathComponent("clawbot.sqlite")
        guard FileManager.default.fileExists(atPath: file.path) else { throw LocalDatabaseError.directory(data.path, reason: "there is no clawbot.sqlite in it") }
        let isLive: Bool
        do {
            let lock = try DirectoryLock(directory: data)
            lock.release()
            isLive = false
        } catch LocalDatabaseError.inUse { isLive = true }
        let backups = data.appendingPathComponent("backups")
        try makePrivate(backups)
        // What a backup that was killed has left.
        for name in (try? FileManager.default.contentsOfDirectory(atPath: backups.path)) ?? [] where name.hasPrefix("snapshot-") {
            let old = backups.appendingPathComponent(name)
            guard let lock = try? DirectoryLock(directory: old) else { continue }
            try? FileManager.default.removeItem(at: old)
            lock.release()
        }
        let outer = backups.appendingPathComponent("snapshot-\(Digest.randomToken(bytes: 9))"), directory = outer.appendingPathComponent("data")
        try makePrivate(directory)
        do {
            let holder = try DirectoryLock(directory: outer)
            let schema = try copy(file.path, to: directory.appendingPathComponent("clawbot.sqlite").path)
            return DatabaseSnapshot(directory: directory, outer: outer, holder: holder, schema: schema, takenAt: now, isLive: isLive)
        } catch {
            try? FileManager.default.removeItem(at: outer)
            throw error
        }
    }

    private init(directory: URL, outer: URL, holder: DirectoryLock, schema: Int, takenAt: Date, isLive: Bool) {
        self.directory = directory; self.outer = outer; self.holder = holder; self.schema = schema; self.takenAt = takenAt; self.isLive = isLive
    }

    /// Deletes the copy.
    public func remove() {
        try? FileManager.default.removeItem(at: outer)
        holder.release()
    }

    /// Copies a database that may be in use.
    /// - Returns: its schema version.
    @discardableResult
    static func copy(_ source: String, to target: String, known: Int = Schema.steps.count) throws -> Int {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(30)
        // Pages it passes once are of no use in a large cache.
        configuration.prepareDatabase { db in try db.execute(sql: "PRAGMA cache_size = -4000") }
        do {
            let database = try DatabaseQueue(path: source, configuration: configuration)
            defer { try? database.close() }
            return try database.unsafeRead { db in
                guard try db.first("PRAGMA application_id", read: { $0.int(0) }) == Schema.applicationID else { throw LocalDatabaseError.foreign(path: source) }
                let version = Int(try db.first("PRAGMA user_version") { $0.int(0) } ?? 0)
                guard version <= known else { throw LocalDatabaseError.newerSchema(path: source, found: version, known: known) }
                try db.execute(sql: "VACUUM INTO ?", arguments: [target])
                chmod(target, 0o600)
                return version
            }
        } catch { throw LocalDatabaseError.from(error, path: target) }
    }

    private static func makePrivate(_ directory: URL) throws {
        do {
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch { throw LocalDatabaseError.directory(directory.path, reason: (error as NSError).localizedDescription) }
    }
}
