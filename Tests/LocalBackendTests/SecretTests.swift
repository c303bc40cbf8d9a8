import Foundation
import Pace
import Synchronization
import Testing

@testable import LocalBackend
@testable import Platform

@Suite("Encrypted secrets", .paced)
struct SecretTests {
    private struct World {
        let scratch = Scratch()
        let database: LocalDatabase
        let records: SQLiteRecordStore
        let file: MasterKeyFile
        init() async throws {
            database = try LocalDatabase(directory: scratch["data"])
            records = SQLiteRecordStore(database)
            try await records.prepare([Tables.secrets])
            file = MasterKeyFile(path: scratch["master.key"].path)
        }
        func open() async throws -> EncryptedSecretStore { try await EncryptedSecretStore.open(records, keyFile: file) }
        func record(_ partition: String, _ sort: String) -> RecordKey { RecordKey(Tables.secrets, partition, sort) }
    }
    private let telegram = SecretName("local/bot1/telegram/c1")
    private let slack = SecretName("local/bot1/slack/c1")
    private let other = SecretName("local/bot2/telegram/c1")

    @Test("SEC-47 no byte of a secret, a data key or the master key lies in the database")
    func SEC_47_dump() async throws {
        let world = try await World()
        let store = try await world.open()
        try await store.put(telegram, Secret("canary-3f1b9d"))
        let master = try String(contentsOfFile: world.file.path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
        try await world.database.write { db in try db.execute(sql: "INSERT INTO meta(name, value) VALUES('x', 1)") }
        for name in ["clawbot.sqlite", "clawbot.sqlite-wal"] {
            let bytes = try Data(contentsOf: world.scratch["data"].appendingPathComponent(name))
            for canary in ["canary-3f1b9d", master] { #expect(bytes.range(of: Data(canary.utf8)) == nil) }
            #expect(bytes.range(of: Data(base64Encoded: master)!) == nil)
        }
    }

    @Test("SEC-47 swapped records, a flipped bit, another version number and a foreign tenant's key do not open")
    func SEC_47_altered() async throws {
        let world = try await World()
        let writer = try await world.open()
        for name in [telegram, slack, other] { try await writer.put(name, Secret("value of \(name)")) }
        func fails(_ name: SecretName, after change: () async throws -> Void) async throws {
            let key = world.record("names", name.rawValue)
            let good = try #require(try await world.records.get(key))
            try await change()
            let reader = try await world.open()
            await #expect { _ = try await reader.get(name) } throws: { if case .cannotOpen(name) = $0 as? SecretStoreError { true } else { false } }
            try await world.records.put(key, good.document)
        }
        let first = world.record("names", telegram.rawValue)
        let document = try #require(try await world.records.get(first)?.document)
        try await fails(telegram) { try await world.records.put(first, try #require(try await world.records.get(world.record("names", slack.rawValue))?.document)) }
        try await fails(telegram) { try await world.records.put(first, try #require(try await world.records.get(world.record("names", other.rawValue))?.document)) }
        try await fails(telegram) {
            var box = Data(base64Encoded: document["box"]!.string!)!
            box[20] ^= 1
            try await world.records.update(first, [.set("box", .string(box.base64EncodedString()))])
        }
        try await fails(telegram) { try await world.records.update(first, [.add("version", -1)]) }
        try await fails(telegram) {
            try await world.records.put(world.record("keys", "local/bot1"), try #require(try await world.records.get(world.record("keys", "local/bot2"))?.document))
        }
    }

    @Test("SEC-47 an old box does not fit again after the secret was deleted and put anew")
    func SEC_47_versions() async throws {
        let world = try await World()
        let store = try await world.open(), key = world.record("names", telegram.rawValue)
        try await store.put(telegram, Secret("one"))
        let old = try #require(try await world.records.get(key)?.document)
        try await store.delete(telegram)
        try await store.put(telegram, Secret("two"))
        let new = try #require(try await world.records.get(key)?.document)
        #expect(old["version"] != new["version"])
        try await world.records.update(key, [.set("box", old["box"]!)])
        let reader = try await world.open()
        await #expect(throws: SecretStoreError.self) { try await reader.get(telegram) }
    }

    @Test("SEC-47 the master key file is made 0600, and refused when others can read it or its length is wrong")
    func SEC_47_file() async throws {
        let world = try await World()
        _ = try await world.open()
        let mode = try FileManager.default.attributesOfItem(atPath: world.file.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        try FileManager.default.setAttributes([.posixPermissions: 0o640], ofItemAtPath: world.file.path)
        await expectMasterKeyError(containing: "can be read by others (mode 640)") { _ = try await world.open() }
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: world.file.path)
        for (text, reason) in [("c2hvcnQ=", "32 bytes"), ("not a key!", "no master key"), ("", "holds no master key")] {
            let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: world.file.path))
            try handle.truncate(atOffset: 0)
            try handle.write(contentsOf: Data(text.utf8))
            try handle.close()
            await expectMasterKeyError(containing: reason) { _ = try await world.open() }
        }
        try FileManager.default.removeItem(atPath: world.file.path)
        await expectMasterKeyError(containing: "is missing") { _ = try await world.open() }
        #expect(!FileManager.default.fileExists(atPath: world.file.path))
    }

    @Test("SEC-48 a wrong key at start is fatal")
    func SEC_48_wrongKey() async throws {
        let world = try await World()
        _ = try await world.open()
        await expectMasterKeyError(containing: "need the master key") {
            _ = try await EncryptedSecretStore.open(world.records, keys: MasterKeys([MasterKey(bytes: MasterKey.random())]))
        }
    }

    @Test("SEC-48 rotation while in use: no read fails, re-wrap reports, early retirement is refused, the old key then opens nothing")
    func SEC_48_rotation() async throws {
        let world = try await World()
        let before = try await world.open()
        let names = (0..<150).map { SecretName("local/bot\($0)/telegram/c") }
        for name in names { try await before.put(name, Secret(name.rawValue)) }
        let old = try #require(try world.file.read()).current.id

        let rotated = try world.file.rotate()
        #expect(rotated.all.map(\.id).contains(old) && rotated.current.id != old)
        let store = try await world.open()
        await expectMasterKeyError(containing: "still wraps") { try await store.requireUnused(old) }
        let reports = Shared<[Int]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await store.rewrap { done, _ in reports.withLock { $0.append(done) } } }
            for worker in 0..<4 {
                group.addTask {
                    for round in 0..<3 {
                        for (n, name) in names.enumerated() where n % 4 == worker {
                            // A store of its own, so that the cache does not hide a failure.
                            let reader = try await world.open()
                            #expect(try await reader.get(name)?.reveal() == name.rawValue, "round \(round)")
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(reports.withLock { $0 } == [100, 150])
        try await store.requireUnused(old)
        #expect(throws: SecretStoreError.self) { try world.file.retire(rotated.current.id) }
        #expect(try world.file.retire(old).all.map(\.id) == [rotated.current.id])
        let after = try await world.open()
        for name in names { #expect(try await after.get(name)?.reveal() == name.rawValue) }
    }

    @Test("SEC-53 values and absence are cached for at most 60 s and dropped on a write")
    func cache() async throws {
        let world = try await World(), time = ManualTime()
        let counted = CountingRecords(world.records)
        let store = try await EncryptedSecretStore.open(counted, keys: MasterKeys([MasterKey(bytes: MasterKey.random())]), time: time)
        try await store.put(telegram, Secret("one"))
        _ = try await (store.get(telegram), store.get(slack))
        let before = counted.reads
        for _ in 0..<10 { _ = try await (store.get(telegram), store.get(slack)) }
        #expect(counted.reads == before)
        try await store.put(slack, Secret("now there"))
        #expect(try await store.get(slack)?.reveal() == "now there")
        time.advance(by: .seconds(61))
        let expired = counted.reads
        _ = try await store.get(telegram)
        #expect(counted.reads > expired)
    }

    @Test("SEC-53 the cache holds no more than 1000 names")
    func cacheBound() {
        let cache = SecretCache<Int>(time: ManualTime())
        for n in 0..<5000 { cache.keep("\(n)", n, since: cache.version) }
        #expect(cache.count <= 1000)
        #expect(cache.get("4999") == 4999)
    }

    @Test("what was read before a write is not kept after it")
    func cacheRace() {
        let cache = SecretCache<Int>(time: ManualTime())
        let version = cache.version
        cache.drop("a")
        cache.keep("a", 1, since: version)
        #expect(cache.get("a") == nil)
    }

    private func expectMasterKeyError(containing text: String, _ body: () async throws -> Void) async {
        do {
            try await body()
            Issue.record("expected a master key error with “\(text)”")
        } catch SecretStoreError.masterKey(let reason) { #expect(reason.contains(text)) } catch { Issue.record(error) }
    }
}

/// Counts reads.
private final class CountingRecords: RecordStore {
    private let records: any RecordStore
    private let count = Shared(0)
    init(_ records: any RecordStore) { self.records = records }
    var reads: Int { count.withLock { $0 } }
    func get(_ key: RecordKey) async throws -> StoredRecord? { count.withLock { $0 += 1 }; return try await records.get(key) }
    func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord] { try await records.batchGet(keys) }
    func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord? { try await records.write(write, returning: returning) }
    func transact(_ writes: [RecordWrite], token: String?) async throws { try await records.transact(writes, token: token) }
    func query(_ query: RecordQuery) async throws -> RecordPage { try await records.query(query) }
    func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage { try await records.scan(table, limit: limit, cursor: cursor) }
    func prepare(_ tables: [Table]) async throws { try await records.prepare(tables) }
    func probe() async throws { try await records.probe() }
}
