import ControlPlane
import Foundation
import LocalBackend
import Logging
import Platform

/// Backups and restores, put together from the embedded backend's files and the control plane's rules.
extension Installation {
    struct BackupReport {
        var sentence: String
        var remarks: [String] = []
    }

    private static func about(_ settings: PlatformConfiguration) -> Document { ["version": .string(Version.text), "stage": .string(settings.stage)] }

    /// `the backup of 2026-01-31T08:15:30.123Z by version 0.1.0`
    static func describe(_ about: Document) -> String {
        let what = about["kind"]?.string == "bot" ? "the bot “\(about["name"]?.string ?? "?")”" : "an installation"
        return "\(what) as of \(about["takenAt"]?.string ?? "?"), by version \(about["version"]?.string ?? "?")"
    }

    private static func requireEmbedded(_ settings: PlatformConfiguration) throws {
        guard settings.records == .sqlite, settings.objects == .filesystem else {
            throw ConfigurationError("backup and restore are for the embedded backend; Postgres and S3 have means of their own (docs/backup.md).")
        }
    }

    /// A backup under the master key would open with the same key as what it holds (SEC-127).
    private static func refuseMasterKey(_ passphrase: Secret?, _ settings: PlatformConfiguration) throws {
        guard let passphrase, let given = try? MasterKeys(text: passphrase.reveal(), source: "key") else { return }
        let file = settings.secrets.masterKeyFile ?? settings.dataDirectory + "/master.key"
        let live = (try? MasterKeyFile(path: file).read())?.all.map(\.id) ?? []
        guard !given.all.contains(where: { live.contains($0.id) }) else {
            throw ConfigurationError("The backup key is the master key: choose another one, so that a backup and the live secrets do not open with the same key.")
        }
    }

    static func writeDeletions(_ settings: PlatformConfiguration, to path: String) throws -> Int {
        try requireEmbedded(settings)
        let deletions = try DeletionLedger.read(of: URL(fileURLWithPath: settings.dataDirectory))
        let staged = path + ".partial-" + Digest.randomToken(bytes: 6)
        guard FileManager.default.createFile(atPath: staged, contents: Data(try Deletion.text(deletions).utf8), attributes: [.posixPermissions: 0o600]),
            rename(staged, path) == 0
        else {
            unlink(staged)
            throw ArchiveError.failed(path, reason: "it cannot be written")
        }
        DirectorySync.parent(of: path)
        return deletions.count
    }

    static func backUp(_ settings: PlatformConfiguration, to path: String, passphrase: Secret?, replaces: Bool) throws -> BackupReport {
        try requireEmbedded(settings)
        try refuseMasterKey(passphrase, settings)
        let summary = try InstallationBackup(dataDirectory: URL(fileURLWithPath: settings.dataDirectory))
            .write(to: path, about: about(settings), passphrase: passphrase, replaces: replaces)
        var report = BackupReport(
            sentence: "\(summary.entries) entries, \(DiskSpace.text(summary.bytes)), as of \(Timestamp.text(summary.takenAt))\(passphrase == nil ? ", NOT encrypted" : "").")
        if summary.leftOut > 0 { report.remarks.append("\(summary.leftOut) sockets, pipes, devices or unreadable names in workspaces were left out.") }
        if !summary.torn.isEmpty {
            report.remarks.append("\(summary.torn.count) files changed all the time while they were read and may be cut anywhere, first \(summary.torn[0]).")
        }
        report.remarks.append("the master key is not in the backup: keep a copy of it at another place.")
        return report
    }

