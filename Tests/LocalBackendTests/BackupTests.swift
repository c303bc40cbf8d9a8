import Foundation
import GRDB
import Pace
import Platform
import Testing

@testable import LocalBackend

@Suite("Backups", .paced)
struct BackupTests {
    private let scratch = Scratch()
    private let passphrase = Secret("a passphrase of enough length")

    private func filled() async throws -> LocalStores {
        let stores = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        try await stores.records.put(RecordKey(Tables.settings, "platform", "a"), ["n": 1])
        try await stores.inbound.send("body", group: "g", deduplicationID: "1")
        try await stores.objects.put(key("u/b/file.txt"), Data("hello".utf8), contentType: "application/x-odd")
        let tree = scratch["data"].appendingPathComponent("objects/tree/u/b")
        try FileManager.default.createSymbolicLink(atPath: tree.appendingPathComponent("link").path, withDestinationPath: "file.txt")
        try FileManager.default.createDirectory(at: tree.appendingPathComponent("empty"), withIntermediateDirectories: true)
        try "#!/bin/sh\n".write(to: tree.appendingPathComponent("run.sh"), atomically: false, encoding: .utf8)
        chmod(tree.appendingPathComponent("run.sh").path, 0o755)
        mkfifo(tree.appendingPathComponent("pipe").path, 0o600)
        return stores
    }

    @Test("a backup of open stores comes back elsewhere: records, queue, objects, links, modes, types")
    func roundTrip() async throws {
        let stores = try await filled()
        let path = scratch["one.clawbot"].path
        let summary = try InstallationBackup(dataDirectory: scratch["data"]).write(to: path, about: [:], passphrase: passphrase)
        #expect(summary.leftOut == 1 && summary.torn.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch["data"].appendingPathComponent("backups").path) == ["last.json"])
        try stores.close()
        let outcome = try await InstallationRestore(dataDirectory: scratch["new"]).run(from: path, passphrase: passphrase, replaces: false)
        let masterKey = try MasterKeyFile(path: scratch["data"].appendingPathComponent("master.key").path).read()
        #expect(outcome.masterKeyId == masterKey?.current.id && outcome.setAside == nil)
        try FileManager.default.copyItem(at: scratch["data"].appendingPathComponent("master.key"), to: scratch["new"].appendingPathComponent("master.key"))
        let restored = try await LocalStores.open(dataDirectory: scratch["new"], logger: quiet)
        #expect(try await restored.records.get(RecordKey(Tables.settings, "platform", "a"))?.document == ["n": 1])
        #expect(try await restored.inbound.depth().waiting == 1)
        let file = try await restored.objects.get(key("u/b/file.txt"), range: nil)
        #expect(file?.info.contentType == "application/x-odd" && file?.info.size == 5)
        let tree = scratch["new"].appendingPathComponent("objects/tree/u/b").path
        #expect(try FileManager.default.destinationOfSymbolicLink(atPath: tree + "/link") == "file.txt")
        #expect((try FileManager.default.attributesOfItem(atPath: tree + "/run.sh")[.posixPermissions] as? NSNumber)?.intValue == 0o755)
        #expect(FileManager.default.fileExists(atPath: tree + "/empty"))
        try restored.close()
    }

    @Test("data that is there is refused, or set aside whole when asked; a master key stays")
    func existing() async throws {
        let stores = try await filled()
        let path = scratch["one.clawbot"].path
        _ = try InstallationBackup(dataDirectory: scratch["data"]).write(to: path, about: [:], passphrase: nil)
        let restore = InstallationRestore(dataDirectory: scratch["data"])
        await #expect(throws: LocalDatabaseError.self) { try await restore.run(from: path, passphrase: nil, replaces: true) }
        try await stores.records.put(RecordKey(Tables.settings, "platform", "a"), ["n": 2])
        try stores.close()
        await #expect(throws: ArchiveError.self) { try await restore.run(from: path, passphrase: nil, replaces: false) }
        let outcome = try await restore.run(from: path, passphrase: nil, replaces: true)
        let aside = try #require(outcome.setAside)
        #expect(try FileManager.default.contentsOfDirectory(atPath: aside).contains("clawbot.sqlite"))
        let again = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        #expect(try await again.records.get(RecordKey(Tables.settings, "platform", "a"))?.document == ["n": 1])
        try again.close()
    }

