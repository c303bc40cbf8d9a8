import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import LocalBackend

@Suite("Group commit", .paced)
struct GroupCommitTests {
    struct Refused: Error {}

    private func counter(_ scratch: Scratch) async throws -> LocalDatabase {
        let database = try LocalDatabase(directory: scratch["data"])
        try await database.write { db in try db.execute(sql: "CREATE TABLE counted(n INTEGER PRIMARY KEY, text TEXT) ") }
        return database
    }

    @Test("concurrent writes each get their own result or error, and a failed one leaves nothing")
    func ownResults() async throws {
        let scratch = Scratch()
        let database = try await counter(scratch)
        let results = await withTaskGroup(of: (Int, Bool).self) { group in
            for n in 0..<500 {
                group.addTask {
                    do {
                        let got = try await database.write { db -> Int in
                            try db.run("INSERT INTO counted(n) VALUES(?)", .int(n))
                            if n % 3 == 0 { throw Refused() }
                            return n
                        }
                        return (n, got == n)
                    } catch { return (n, error is Refused && n % 3 == 0) }
                }
            }
            return await group.reduce(into: [Int: Bool]()) { $0[$1.0] = $1.1 }
        }
        #expect(results.count == 500 && results.values.allSatisfy { $0 })
        let stored = try await database.read { db in
            var found: [Int] = []
            try db.each("SELECT n FROM counted ORDER BY n", []) { found.append(Int($0.int(0))); return true }
            return found
        }
        #expect(stored == (0..<500).filter { $0 % 3 != 0 })
        withExtendedLifetime(scratch) {}
    }

    @Test("writes that arrive while one commits share the next transaction")
    func shares() async throws {
        let scratch = Scratch()
        let database = try await counter(scratch)
        // While the first write holds the writer the others are handed in; then they all go in one transaction.
        let gate = DispatchSemaphore(value: 0), commits = Shared<[Int]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await database.write { db in gate.wait(); try db.run("INSERT INTO counted(n) VALUES(1000)") } }
            try await eventually { database.transactions == 2 }
            for n in 0..<100 {
                group.addTask {
                    try await database.write(committed: { (n: Int) in commits.withLock { $0.append(n) } }) { db -> Int in
                        try db.run("INSERT INTO counted(n) VALUES(?)", .int(n))
                        return n
                    }
                }
            }
            try await eventually { database.pendingWrites == 100 }
            gate.signal()
            try await group.waitForAll()
        }
        #expect(database.transactions == 3)
        #expect(commits.withLock { Set($0) } == Set(0..<100))
        withExtendedLifetime(scratch) {}
    }

    @Test("a cancelled caller loses nothing and undoes nothing")
    func cancellation() async throws {
        let scratch = Scratch()
        let database = try await counter(scratch)
        let gate = DispatchSemaphore(value: 0)
        let task = Task { try await database.write { db in gate.wait(); try db.run("INSERT INTO counted(n) VALUES(7)"); return 7 } }
        task.cancel()
        gate.signal()
        #expect(try await task.value == 7)
        #expect(try await database.read { db in try db.first("SELECT count(*) FROM counted") { $0.int(0) } } == 1)
        withExtendedLifetime(scratch) {}
    }

    @Test("a read sees every write that was acknowledged before it, from any task")
    func readYourWrites() async throws {
        let scratch = Scratch()
        let database = try await counter(scratch)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for step in 0..<50 {
                        let n = task * 1000 + step
                        try await database.write { db in try db.run("INSERT INTO counted(n) VALUES(?)", .int(n)) }
                        #expect(try await database.read { db in try db.first("SELECT 1 FROM counted WHERE n = ?", .int(n)) { _ in true } } == true)
                    }
                }
            }
            try await group.waitForAll()
        }
        withExtendedLifetime(scratch) {}
    }

    @Test("text is stored whole, NUL and all")
    func text() async throws {
        let scratch = Scratch()
        let database = try await counter(scratch)
        for (n, text) in ["a\u{0}b", "", "é😀", "\u{0}"].enumerated() {
            try await database.write { db in try db.run("INSERT INTO counted(n, text) VALUES(?, ?)", .int(n), .text(text)) }
            #expect(try await database.read { db in try db.first("SELECT text FROM counted WHERE n = ?", .int(n)) { $0.text(0) } } == text)
        }
        withExtendedLifetime(scratch) {}
    }

    @Test("after closing, writes are refused")
    func closed() async throws {
        let scratch = Scratch()
        let database = try await counter(scratch)
        try database.close()
        await #expect(throws: LocalDatabaseError.self) { try await database.write { _ in } }
        withExtendedLifetime(scratch) {}
    }

    /// What a power cut leaves is at least what is synced; a copy of the files as they are at some moment stands for the
    /// disk of a process that was killed at that moment.
    @Test("a process killed at any moment leaves every acknowledged write and nothing half")
    func crash() async throws {
        let scratch = Scratch()
        let database = try LocalDatabase(directory: scratch["data"])
        let store = SQLiteRecordStore(database)
        try await store.prepare([Tables.settings])
        let queue = try await SQLiteMessageQueue.open(database, name: "inbound")
        let acknowledged = Shared<Set<Int>>([])
        let round = Shared(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<6 {
                group.addTask {
                    var n = task * 100_000
                    while !Task.isCancelled {
                        n += 1
                        // Two records and nothing in between.
                        try await store.transact([
                            .put(RecordKey(Tables.settings, "left", "\(n)"), ["n": .int(n)]), .put(RecordKey(Tables.settings, "right", "\(n)"), ["n": .int(n)]),
                        ])
                        try await queue.send("\(n)", group: "g\(task)", deduplicationID: "\(n)")
                        acknowledged.withLock { [n] in _ = $0.insert(n) }
                    }
                }
            }
            for copy in 0..<6 {
                let goal = acknowledged.withLock { $0.count } + 40
                try await eventually { acknowledged.withLock { $0.count } >= goal }
                let sure = acknowledged.withLock { $0 }
                let target = scratch["copy\(copy)"]
                try FileManager.default.createDirectory(at: target, withIntermediateDirectories: true)
                // The database first, then its log: with checkpoints paused the pair is what a disk may hold at that moment.
                // In between they come thick and fast.
                try await database.write { db in try db.execute(sql: "PRAGMA wal_autocheckpoint = 0") }
                for name in ["clawbot.sqlite", "clawbot.sqlite-wal"] {
                    try FileManager.default.copyItem(at: scratch["data"].appendingPathComponent(name), to: target.appendingPathComponent(name))
                }
                try await database.write { db in try db.execute(sql: "PRAGMA wal_autocheckpoint = 50") }
                let opened = try LocalDatabase(directory: target)
                let again = SQLiteRecordStore(opened)
                func names(_ side: String) async throws -> Set<Int> {
                    let found = try await opened.read { db in
                        var found = Set<Int>()
                        try db.each("SELECT sk FROM records_settings WHERE pk = ?", [.text(side)]) { found.insert(Int($0.text(0))!); return true }
                        return found
                    }
                    return found
                }
                let (left, right) = (try await names("left"), try await names("right"))
                #expect(left == right)
                #expect(left.isSuperset(of: sure))
                let queued = try await SQLiteMessageQueue.open(opened, name: "inbound").depth().waiting
                #expect(queued >= sure.count)
                #expect(try await again.get(RecordKey(Tables.settings, "left", "\(sure.first!)")) != nil)
                try opened.close()
                round.withLock { $0 += 1 }
            }
            group.cancelAll()
        }
        #expect(round.withLock { $0 } == 6)
        withExtendedLifetime(scratch) {}
    }
}
