import Foundation
import GRDB
import Platform

/// Who was deleted, as a database knows it, also one that a server has open.
public enum DeletionLedger {
    /// - Throws: ``LocalDatabaseError``
    public static func read(of data: URL) throws -> [Deletion] {
        let file = data.appendingPathComponent("clawbot.sqlite").path
        guard FileManager.default.fileExists(atPath: file) else { return [] }
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(30)
        do {
            let database = try DatabaseQueue(path: file, configuration: configuration)
            defer { try? database.close() }
            return try database.unsafeRead { db in try read(db) }
        } catch { throw LocalDatabaseError.from(error, path: file) }
    }

    private static func read(_ db: Database) throws -> [Deletion] {
        var found: [String: Deletion] = [:]
        func note(_ kind: String, _ id: String, _ user: String?, _ purgeAt: String?) {
            guard let kind = Deletion.Kind(rawValue: kind), found[id] == nil else { return }
            found[id] = Deletion(kind: kind, id: id, userId: user, purgeAt: purgeAt.flatMap(Timestamp.date) ?? Date())
        }
        func has(_ table: String) throws -> Bool { try db.first("SELECT 1 FROM sqlite_master WHERE name = ?", .text(table)) { _ in true } == true }
        if try has("records_tombstones") {
            try db.each("SELECT pk, json_extract(doc, '$.kind'), json_extract(doc, '$.userId'), json_extract(doc, '$.purgeAt') FROM records_tombstones", []) { row in
                note(row.text(1), row.text(0), row.optionalText(2), row.optionalText(3))
                return true
            }
        }
        // Deleted, whatever became of their tombstones.
        if try has("records_users") {
            try db.each("SELECT pk FROM records_users WHERE json_extract(doc, '$.status') = 'deleted'", []) { note("user", $0.text(0), nil, nil); return true }
        }
        if try has("records_bots") {
            try db.each("SELECT sk, pk FROM records_bots WHERE json_extract(doc, '$.status') = 'deleted'", []) { note("bot", $0.text(0), $0.text(1), nil); return true }
        }
        return found.values.sorted { $0.id < $1.id }
    }
}
