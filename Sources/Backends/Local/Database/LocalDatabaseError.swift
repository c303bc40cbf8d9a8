import Foundation
import GRDB

/// Why the embedded database cannot be opened or used; each case reads as a sentence for the operator.
public enum LocalDatabaseError: Error, Sendable, CustomStringConvertible {
    /// Another process has the data directory open.
    case inUse(directory: String, processID: String?)
    /// The directory cannot be made or written.
    case directory(String, reason: String)
    case readOnly(path: String)
    /// Not an SQLite file, or damaged.
    case corrupt(path: String, detail: String)
    /// An SQLite database, but not ours.
    case foreign(path: String)
    /// Written by a later release.
    case newerSchema(path: String, found: Int, known: Int)
    /// A restore was killed between its moves.
    case halfRestored(directory: String)
    /// The copy that a migration makes first could not be made.
    case noMigrationBackup(path: String, reason: String)
    /// `synchronous=FULL` could not be set; without it an acknowledged message could be lost.
    case notDurable(found: Int)
    case full
    case closed
    case failed(String)

    public var description: String {
        switch self {
        case .inUse(let directory, let processID):
            "the data directory \(directory) is in use by another clawbot\(processID.map { " (process \($0))" } ?? ""); stop it or choose another dataDirectory"
        case .directory(let directory, let reason): "the data directory \(directory) cannot be used: \(reason)"
        case .readOnly(let path): "\(path) cannot be written; check its owner and mode, and that its file system is not mounted read-only"
        case .corrupt(let path, let detail): "\(path) is damaged or not a database (\(detail)); move it away and restore a backup"
        case .foreign(let path): "\(path) is the database of another program; choose another dataDirectory"
        case .newerSchema(let path, let found, let known):
            "\(path) was written by a later clawbot (schema \(found), this one knows \(known)); start that version again or restore a backup"
        case .halfRestored(let directory): "a restore into \(directory) was interrupted; run it again with `clawbot restore --force`"
        case .noMigrationBackup(let path, let reason):
            "\(path) has to be brought to this version's schema, and the copy that is made first failed: \(reason); nothing was changed"
        case .notDurable(let found): "the database does not accept synchronous=FULL (it reads \(found)); not starting, since messages could be lost"
        case .full: "the disk with the database is full; free some space"
        case .closed: "the database is closed"
        case .failed(let detail): "the database failed: \(detail)"
        }
    }

    /// What SQLite's result code means for whoever reads the log.
    init(_ error: DatabaseError, path: String) {
        switch error.resultCode {
        case .SQLITE_NOTADB, .SQLITE_CORRUPT: self = .corrupt(path: path, detail: error.message ?? "malformed")
        case .SQLITE_READONLY, .SQLITE_PERM: self = .readOnly(path: path)
        case .SQLITE_CANTOPEN: self = .directory((path as NSString).deletingLastPathComponent, reason: "the database file cannot be opened or created")
        case .SQLITE_FULL: self = .full
        default: self = .failed(error.message ?? "SQLite error \(error.extendedResultCode.rawValue)")
        }
    }

    static func from(_ error: any Error, path: String) -> any Error {
        (error as? DatabaseError).map { LocalDatabaseError($0, path: path) } ?? error
    }
}
