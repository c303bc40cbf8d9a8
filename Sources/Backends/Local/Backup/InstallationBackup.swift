import Foundation
import Platform

/// The whole embedded data as one archive, made while a server runs.
///
/// **Database first, then objects.** Whatever a record names was written before the record: attachments before their message,
/// a transcript before the reply that ends its run, files before the reply that sends them; and objects are replaced whole. So
/// a snapshot of the records that is older than the copied objects finds everything it names, and what the objects have
/// more is what a power cut in between would have left: a transcript that is one turn ahead of a message that is still
/// `running`, which the next run repairs as it does after any crash. The other order would restore records that name objects
/// which are not there. What is deleted between the two is missing, as it would be a moment later.
///
/// Not in it: the master key (SEC-127), the lock, uploads under way, earlier backups.
public struct InstallationBackup: Sendable {
    public struct Summary: Sendable {
        public var entries: Int
        public var bytes: Int
        public var takenAt: Date
        /// Sockets, pipes, devices and unreadable names.
        public var leftOut: Int
        /// Files that changed all the time while they were read.
        public var torn: [String]
    }
    static let databaseName = "clawbot.sqlite", objectsPrefix = "objects/tree"
    /// When the last backup was made, for whoever watches over it: in the data directory.
    public static let lastName = "backups/last.json"

    let data: URL
    public init(dataDirectory: URL) { data = dataDirectory }

    /// - Parameters:
    ///   - about: added to what the archive says of itself (`version`, `stage`).
    ///   - passphrase: nil = not encrypted.
    /// - Throws: ``ArchiveError``, ``LocalDatabaseError``
    public func write(to path: String, about: Document, passphrase: Secret?, replaces: Bool = false) throws -> Summary {
        try Self.refuse(target: path, in: data)
        let snapshot = try DatabaseSnapshot.take(of: data)
        defer { snapshot.remove() }
        var about = about
        about["kind"] = "installation"
        about["schema"] = .int(snapshot.schema)
        about["takenAt"] = .string(Timestamp.text(snapshot.takenAt))
        about["serverRan"] = .bool(snapshot.isLive)
        let archive = try ArchiveWriter(path: path, about: about, passphrase: passphrase, replaces: replaces)
        do {
            try Self.add(snapshot.directory.appendingPathComponent("clawbot.sqlite"), as: Self.databaseName, to: archive)
            var leftOut = 0, torn: [String] = []
            let tree = data.appendingPathComponent("objects/tree")
            if FileManager.default.fileExists(atPath: tree.path) {
                var archiving = try TreeArchiving(root: tree, prefix: Self.objectsPrefix)
                try archiving.write(to: archive)
                (leftOut, torn) = (archiving.leftOut, archiving.torn)
            }
            try archive.finish()
            let summary = Summary(entries: archive.entries, bytes: archive.bytes, takenAt: snapshot.takenAt, leftOut: leftOut, torn: torn)
            try Self.note(path, summary, in: data)
            return summary
        } catch {
            archive.abandon()
            throw error
        }
    }

    /// A backup beside what it backs up is in the way of the next one, and gone with it.
    private static func refuse(target path: String, in data: URL) throws {
        let target = URL(fileURLWithPath: path).standardizedFileURL.resolvingSymlinksInPath().path
        let root = data.standardizedFileURL.resolvingSymlinksInPath().path
        guard !target.hasPrefix(root + "/objects/") else { throw ArchiveError.failed(path, reason: "it lies among the objects that are being saved") }
    }

    private static func add(_ file: URL, as name: String, to archive: ArchiveWriter) throws {
        let handle = try FileHandle(forReadingFrom: file)
        defer { try? handle.close() }
        let size = Int(try handle.seekToEnd())
        try handle.seek(toOffset: 0)
        try archive.add(ArchiveEntry(name: name, kind: .file(size: size))) { try handle.read(upToCount: 256 << 10) }
    }

    private static func note(_ path: String, _ summary: Summary, in data: URL) throws {
        let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
        let fields: Document = ["at": .string(Timestamp.text(summary.takenAt)), "file": .string(absolute), "bytes": .int(summary.bytes), "entries": .int(summary.entries)]
        let file = data.appendingPathComponent(lastName).path
        guard let bytes = try? JSON.data(.object(fields)), FileManager.default.createFile(atPath: file, contents: bytes, attributes: [.posixPermissions: 0o600]) else {
            throw ArchiveError.failed(file, reason: "it cannot be written")
        }
    }
}
