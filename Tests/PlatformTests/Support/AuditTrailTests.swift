import Foundation
import Pace
import Platform
import Testing

@Suite("Audit trail", .paced)
struct AuditTrailTests {
    private let time = ManualTime(Date(timeIntervalSince1970: 1_800_000_000))
    private let records: InMemoryRecordStore
    private let trail: AuditTrail

    init() {
        records = InMemoryRecordStore(time: time)
        trail = AuditTrail(records: records)
    }

    private func entry(_ action: String) -> AuditEntry { AuditEntry(userId: "u", actorId: "u", action: action, at: time.now()) }

    private func write(_ actions: [String]) async throws {
        for action in actions {
            try await trail.append(entry(action))
            time.advance(by: .seconds(1))
        }
    }

    @Test("entries are numbered without gaps and the trail is whole")
    func whole() async throws {
        #expect(try await trail.damage(of: "u", at: time.now()) == nil)
        try await write(["a", "b", "c"])
        let found = try await trail.entries(of: "u", limit: 10, cursor: nil)
        #expect(found.items.map(\.action) == ["c", "b", "a"])
        #expect(found.items.map(\.sequence) == [3, 2, 1])
        #expect(try await trail.damage(of: "u", at: time.now()) == nil)
    }

    @Test("writers at the same moment all get their place")
    func concurrent() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<20 { group.addTask { try await trail.append(entry("n\(index)")) } }
            try await group.waitForAll()
        }
        #expect(try await trail.entries(of: "u", limit: 100, cursor: nil).items.map(\.sequence).sorted() == Array(1...20))
        #expect(try await trail.damage(of: "u", at: time.now()) == nil)
    }

    @Test("SEC-123 a change whose own condition fails leaves no entry, and an entry comes with its change")
    func together() async throws {
        let key = RecordKey(Tables.settings, "platform", "x")
        await #expect(throws: RecordStoreError.self) { try await trail.transact([.update(key, [.set("n", 1)])], entry("changed")) }
        #expect(try await trail.entries(of: "u", limit: 10, cursor: nil).items.isEmpty)
        try await trail.transact([.put(key, ["n": 1])], entry("changed"))
        #expect(try await records.get(key)?.document["n"]?.int == 1)
        #expect(try await trail.entries(of: "u", limit: 10, cursor: nil).items.count == 1)
    }

    @Test("SEC-124 an entry that is altered, removed or the newest one removed is noticed", arguments: 0..<4)
    func tampering(_ which: Int) async throws {
        try await write(["a", "b", "c", "d"])
        let entries = try await trail.entries(of: "u", limit: 10, cursor: nil).items.sorted { $0.sequence < $1.sequence }
        try await records.update(entries[which].key, [.set("actorId", "somebody-else")], if: .recordExists)
        #expect(try await trail.damage(of: "u", at: time.now()) != nil)
        try await records.update(entries[which].key, [.set("actorId", "u")], if: .recordExists)
        #expect(try await trail.damage(of: "u", at: time.now()) == nil)
        try await records.delete(entries[which].key)
        #expect(try await trail.damage(of: "u", at: time.now()) != nil)
    }

    @Test("entries that expired leave the rest whole")
    func expiry() async throws {
        try await write(["a", "b"])
        time.advance(by: .seconds(300 * 86_400))
        try await write(["c"])
        time.advance(by: .seconds(101 * 86_400))
        #expect(try await trail.entries(of: "u", limit: 10, cursor: nil).items.map(\.action) == ["c"])
        #expect(try await trail.damage(of: "u", at: time.now()) == nil)
        time.advance(by: .seconds(400 * 86_400))
        #expect(try await trail.damage(of: "u", at: time.now()) == nil)
    }
}
