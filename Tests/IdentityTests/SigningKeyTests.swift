import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import Identity

@Suite("signing keys", .paced)
struct SigningKeyTests {
    @Test("SEC-03 the key is made once, stored, and shared by the nodes that start together")
    func SEC_03_first_start() async throws {
        let records = InMemoryRecordStore(), secrets = InMemorySecretStore()
        let nodes = (0..<3).map { _ in SigningKeys(secrets: secrets, records: records, stage: "test") }
        let ids = try await withThrowingTaskGroup(of: String.self) { group in
            for keys in nodes + nodes { group.addTask { try await keys.keys().current.id } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(ids.count == 1)
        #expect(try await SigningKeys(secrets: secrets, records: records, stage: "test").keys().current.id == ids.first)
        #expect(try await secrets.list(prefix: "") == [SecretName("test/signing-keys")])
    }

    @Test("SEC-03 after 90 days the published next key signs, and tokens of the one before live on")
    func SEC_03_rotation() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        try await world.keys.rotateIfDue()
        let before = try await world.keys.keys()
        let next = try #require(before.next)
        #expect(try await world.keys.document().keys.count == 2)
        world.time.advance(by: .seconds(Int(SigningKeys.lifetime) - 60))
        try await world.keys.rotateIfDue()
        #expect(try await world.keys.keys().current.id == before.current.id)
        let old = try await world.issuer.issue(for: user).reveal()
        let other = world.node()
        _ = try await other.verifier.verify(old)
        world.time.advance(by: .seconds(120))
        try await world.keys.rotateIfDue()
        let after = try await world.keys.keys()
        #expect(after.current.id == next.id)
        #expect(after.previous?.id == before.current.id)
        #expect(after.next != nil && after.next?.id != next.id)
        #expect(try await world.keys.document().keys.map(\.kid).count == 3)
        _ = try await world.verifier.verify(old)
        let new = try await world.issuer.issue(for: user).reveal()
        _ = try await other.verifier.verify(new)
        _ = try await world.node().verifier.verify(old)
        world.time.advance(by: .seconds(900))
        #expect(await tokenRefusal { _ = try await other.verifier.verify(old) } == .expired)
        // A key that the other node has never heard of: read again, once a minute.
        world.time.advance(by: .seconds(Int(SigningKeys.lifetime)))
        try await world.keys.rotateIfDue()
        world.time.advance(by: .seconds(Int(SigningKeys.lifetime)))
        try await world.keys.rotateIfDue()
        let unknown = try await world.issuer.issue(for: user).reveal()
        _ = try await other.verifier.verify(unknown)
    }

    @Test("SEC-03 a thousand unknown key ids cost at most one reading a minute")
    func SEC_03_unknown_ids() async throws {
        let counting = CountingSecrets()
        let world = IdentityWorld()
        let keys = SigningKeys(secrets: counting, records: world.records, stage: "test", time: world.time)
        _ = try await keys.keys()
        let before = counting.reads.withLock { $0 }
        for index in 0..<1000 { #expect(try await !keys.knows("kid-\(index)")) }
        world.time.advance(by: .seconds(60))
        for index in 0..<1000 { #expect(try await !keys.knows("kid-\(index)")) }
        #expect(counting.reads.withLock { $0 } <= before + 1)
        #expect(try await keys.knows(keys.keys().current.id))
    }

    @Test("SEC-03 the published documents hold public halves only")
    func SEC_03_documents() async throws {
        let world = IdentityWorld()
        let text = try JSON.text(try await world.keys.document())
        for part in ["\"kty\":\"RSA\"", "\"alg\":\"RS256\"", "\"use\":\"sig\"", "\"e\":\"AQAB\""] { #expect(text.contains(part)) }
        #expect(!text.contains("\"d\""))
        let discovery = try JSON.text(DiscoveryDocument(issuer: "https://bots.example.com"))
        #expect(discovery.contains("\"jwks_uri\":\"https://bots.example.com/auth/.well-known/jwks.json\""))
        #expect(!discovery.contains("token_endpoint"))
    }

    private final class CountingSecrets: SecretStore {
        let reads = Mutex(0)
        private let inner = InMemorySecretStore()
        func get(_ name: SecretName) async throws -> Secret? { reads.withLock { $0 += 1 }; return try await inner.get(name) }
        func put(_ name: SecretName, _ value: Secret) async throws { try await inner.put(name, value) }
        func delete(_ name: SecretName) async throws { try await inner.delete(name) }
        func list(prefix: String) async throws -> [SecretName] { try await inner.list(prefix: prefix) }
        func probe() async throws {}
    }
}
