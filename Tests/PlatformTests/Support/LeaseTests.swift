import Foundation
import Pace
import Platform
import Synchronization
import Testing

@Suite("Leases", .paced)
struct LeaseTests {
    let time = ManualTime()
    let records: InMemoryRecordStore
    let leases: LeaseStore
    init() {
        records = InMemoryRecordStore(time: time)
        leases = LeaseStore(records: records, time: time)
    }

    @Test("one owner at a time, the next after expiry, with a larger number")
    func takesTurns() async throws {
        let first = try #require(try await leases.acquire("leader", owner: "a"))
        #expect(try await leases.acquire("leader", owner: "b") == nil)
        #expect(try await leases.acquire("other", owner: "b") != nil)
        time.advance(by: .seconds(29))
        #expect(try await leases.acquire("leader", owner: "b") == nil)
        time.advance(by: .seconds(2))
        let second = try #require(try await leases.acquire("leader", owner: "b"))
        #expect(second.fencing > first.fencing)
        #expect(try await leases.renew(first) == nil)
        try await leases.release(first)
        #expect(try await leases.acquire("leader", owner: "a") == nil)
    }

    @Test("the same owner may take it again, and its earlier lease is void")
    func sameOwner() async throws {
        let first = try #require(try await leases.acquire("leader", owner: "a"))
        let again = try #require(try await leases.acquire("leader", owner: "a"))
        #expect(again.fencing > first.fencing)
        #expect(try await leases.renew(first) == nil)
        #expect(try await leases.renew(again)?.fencing == again.fencing)
    }

    @Test("renewing extends it from now")
    func renewing() async throws {
        var lease = try #require(try await leases.acquire("leader", owner: "a"))
        for _ in 0..<10 {
            time.advance(by: .seconds(20))
            lease = try #require(try await leases.renew(lease))
        }
        #expect(try await leases.acquire("leader", owner: "b") == nil)
        #expect(lease.expiresAt == time.now() + 30)
    }

    @Test("a released lease is free at once, and numbers never go back", arguments: [0, 40, 90_000, 200_000])
    func release(_ pause: Int) async throws {
        var last = 0
        for round in 0..<5 {
            let lease = try #require(try await leases.acquire("leader", owner: "o\(round % 2)"))
            #expect(lease.fencing > last)
            last = lease.fencing
            if round % 2 == 0 { try await leases.release(lease) } else { time.advance(by: .seconds(31)) }
            time.advance(by: .seconds(pause))
        }
    }

    @Test("of many at once one gets it")
    func race() async throws {
        let winners = await withTaskGroup(of: Lease?.self) { group in
            for owner in 0..<30 { group.addTask { try? await leases.acquire("leader", owner: "o\(owner)") } }
            return await group.reduce(into: 0) { $0 += $1 == nil ? 0 : 1 }
        }
        #expect(winners == 1)
    }

