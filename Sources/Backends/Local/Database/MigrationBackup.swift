import Foundation
import GRDB
import Platform

/// The copy of the database that is made before its schema changes: `backups/before-schema-<new>-<time>.sqlite`. The last three stay.
enum MigrationBackup {
    static let prefix = "before-schema-"
    private static let kept = 3

    /// Does nothing for a new database and for one that is up to date (or newer: that is refused later).
    /// - Throws: ``LocalDatabaseError/noMigrationBackup(path:reason:)``
    static func make(of file: URL, steps: [Schema.Step], at now: Date = Date()) throws {
        guard FileManager.default.fileExists(atPath: file.path), let version = try version(of: file), (1..<steps.count).contains(version) else { return }
        let folder = file.deletingLastPathComponent().appendingPathComponent("backups")
        let name = "\(prefix)\(steps.count)-\(Timestamp.text(now).filter(\.isNumber)).sqlite"
        let target = folder.appendingPathComponent(name), staged = folder.appendingPathComponent(name + ".partial")
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try? FileManager.default.removeItem(at: staged)
            try DatabaseSnapshot.copy(file.path, to: staged.path, known: steps.count)
            guard rename(staged.path, target.path) == 0 else { throw LocalDatabaseError.failed(String(cString: strerror(errno))) }
            sync()
        } catch {
            try? FileManager.default.removeItem(at: staged)
            throw LocalDatabaseError.noMigrationBackup(path: file.path, reason: "\(error)")
        }
        let copies = ((try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []).filter { $0.hasPrefix(prefix) && $0.hasSuffix(".sqlite") }
        // The time is the last part of the name, always of the same length.
        for old in copies.sorted(by: { $0.suffix(24) < $1.suffix(24) }).dropLast(kept) { try? FileManager.default.removeItem(at: folder.appendingPathComponent(old)) }
    }

    /// Nil for what is no database of ours, which is for the opening to say.
    private static func version(of file: URL) throws -> Int? {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        guard let database = try? DatabaseQueue(path: file.path, configuration: configuration) else { return nil }
        defer { try? database.close() }
        return try? database.writeWithoutTransaction { db in
            guard try db.first("PRAGMA application_id", read: { $0.int(0) }) == Schema.applicationID else { return nil }
            return Int(try db.first("PRAGMA user_version") { $0.int(0) } ?? 0)
        }
    }
}