    static func restore(
        _ settings: PlatformConfiguration, from path: String, passphrase: Secret?, replaces: Bool, resumes: Bool, ledgers: [String]
    ) async throws -> BackupReport {
        try requireEmbedded(settings)
        let data = URL(fileURLWithPath: settings.dataDirectory)
        var deletions: [Deletion] = [], remarks: [String] = []
        for ledger in ledgers {
            guard let bytes = FileManager.default.contents(atPath: ledger) else { throw ArchiveError.missing(ledger) }
            deletions += try Deletion.parse(String(decoding: bytes, as: UTF8.self), source: ledger)
        }
        // What is replaced knows of later deletions, if it can still be read.
        do { deletions += try DeletionLedger.read(of: data) } catch {
            remarks.append("the data that was there cannot be read (\(error)), so what was deleted there since the backup is only known from --deletions.")
        }
        let known = deletions
        let outcome = try await InstallationRestore(dataDirectory: data).run(from: path, passphrase: passphrase, replaces: replaces) { staging, about in
            let database = try LocalDatabase(directory: staging)
            do {
                let records = SQLiteRecordStore(database)
                try await records.prepare(Tables.all)
                try await Restoration.mark(
                    records, mode: resumes ? .resume : .hold, deletions: known, takenAt: about["takenAt"]?.string.flatMap(Timestamp.date), at: Date())
            } catch {
                try? database.close()
                throw error
            }
            try database.close()
        }
        var report = BackupReport(sentence: "Restored into \(settings.dataDirectory): \(describe(outcome.about)), \(outcome.entries) entries, \(DiskSpace.text(outcome.bytes)).")
        if let aside = outcome.setAside { report.remarks.append("the data that was there is now in \(aside); delete it when it is not needed any more.") }
        if let needed = outcome.masterKeyId, let problem = masterKeyProblem(needed, settings) { report.remarks.append(problem) }
        if !known.isEmpty { report.remarks.append("\(known.count) deletions on the list are carried out again at the next start, before anybody is served.") }
        report.remarks += remarks
        return report
    }

    /// Nil when the present master key opens secrets that need the key `needed`.
    private static func masterKeyProblem(_ needed: String, _ settings: PlatformConfiguration) -> String? {
        do {
            let file = MasterKeyFile(path: settings.dataDirectory + "/master.key")
            guard let keys = try masterKeys(settings) ?? file.read() else {
                return "the restored secrets need the master key \(needed), and there is none: put it at \(file.path) before the start, which is refused without it."
            }
            if keys.all.contains(where: { $0.id == needed }) { return nil }
            return "the present master key (\(keys.all.map(\.id).joined(separator: ", "))) cannot open the restored secrets, which need \(needed): put the right key back before the start."
        } catch { return "the restored secrets need the master key \(needed), which could not be looked at: \(error)" }
    }

    // MARK: One bot

    private static let recordsName = "records.jsonl", credentialsName = "credentials.json", objectsPrefix = "objects"

    static func backUp(
        bot id: String, withCredentials: Bool, _ settings: PlatformConfiguration, to path: String, passphrase: Secret?, replaces: Bool
    ) async throws -> BackupReport {
        try requireEmbedded(settings)
        try refuseMasterKey(passphrase, settings)
        let data = URL(fileURLWithPath: settings.dataDirectory)
        // Records first, then objects, as for the whole (InstallationBackup).
        let snapshot = try DatabaseSnapshot.take(of: data)
        defer { snapshot.remove() }
        let database = try LocalDatabase(directory: snapshot.directory)
        defer { try? database.close() }
        let records = SQLiteRecordStore(database)
        try await records.prepare(Tables.all)
        let export = try await BotExport(BotID(id), in: records)
        var about = about(settings)
        about["kind"] = "bot"
        about["schema"] = .int(snapshot.schema)
        about["takenAt"] = .string(Timestamp.text(snapshot.takenAt))
        about["botId"] = .string(export.bot.botId.rawValue)
        about["userId"] = .string(export.bot.userId.rawValue)
        about["name"] = .string(export.bot.name)
        let lines = snapshot.directory.appendingPathComponent(recordsName)
        guard FileManager.default.createFile(atPath: lines.path, contents: nil, attributes: [.posixPermissions: 0o600]) else {
            throw ArchiveError.failed(lines.path, reason: "it cannot be written")
        }
        let writing = try FileHandle(forWritingTo: lines)
        try await export.lines { try writing.write(contentsOf: Data($0.utf8)) }
        let size = Int(try writing.offset())
        try writing.close()
        let archive = try ArchiveWriter(path: path, about: about, passphrase: passphrase, replaces: replaces)
        do {
            let reading = try FileHandle(forReadingFrom: lines)
            defer { try? reading.close() }
            try archive.add(ArchiveEntry(name: recordsName, kind: .file(size: size))) { try reading.read(upToCount: 256 << 10) }
            if withCredentials {
                let keyFile = MasterKeyFile(path: settings.dataDirectory + "/master.key")
                guard let keys = try masterKeys(settings) ?? keyFile.read() else { throw SecretStoreError.masterKey("there is no master key at \(keyFile.path)") }
                let credentials = try await export.credentials(EncryptedSecretStore.open(records, keys: keys))
                try archive.add(name: credentialsName, Array(try JSON.data(.object(credentials.mapValues { .string($0.reveal()) }))))
            }
            let layout = ObjectLayout(userId: export.bot.userId, botId: export.bot.botId)
            let files = try TreeArchive.add(data.appendingPathComponent("objects/tree/\(layout.botRoot)"), as: objectsPrefix, to: archive)
            try archive.finish()
            var report = BackupReport(sentence: "the bot “\(export.bot.name)”, \(archive.entries) entries, \(DiskSpace.text(archive.bytes))\(passphrase == nil ? ", NOT encrypted" : "").")
            if files.leftOut > 0 { report.remarks.append("\(files.leftOut) sockets, pipes, devices or unreadable names in workspaces were left out.") }
            if !withCredentials { report.remarks.append("the credentials of its channels stay here (--with-credentials takes them along).") }
            return report
        } catch {
            archive.abandon()
            throw error
        }
    }

