import Foundation
import Pace
import Platform
import Testing

@testable import Identity

@Suite("a trail that cannot be written", .paced)
struct AuditFailureTests {
    @Test("SEC-123 a change whose audit entry cannot be written is not made")
    func SEC_123_no_entry_no_change() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let user = try await world.user()
        let records = WithoutAudit(inner: world.records)
        let accounts = Accounts(records: records, hasher: world.hasher, states: world.states, time: world.time)
        let before = try #require(try await world.records.get(User.key(user.userId))).document
        await #expect(throws: RecordStoreError.self) { try await accounts.setStatus(user.userId, to: .suspended, by: admin.userId, requestId: "r") }
        await #expect(throws: RecordStoreError.self) { try await accounts.setPlan(user.userId, to: .pro, by: admin.userId, requestId: "r") }
        await #expect(throws: RecordStoreError.self) { try await accounts.setAdmin(user.userId, to: true, by: admin.userId, requestId: "r") }
        await #expect(throws: RecordStoreError.self) {
            try await accounts.add(
                email: "new@example.com", displayName: nil, plan: .free, isAdmin: false, password: IdentityWorld.password, mustChange: false,
                by: admin.userId.rawValue, requestId: "r")
        }
        #expect(try await world.records.get(User.key(user.userId))?.document == before)
        #expect(await refusal { _ = try await world.login("new@example.com") } == .invalidCredentials)
    }
}

/// A store whose audit table is away.
private struct WithoutAudit: RecordStore {
    let inner: InMemoryRecordStore
    private func check(_ writes: [RecordWrite]) throws {
        if writes.contains(where: { $0.key.table.name == Tables.audit.name }) { throw RecordStoreError.unavailable("the trail is away") }
    }
    func get(_ key: RecordKey) async throws -> StoredRecord? { try await inner.get(key) }
    func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord] { try await inner.batchGet(keys) }
    func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord? {
        try check([write])
        return try await inner.write(write, returning: returning)
    }
    func transact(_ writes: [RecordWrite], token: String?) async throws {
        try check(writes)
        try await inner.transact(writes, token: token)
    }
    func query(_ query: RecordQuery) async throws -> RecordPage { try await inner.query(query) }
    func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage { try await inner.scan(table, limit: limit, cursor: cursor) }
    func prepare(_ tables: [Table]) async throws {}
    func probe() async throws {}
}
