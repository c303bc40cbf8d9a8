import Foundation
import GRDB
import Pace
import Platform
import Testing

@testable import LocalBackend

@Suite("The embedded database", .paced)
struct DatabaseTests {
    @Test("opens private, in WAL mode and with synchronous=FULL really in force on the writer")
    func durability() async throws {
        let scratch = Scratch()
        let database = try LocalDatabase(directory: scratch["data"])
        let mode = try FileManager.default.attributesOfItem(atPath: scratch["data"].path)[.posixPermissions] as? Int
        #expect(mode == 0o700)
        let (synchronous, journal) = try await database.write { db in
            (try db.first("PRAGMA synchronous") { $0.int(0) }, try db.first("PRAGMA journal_mode") { $0.text(0) })
        }
        #expect(synchronous == 2)
        #expect(journal == "wal")
        withExtendedLifetime(scratch) {}
    }

    @Test("a second process gets a sentence that names the first")
    func locked() throws {
        let scratch = Scratch()
        let first = try LocalDatabase(directory: scratch["data"])
        let error = #expect(throws: LocalDatabaseError.self) { try LocalDatabase(directory: scratch["data"]) }
        #expect("\(error!)".contains("in use by another clawbot (process \(ProcessInfo.processInfo.processIdentifier))"))
        try first.close()
        _ = try LocalDatabase(directory: scratch["data"])
    }

    @Test("a file that is no database, a damaged one, one of another program and one of a later version are refused with a sentence")
    func wrongFiles() throws {
        let scratch = Scratch()
        func attempt(_ name: String, _ prepare: (String) throws -> Void) throws -> String {
            let directory = scratch[name]
            try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
            try prepare(directory.appendingPathComponent("clawbot.sqlite").path)
            let error = #expect(throws: LocalDatabaseError.self) { try LocalDatabase(directory: directory) }
            return error.map { "\($0)" } ?? ""
        }
        #expect(try attempt("text") { try Data(repeating: 0x41, count: 10_000).write(to: URL(fileURLWithPath: $0)) }.contains("damaged or not a database"))
        #expect(try attempt("damaged") { path in
            do { try LocalDatabase(directory: URL(fileURLWithPath: path).deletingLastPathComponent()).close() }
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
            try file.seek(toOffset: 100)
            try file.write(contentsOf: Data(repeating: 0xff, count: 3000))
            try file.close()
        }.contains("damaged or not a database"))
        #expect(try attempt("foreign") { try DatabaseQueue(path: $0).write { try $0.execute(sql: "CREATE TABLE theirs(a)") } }.contains("another program"))
        #expect(try attempt("newer") { path in
            do { try LocalDatabase(directory: URL(fileURLWithPath: path).deletingLastPathComponent()).close() }
            try DatabaseQueue(path: path).writeWithoutTransaction { try $0.execute(sql: "PRAGMA user_version = 99") }
        }.contains("written by a later clawbot (schema 99, this one knows 1)"))
        try Data().write(to: scratch["a file"])
        #expect("\(#expect(throws: LocalDatabaseError.self) { try LocalDatabase(directory: scratch["a file"]) }!)".contains("it is not a directory"))
        withExtendedLifetime(scratch) {}
    }

    @Test("a full disk is a clear error for the writer, readers go on, and space makes it work again")
    func full() async throws {
        let scratch = Scratch()
        let database = try LocalDatabase(directory: scratch["data"])
        let store = SQLiteRecordStore(database)
        try await store.prepare([Tables.settings])
        let first = RecordKey(Tables.settings, "platform", "first")
        try await store.put(first, ["n": 1])
        // Deterministic stand-in for ENOSPC: SQLite answers SQLITE_FULL either way.
        func limitPages(_ count: Int64) async throws {
            _ = try await database.write { db in try db.first("PRAGMA max_page_count = \(count)") { $0.int(0) } }
        }
        try await limitPages(1)
        let big = Value.string(String(repeating: "x", count: 300_000))
        var refused: String?
        do { for number in 0..<20 { try await store.put(RecordKey(Tables.settings, "platform", "\(number)"), ["big": big]) } } catch RecordStoreError.unavailable(let reason) { refused = reason }
        #expect(refused?.contains("disk with the database is full") == true)
        #expect(try await store.get(first)?.document == ["n": 1])
        try await limitPages(1_000_000)
        try await store.put(RecordKey(Tables.settings, "platform", "later"), ["big": big])
        withExtendedLifetime(scratch) {}
    }

    @Test("a read-only file system is refused with a sentence")
    func readOnly() async throws {
        let scratch = Scratch()
        let directory = scratch["mount"]
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        guard try shell("/bin/mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", directory.path) else { return }
        defer { _ = try? shell("/bin/umount", "-l", directory.path) }
        do { try LocalDatabase(directory: directory).close() }
        guard try shell("/bin/mount", "-o", "remount,ro", directory.path) else { return }
        let error = #expect(throws: LocalDatabaseError.self) { try LocalDatabase(directory: directory) }
        #expect("\(error!)".contains("cannot be written"))
        withExtendedLifetime(scratch) {}
    }

    @Test("a disk that is really full stops writes with a sentence and loses nothing that was acknowledged")
    func reallyFull() async throws {
        let scratch = Scratch()
        let directory = scratch["mount"]
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        guard try shell("/bin/mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", directory.path) else { return }
        defer { _ = try? shell("/bin/umount", "-l", directory.path) }
        var acknowledged = 0
        do {
            let database = try LocalDatabase(directory: directory)
            let queue = try await SQLiteMessageQueue.open(database, name: "inbound")
            var reason: String?
            do {
                for number in 0..<1000 {
                    try await queue.send(String(repeating: "x", count: 20_000), group: "g\(number % 7)", deduplicationID: "\(number)")
                    acknowledged += 1
                }
            } catch MessageQueueError.unavailable(let text) { reason = text }
            #expect(reason != nil)
            await #expect(throws: LocalDatabaseError.self) { for _ in 0..<200 { try await database.probe() } }
            #expect(try await queue.depth().waiting == acknowledged)
            try database.close()
        }
        #expect(acknowledged > 10)
        withExtendedLifetime(scratch) {}
    }

    @Test("a backup taken in use opens as a database of its own")
    func backup() async throws {
        let scratch = Scratch()
        let database = try LocalDatabase(directory: scratch["data"])
        let store = SQLiteRecordStore(database)
        try await store.prepare([Tables.settings])
        try await store.put(RecordKey(Tables.settings, "platform", "a"), ["n": 1])
        try FileManager.default.createDirectory(at: scratch["copy"], withIntermediateDirectories: true)
        try await database.backup(to: scratch["copy"].appendingPathComponent("clawbot.sqlite"))
        await #expect(throws: LocalDatabaseError.self) { try await database.backup(to: scratch["copy"].appendingPathComponent("clawbot.sqlite")) }
        let copy = SQLiteRecordStore(try LocalDatabase(directory: scratch["copy"]))
        #expect(try await copy.get(RecordKey(Tables.settings, "platform", "a"))?.document == ["n": 1])
        withExtendedLifetime(scratch) {}
    }
}
