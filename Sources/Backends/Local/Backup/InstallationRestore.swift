import Foundation
import GRDB
import Platform

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Puts an archive of a whole installation back as a data directory.
///
/// All of it is read and checked before anything is written. Then it is unpacked beside its place (inside the data directory,
/// which may be a mount point in a directory of root), checked again, and moved in place while the directory is locked. What
/// was there before is never overwritten: it is refused, or with `replaces` set aside whole. A restore that is killed between its
/// moves leaves a mark that keeps a server from starting on half of it.
public struct InstallationRestore: Sendable {
    public struct Outcome: Sendable {
        public var about: Document
        public var entries: Int
        public var bytes: Int
        /// Where the data that was there before is now.
        public var setAside: String?
        /// The id of the master key that the restored secrets need; nil = there are none.
        public var masterKeyId: String?
    }
    /// Present in a data directory while a restore moves things: its content names what to do.
    static let markName = "restore-unfinished"

    let data: URL
    public init(dataDirectory: URL) { data = dataDirectory }

    /// - Parameter finish: called with the unpacked directory before it is moved in place; what it throws undoes the restore.
    /// - Throws: ``ArchiveError``, ``LocalDatabaseError``
    public func run(from path: String, passphrase: Secret?, replaces: Bool, finish: (URL, Document) async throws -> Void = { _, _ in }) async throws -> Outcome {
        let checked = try ArchiveReader.verify(path: path, passphrase: passphrase)
        guard checked.about["kind"]?.string == "installation" else {
            throw ArchiveError.failed(path, reason: "it is the backup of one bot; restore it with --user E-MAIL")
        }
        let schema = checked.about["schema"]?.int ?? 0
        guard schema <= Schema.steps.count else { throw LocalDatabaseError.newerSchema(path: path, found: schema, known: Schema.steps.count) }
        let existed = FileManager.default.fileExists(atPath: data.path)
        // Before the directory is made: what it will need is known by now.
        try requireRoom(for: checked.bytes)
        if !existed { try makeFolder(data.path) }
        do {
            return try await unpack(path, passphrase, checked, replaces: replaces, finish: finish)
        } catch {
            if !existed, (try? FileManager.default.contentsOfDirectory(atPath: data.path)).map({ Set($0).isSubset(of: ["clawbot.lock"]) }) == true {
                try? FileManager.default.removeItem(at: data)
            }
            throw error
        }
    }

    private func unpack(
        _ path: String, _ passphrase: Secret?, _ checked: (about: Document, entries: Int, bytes: Int), replaces: Bool,
        finish: (URL, Document) async throws -> Void
    ) async throws -> Outcome {
        let lock = try DirectoryLock(directory: data)
        defer { lock.release() }
        let present = ["clawbot.sqlite", "clawbot.sqlite-wal", "clawbot.sqlite-shm", "objects"].filter { FileManager.default.fileExists(atPath: data.appendingPathComponent($0).path) }
        guard replaces || present.isEmpty else {
            throw ArchiveError.failed(data.path, reason: "it holds data already; choose another dataDirectory, or set that data aside with --force")
        }
        for name in (try? FileManager.default.contentsOfDirectory(atPath: data.path)) ?? [] where name.hasPrefix("restoring-") {
            try? FileManager.default.removeItem(at: data.appendingPathComponent(name))
        }
        let staging = data.appendingPathComponent("restoring-\(Digest.randomToken(bytes: 9))")
        try makeFolder(staging.path)
        do {
            try extract(path, passphrase, to: staging)
            try checkDatabase(staging)
            try await finish(staging, checked.about)
            let masterKeyId = try self.masterKeyId(staging)
            try giveToOwner(staging)
            let aside = try moveInPlace(staging, present)
            return Outcome(about: checked.about, entries: checked.entries, bytes: checked.bytes, setAside: aside, masterKeyId: masterKeyId)
        } catch {
            try? FileManager.default.removeItem(at: staging)
            throw error
        }
    }

    private func extract(_ path: String, _ passphrase: Secret?, to staging: URL) throws {
        let reader = try ArchiveReader(path: path, passphrase: passphrase)
        let objects = InstallationBackup.objectsPrefix
        let tree = staging.appendingPathComponent(objects)
        try makeFolder(tree.path)
        var unpacking = try TreeUnpacking(root: tree)
        while let entry = try reader.next() {
            if entry.name == ArchiveReader.aboutName { continue }
            if entry.name == InstallationBackup.databaseName, case .file = entry.kind {
                try TreeUnpacking.write(reader, to: staging.appendingPathComponent(entry.name).path)
            } else if entry.name.hasPrefix(objects + "/") {
                try unpacking.add(entry, under: objects, from: reader)
            } else {
                throw ArchiveError.damaged(path, detail: "it holds \(entry.name), which is no part of a backup")
            }
        }
        unpacking.finish()
        guard FileManager.default.fileExists(atPath: staging.appendingPathComponent(InstallationBackup.databaseName).path) else {
            throw ArchiveError.damaged(path, detail: "it holds no database")
        }
    }