    static func restoreBot(_ settings: PlatformConfiguration, from path: String, passphrase: Secret?, email: String) async throws -> BackupReport {
        try requireEmbedded(settings)
        let checked = try ArchiveReader.verify(path: path, passphrase: passphrase)
        guard checked.about["kind"]?.string == "bot", let bot = checked.about["botId"]?.string, let owner = checked.about["userId"]?.string else {
            throw ArchiveError.failed(path, reason: "it is the backup of a whole installation; restore it without --user")
        }
        let data = URL(fileURLWithPath: settings.dataDirectory)
        guard FileManager.default.fileExists(atPath: data.appendingPathComponent("clawbot.sqlite").path) else {
            throw ArchiveError.failed(data.path, reason: "there is no installation; start the server once")
        }
        let logger = Logger(label: "clawbot")
        let stores = try await LocalStores.open(dataDirectory: data, masterKeys: try masterKeys(settings), logger: logger)
        defer { do { try stores.close() } catch { logger.error("database not closed", metadata: ["error": "\(error)"]) } }
        let intake = BotImport(records: stores.records, secrets: stores.secrets, scheduler: stores.scheduler, stage: settings.stage)
        let plan = try await intake.plan(email: email, sourceUser: UserID(owner), sourceBot: BotID(bot))
        let layout = ObjectLayout(userId: plan.user.userId, botId: plan.botId)
        let staging = data.appendingPathComponent("restoring-\(Digest.randomToken(bytes: 9))")
        defer { try? FileManager.default.removeItem(at: staging) }
        let found = try TreeArchive.unpack(path, passphrase: passphrase, files: [recordsName, credentialsName], prefix: objectsPrefix, to: staging)
        // Objects before the records that name them; nobody sees them until the bot's own record is there.
        try TreeArchive.place(staging.appendingPathComponent(objectsPrefix), at: data.appendingPathComponent("objects/tree/\(layout.botRoot)"))
        var credentials: [String: Secret] = [:]
        if found.contains(credentialsName), let bytes = FileManager.default.contents(atPath: staging.appendingPathComponent(credentialsName).path) {
            credentials = try JSON.decode([String: String].self, from: bytes).mapValues { Secret($0) }
        }
        let lines = try LineReader(staging.appendingPathComponent(recordsName))
        let outcome = try await intake.run(plan, credentials: credentials) { try lines.next() }
        var report = BackupReport(sentence: "The bot “\(checked.about["name"]?.string ?? "?")” is now one of \(email), id \(plan.botId.rawValue): \(outcome.records) records.")
        report.remarks = outcome.remarks
        if plan.botId != plan.sourceBot { report.remarks.append("it has a new id, since the old one is or was in use here.") }
        return report
    }
}

/// Lines of a file, one after the other.
private final class LineReader {
    private let handle: FileHandle
    private var buffer: [UInt8] = []
    private var start = 0
    init(_ file: URL) throws { handle = try FileHandle(forReadingFrom: file) }
    deinit { try? handle.close() }

    func next() throws -> String? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                defer { start = end + 1 }
                return String(decoding: buffer[start..<end], as: UTF8.self)
            }
            buffer.removeFirst(start)
            (searched, start) = (buffer.count, 0)
            guard let more = try handle.read(upToCount: 256 << 10), !more.isEmpty else { return nil }
            buffer += more
        }
    }
}