    @Test("a write under a lost lease fails")
    func fencing() async throws {
        let first = try #require(try await leases.acquire("leader", owner: "a"))
        try await records.transact([first.check, .put(RecordKey(Tables.settings, "platform", "x"), ["by": "a"])])
        time.advance(by: .seconds(31))
        _ = try await leases.acquire("leader", owner: "b")
        await #expect(throws: RecordStoreError.self) {
            try await records.transact([first.check, .put(RecordKey(Tables.settings, "platform", "x"), ["by": "late a"])])
        }
    }

    // MARK: withLease

    @Test("the body runs while the lease is held and renewed, and its end ends it")
    func bodyEnds() async throws {
        let gate = Gate()
        let running = Task { try await leases.withLease("leader", owner: "a") { _ in try await gate.wait() } }
        try await until { await gate.waiting == 1 }
        for _ in 0..<12 {
            // The next renewal is ten seconds ahead: the last one has ended.
            try await until { time.nextWakeUp == time.now() + 10 }
            time.advance(by: .seconds(10))
            #expect(try await leases.acquire("leader", owner: "b") == nil)
        }
        await gate.open()
        try await running.value
        #expect(try await leases.acquire("leader", owner: "b") != nil)
        #expect(time.sleepers == 0)
    }

    @Test("an error of the body is thrown, and the lease is free")
    func bodyThrows() async throws {
        struct Broken: Error {}
        await #expect(throws: Broken.self) { try await leases.withLease("leader", owner: "a") { _ in throw Broken() } }
        #expect(try await leases.acquire("leader", owner: "b") != nil)
    }

    @Test("without the lease it is tried every ten seconds")
    func waitsForItsTurn() async throws {
        let other = try #require(try await leases.acquire("leader", owner: "b", for: .seconds(35)))
        let gate = Gate()
        let running = Task { try await leases.withLease("leader", owner: "a") { _ in try await gate.wait() } }
        for _ in 0..<3 {
            try await until { time.sleepers == 1 }
            time.advance(by: .seconds(10))
            #expect(await gate.waiting == 0)
        }
        try await until { time.sleepers == 1 }
        time.advance(by: .seconds(10))
        try await until { await gate.waiting == 1 }
        #expect(try await leases.renew(other) == nil)
        running.cancel()
        _ = await running.result
        #expect(try await leases.acquire("leader", owner: "c") != nil)
    }

    @Test("the body is cancelled 25 s after the last renewal that worked, and begins again when the store is back")
    func storeAway() async throws {
        let faulty = FaultyRecords(records)
        let leases = LeaseStore(records: faulty, time: time)
        let gate = Gate()
        let log = Mutex<[String]>([])
        let running = Task {
            try await leases.withLease("leader", owner: "a") { lease in
                log.withLock { $0.append("begin") }
                do { try await gate.wait() } catch {
                    log.withLock { $0.append("cancelled") }
                    throw error
                }
            }
        }
        try await until { await gate.waiting == 1 }
        faulty.fails.withLock { $0 = true }
        let start = time.now()
        while log.withLock({ $0 }).count < 2 {
            try await until { time.sleepers >= 1 || log.withLock { $0 }.count == 2 }
            if log.withLock({ $0 }).count < 2, time.now() < start + 26 { time.advance(by: .seconds(1)) }
        }
        #expect(time.now().timeIntervalSince(start) >= 25)
        #expect(time.now().timeIntervalSince(start) < 30, "before the lease's own end")
        faulty.fails.withLock { $0 = false }
        try await until {
            if time.sleepers > 0, log.withLock({ $0 }).count < 3 { time.advance(by: .seconds(1)) }
            return log.withLock { $0 } == ["begin", "cancelled", "begin"]
        }
        running.cancel()
        _ = await running.result
    }

    @Test("the body is cancelled at the next renewal when another took the lease")
    func stolen() async throws {
        let gate = Gate()
        let cancelled = Mutex(false)
        let running = Task {
            try await leases.withLease("leader", owner: "a") { _ in
                do { try await gate.wait() } catch {
                    cancelled.withLock { $0 = true }
                    throw error
                }
            }
        }
        try await until { await gate.waiting == 1 }
        try await records.put(
            Lease.key("leader"),
            ["owner": "thief", "fencing": .int(.max - 1), "expiresAt": .string(Timestamp.text(time.now() + 3600))],
            expiresAt: time.now() + 90_000)
        try await until { time.sleepers == 1 }
        time.advance(by: .seconds(10))
        try await until { cancelled.withLock { $0 } }
        running.cancel()
        _ = await running.result
        #expect(try await records.get(Lease.key("leader"))?.document["owner"] == "thief")
    }
}

/// Holds whoever waits until it is opened; cancellation ends a wait.
private actor Gate {
    private(set) var waiting = 0
    private let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    func open() { continuation.finish() }
    private func count(_ by: Int) { waiting += by }
    nonisolated func wait() async throws {
        await count(1)
        for await _ in AsyncStream<Void>(unfolding: { [stream] in
            var iterator = stream.makeAsyncIterator()
            return await iterator.next()
        }) {}
        await count(-1)
        try Task.checkCancellation()
    }
}

/// A store that can be away.
private final class FaultyRecords: RecordStore {
    let fails = Mutex(false)
    private let store: InMemoryRecordStore
    init(_ store: InMemoryRecordStore) { self.store = store }
    private func check() throws { if fails.withLock({ $0 }) { throw RecordStoreError.unavailable("away") } }
    func get(_ key: RecordKey) async throws -> StoredRecord? { try check(); return try await store.get(key) }
    func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord] {
        try check(); return try await store.batchGet(keys)
    }
    func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord? {
        try check(); return try await store.write(write, returning: returning)
    }
    func transact(_ writes: [RecordWrite], token: String?) async throws {
        try check(); try await store.transact(writes, token: token)
    }
    func query(_ query: RecordQuery) async throws -> RecordPage { try check(); return try await store.query(query) }
    func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage {
        try check(); return try await store.scan(table, limit: limit, cursor: cursor)
    }
    func prepare(_ tables: [Table]) async throws {}
    func probe() async throws { try check() }
}
