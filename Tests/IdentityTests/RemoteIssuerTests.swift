import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import Identity

@Suite("an issuer that is another process", .paced)
struct RemoteIssuerTests {
    /// The issuer's world behind a line that can be cut and counts what goes over it; and a node of another world that only checks.
    private struct Pair {
        let issuer = IdentityWorld()
        let line = Line()
        let own: InMemoryRecordStore
        let verifier: RemoteTokenVerifier

        init() {
            own = InMemoryRecordStore(time: issuer.time)
            let (issuer, line) = (issuer, line)
            verifier = RemoteTokenVerifier(
                issuer: RemoteIssuer { request in try await line.carry(request, to: issuer) }, named: IdentityWorld.issuerURL, records: own, time: issuer.time)
        }
    }

    private final class Line: Sendable {
        struct Cut: Error {}
        let isCut = Mutex(false)
        let asked = Mutex<[String: Int]>([:])

        func carry(_ request: RemoteIssuer.Request, to world: IdentityWorld) async throws -> RemoteIssuer.Answer {
            asked.withLock { $0[request.path, default: 0] += 1 }
            if isCut.withLock({ $0 }) { throw Cut() }
            if request.path == "/auth/.well-known/jwks.json" { return .init(status: 200, body: try JSON.value(JSON.encode(try await world.keys.document()))) }
            do {
                let identity = try await world.verifier.verify(request.token?.reveal() ?? "")
                return .init(
                    status: 200,
                    body: .object(["userId": .string(identity.userId.rawValue), "email": .string(identity.email ?? ""), "isAdmin": .bool(identity.isAdmin), "displayName": "Ann"]))
            } catch TokenError.suspended { return .init(status: 403, body: .null) } catch { return .init(status: 401, body: .null) }
        }
        func count(_ path: String) -> Int { asked.withLock { $0[path] ?? 0 } }
    }

    @Test("SEC-03 its keys are fetched once; unknown key ids ask again at most once a minute, and an outage keeps the old set")
    func SEC_03_keys() async throws {
        let pair = Pair()
        try await pair.issuer.user()
        let token = try await pair.issuer.login().accessToken.reveal()
        #expect(try await pair.verifier.verify(token).email == "ann@example.com")
        let stranger = IdentityWorld(time: pair.issuer.time, records: InMemoryRecordStore(time: pair.issuer.time), secrets: InMemorySecretStore(), hasher: pair.issuer.hasher)
        try await stranger.user()
        let forged = try await stranger.login().accessToken.reveal()
        for _ in 0..<100 { #expect(await tokenRefusal { _ = try await pair.verifier.verify(forged) } == .invalid) }
        #expect(pair.line.count("/auth/.well-known/jwks.json") == 1)
        pair.issuer.time.advance(by: .seconds(61))
        pair.line.isCut.withLock { $0 = true }
        for _ in 0..<100 { #expect(await tokenRefusal { _ = try await pair.verifier.verify(forged) } == .invalid) }
        #expect(pair.line.count("/auth/.well-known/jwks.json") == 2)
        pair.line.isCut.withLock { $0 = false }
        #expect(try await pair.verifier.verify(token).email == "ann@example.com")
    }

    @Test("SEC-05 suspension and password changes at the issuer end a token within five seconds here")
    func SEC_05_state() async throws {
        let pair = Pair()
        let user = try await pair.issuer.user()
        let admin = try await pair.issuer.user("root@example.com", admin: true)
        let token = try await pair.issuer.login().accessToken.reveal()
        _ = try await pair.verifier.verify(token)
        pair.issuer.time.advance(by: .seconds(1))
        _ = try await pair.issuer.accounts.setStatus(user.userId, to: .suspended, by: admin.userId, requestId: "r")
        pair.issuer.time.advance(by: .seconds(5))
        #expect(await tokenRefusal { _ = try await pair.verifier.verify(token) } == .suspended)
        #expect(try await pair.own.get(User.self, User.key(user.userId))?.status == .suspended)
        _ = try await pair.issuer.accounts.setStatus(user.userId, to: .active, by: admin.userId, requestId: "r")
        pair.issuer.time.advance(by: .seconds(5))
        #expect(await tokenRefusal { _ = try await pair.verifier.verify(token) } == .invalid)
        let fresh = try await pair.issuer.login().accessToken.reveal()
        #expect(try await pair.verifier.verify(fresh).userId == user.userId)
        #expect(try await pair.own.get(User.self, User.key(user.userId))?.status == .active)
    }

    @Test("an issuer that does not answer: who was seen within a minute goes on, others are told to try again")
    func outage() async throws {
        let pair = Pair()
        try await pair.issuer.user()
        try await pair.issuer.user("bob@example.com")
        let ann = try await pair.issuer.login().accessToken.reveal(), bob = try await pair.issuer.login("bob@example.com").accessToken.reveal()
        _ = try await pair.verifier.verify(ann)
        pair.line.isCut.withLock { $0 = true }
        pair.issuer.time.advance(by: .seconds(30))
        #expect(try await pair.verifier.verify(ann).email == "ann@example.com")
        await #expect(throws: RecordStoreError.self) { try await pair.verifier.verify(bob) }
        pair.issuer.time.advance(by: .seconds(31))
        await #expect(throws: RecordStoreError.self) { try await pair.verifier.verify(ann) }
        pair.line.isCut.withLock { $0 = false }
        #expect(try await pair.verifier.verify(bob).email == "bob@example.com")
    }
}