    @Test("a restore that fails on its way leaves nothing, and one that was killed keeps a server from starting")
    func interrupted() async throws {
        let stores = try await filled()
        let path = scratch["one.clawbot"].path
        _ = try InstallationBackup(dataDirectory: scratch["data"]).write(to: path, about: [:], passphrase: nil)
        try stores.close()
        struct Stop: Error {}
        await #expect(throws: Stop.self) {
            try await InstallationRestore(dataDirectory: scratch["new"]).run(from: path, passphrase: nil, replaces: false) { _, _ in throw Stop() }
        }
        #expect(!FileManager.default.fileExists(atPath: scratch["new"].path))
        _ = FileManager.default.createFile(atPath: scratch["data"].appendingPathComponent(InstallationRestore.markName).path, contents: Data())
        await #expect(throws: LocalDatabaseError.self) { try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet) }
        _ = try await InstallationRestore(dataDirectory: scratch["data"]).run(from: path, passphrase: nil, replaces: true)
        let again = try await LocalStores.open(dataDirectory: scratch["data"], logger: quiet)
        try again.close()
    }

    @Test("SEC-35 an archive that names a link and then something behind it is refused")
    func behindLink() async throws {
        let path = scratch["evil"].path
        let archive = try ArchiveWriter(path: path, about: ["kind": "installation", "schema": 1], passphrase: nil)
        try archive.add(ArchiveEntry(name: "objects/tree/out", kind: .link(target: scratch["victim"].path)))
        try archive.add(name: "objects/tree/out/file", [1])
        try archive.finish()
        try FileManager.default.createDirectory(at: scratch["victim"], withIntermediateDirectories: true)
        await #expect(throws: ArchiveError.self) { try await InstallationRestore(dataDirectory: scratch["new"]).run(from: path, passphrase: nil, replaces: false) }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch["victim"].path).isEmpty)
    }

    @Test("records and objects stay consistent while both are written: what a record names is there")
    func underLoad() async throws {
        let stores = try await filled()
        let data = scratch["data"]
        let stop = Shared(false)
        let writer = Task {
            var n = 0
            while !stop.withLock({ $0 }) {
                n += 1
                try await stores.objects.put(key("u/b/attachment-\(n)"), Data("file \(n)".utf8))
                try await stores.records.put(RecordKey(Tables.settings, "files", "\(n)"), ["n": .int(n)])
            }
            return n
        }
        for round in 1...3 {
            try await eventually { try await stores.records.query(RecordQuery(Tables.settings, partition: "files", limit: 200)).records.count >= round * 20 }
            _ = try InstallationBackup(dataDirectory: data).write(to: scratch["round-\(round)"].path, about: [:], passphrase: nil)
        }
        stop.withLock { $0 = true }
        #expect(try await writer.value > 60)
        try stores.close()
        for round in 1...3 {
            let place = scratch["place-\(round)"]
            _ = try await InstallationRestore(dataDirectory: place).run(from: scratch["round-\(round)"].path, passphrase: nil, replaces: false)
            let database = try LocalDatabase(directory: place)
            let records = SQLiteRecordStore(database)
            try await records.prepare(Tables.all)
            let named = try await records.scan(Tables.settings, limit: 100_000, cursor: nil).records.compactMap { $0.key.partition == "files" ? $0.document["n"]?.int : nil }
            #expect(named.count >= round * 20)
            for n in named {
                #expect(try Data(contentsOf: place.appendingPathComponent("objects/tree/u/b/attachment-\(n)")) == Data("file \(n)".utf8))
            }
            try database.close()
        }
    }

    @Test("a rising schema is preceded by a copy, three of which are kept; newer data is refused; a full disk changes nothing")
    func migration() throws {
        let directory = scratch["schema"]
        try LocalDatabase(directory: directory).close()
        var steps = Schema.steps
        for n in 1...5 {
            steps.append { db in try db.execute(sql: "CREATE TABLE later\(n)(x)") }
            try LocalDatabase(directory: directory, steps: steps).close()
            try LocalDatabase(directory: directory, steps: steps).close()
        }
        let copies = try FileManager.default.contentsOfDirectory(atPath: directory.appendingPathComponent("backups").path).sorted()
        #expect(copies.count == 3 && copies.allSatisfy { $0.hasPrefix(MigrationBackup.prefix) })
        // The newest copy is of the version before the last.
        let last = try #require(copies.max { $0.suffix(24) < $1.suffix(24) })
        let copy = try DatabaseQueue(path: directory.appendingPathComponent("backups/\(last)").path)
        #expect(try copy.read { try Int.fetchOne($0, sql: "PRAGMA user_version") } == steps.count - 1)
        try copy.close()
        #expect(throws: LocalDatabaseError.self) { try LocalDatabase(directory: directory) }
        // A file where the copies belong: the copy fails, so nothing is migrated.
        try FileManager.default.removeItem(at: directory.appendingPathComponent("backups"))
        _ = FileManager.default.createFile(atPath: directory.appendingPathComponent("backups").path, contents: nil)
        steps.append { db in try db.execute(sql: "CREATE TABLE never(x)") }
        #expect(throws: LocalDatabaseError.self) { try LocalDatabase(directory: directory, steps: steps) }
        let untouched = try DatabaseQueue(path: directory.appendingPathComponent("clawbot.sqlite").path)
        #expect(try untouched.read { try Int.fetchOne($0, sql: "PRAGMA user_version") } == steps.count - 1)
    }
}