    // MARK: Checks

    private func checkDatabase(_ staging: URL) throws {
        let file = staging.appendingPathComponent("clawbot.sqlite").path
        do {
            let database = try DatabaseQueue(path: file)
            defer { try? database.close() }
            try database.writeWithoutTransaction { db in
                let found = try db.first("PRAGMA integrity_check") { $0.text(0) }
                guard found == "ok" else { throw LocalDatabaseError.corrupt(path: file, detail: found ?? "no answer") }
                guard try db.first("PRAGMA application_id", read: { $0.int(0) }) == Schema.applicationID else { throw LocalDatabaseError.foreign(path: file) }
            }
        } catch { throw LocalDatabaseError.from(error, path: file) }
    }

    private func masterKeyId(_ staging: URL) throws -> String? {
        let file = staging.appendingPathComponent("clawbot.sqlite").path
        do {
            let database = try DatabaseQueue(path: file)
            defer { try? database.close() }
            return try database.read { db in
                guard try db.first("SELECT 1 FROM sqlite_master WHERE name = 'records_secrets'", read: { _ in true }) == true else { return nil }
                return try db.first("SELECT json_extract(doc, '$.masterKeyId') FROM \"records_secrets\" WHERE pk = 'seal' AND sk = 'master'") { $0.text(0) }
            }
        } catch { throw LocalDatabaseError.from(error, path: file) }
    }

    /// Twice the bytes would be wrong (the archive may lie elsewhere); a tenth more is for the file system's own needs.
    private func requireRoom(for bytes: Int) throws {
        var folder = data
        while !FileManager.default.fileExists(atPath: folder.path), folder.path != "/" { folder.deleteLastPathComponent() }
        guard let free = DiskSpace.free(at: folder.path) else { return }
        let needed = bytes + bytes / 10 + (1 << 20)
        guard free >= needed else {
            throw ArchiveError.failed(data.path, reason: "its disk has \(DiskSpace.text(free)) free, and the backup needs \(DiskSpace.text(needed))")
        }
    }

    // MARK: In place

    /// Root restores for the owner of the data directory.
    private func giveToOwner(_ staging: URL) throws {
        var status = stat()
        guard geteuid() == 0, stat(data.path, &status) == 0, status.st_uid != 0 else { return }
        let (owner, group) = (status.st_uid, status.st_gid)
        lchown(staging.path, owner, group)
        guard let walk = FileManager.default.enumerator(atPath: staging.path) else { return }
        for case let name as String in walk { lchown(staging.path + "/" + name, owner, group) }
        for name in ["clawbot.lock"] { lchown(data.appendingPathComponent(name).path, owner, group) }
    }

    private func moveInPlace(_ staging: URL, _ present: [String]) throws -> String? {
        let mark = data.appendingPathComponent(Self.markName).path
        guard FileManager.default.createFile(atPath: mark, contents: Data("A restore moves data here. Run `clawbot restore --force` again.\n".utf8)) else {
            throw ArchiveError.failed(mark, reason: "it cannot be written")
        }
        DirectorySync.directory(data.path)
        var moved: [(from: String, to: String)] = []
        func move(_ from: String, _ to: String) throws {
            guard rename(from, to) == 0 else { throw ArchiveError.failed(from, reason: "it cannot be moved: \(String(cString: strerror(errno)))") }
            moved.append((from, to))
        }
        var aside: String?
        do {
            if !present.isEmpty {
                let stamp = Timestamp.text(Date()).filter { $0.isNumber }.prefix(14)
                let folder = data.appendingPathComponent("before-restore-\(stamp)-\(Digest.randomToken(bytes: 3))").path
                try makeFolder(folder)
                for name in present { try move(data.appendingPathComponent(name).path, folder + "/" + name) }
                aside = folder
            }
            for name in ["objects", "clawbot.sqlite-wal", "clawbot.sqlite"] where FileManager.default.fileExists(atPath: staging.appendingPathComponent(name).path) {
                try move(staging.appendingPathComponent(name).path, data.appendingPathComponent(name).path)
            }
        } catch {
            for step in moved.reversed() { rename(step.to, step.from) }
            unlink(mark)
            throw error
        }
        DirectorySync.directory(data.path)
        unlink(mark)
        DirectorySync.directory(data.path)
        try? FileManager.default.removeItem(at: staging)
        return aside
    }

    private func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch { throw LocalDatabaseError.directory(path, reason: "it cannot be created (\((error as NSError).localizedDescription))") }
    }
}

/// What is left on a disk.
public enum DiskSpace {
    /// Bytes that this process may still write; nil where it cannot be told.
    public static func free(at path: String) -> Int? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return Int(status.f_bavail) * Int(status.f_frsize)
    }
    public static func text(_ bytes: Int) -> String {
        let units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
        var value = Double(bytes), unit = 0
        while value >= 1024, unit < units.count - 1 { value /= 1024; unit += 1 }
        return unit == 0 ? "\(bytes) bytes" : "\((value * 10).rounded() / 10) \(units[unit])"
    }
}
