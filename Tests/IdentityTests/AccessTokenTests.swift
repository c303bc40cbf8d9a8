import Crypto
import CryptoExtras
import Foundation
import JWTKit
import Pace
import Platform
import Testing

@testable import Identity

@Suite("access tokens", .paced)
struct AccessTokenTests {
    /// Signs any header and claims with the world's own key.
    static func forge(_ world: IdentityWorld, header: [String: Value], claims: [String: Value]) async throws -> String {
        let ring = try await world.keys.keys()
        let key = try _RSA.Signing.PrivateKey(pemRepresentation: ring.current.pem.reveal())
        let text = "\(Digest.base64URL(try JSON.data(.object(header)))).\(Digest.base64URL(try JSON.data(.object(claims))))"
        let signature = try key.signature(for: SHA256.hash(data: Data(text.utf8)), padding: .insecurePKCS1v1_5)
        return "\(text).\(Digest.base64URL(signature.rawRepresentation))"
    }
    static func header(_ world: IdentityWorld) async throws -> [String: Value] { ["alg": "RS256", "typ": "JWT", "kid": .string(try await world.keys.keys().current.id)] }
    static func claims(_ world: IdentityWorld, _ user: User) -> [String: Value] {
        let now = Int(world.time.now().timeIntervalSince1970)
        return [
            "iss": .string(IdentityWorld.issuerURL), "sub": .string(user.userId.rawValue), "aud": "clawbot", "iat": .int(now), "exp": .int(now + 900), "jti": "x",
            "token_use": "access", "email": .string(user.email), "groups": .array([]),
        ]
    }

    @Test("a token of ours says who it is")
    func good() async throws {
        let world = IdentityWorld()
        let user = try await world.user(admin: true)
        let pair = try await world.login()
        let identity = try await world.verifier.verify(pair.accessToken.reveal())
        #expect(identity.userId == user.userId)
        #expect(identity.email == "ann@example.com")
        #expect(identity.isAdmin)
        #expect(identity.expiresAt.timeIntervalSince(identity.issuedAt) <= 900)
        let good = try await Self.forge(world, header: Self.header(world), claims: Self.claims(world, user))
        #expect(try await world.verifier.verify(good).userId == user.userId)
    }

    @Test("SEC-01 another algorithm, a key in the header, critical extensions and tampering are refused alike")
    func SEC_01_algorithms() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        let header = try await Self.header(world), claims = Self.claims(world, user)
        var tokens: [String] = []
        for (name, value): (String, Value) in [("alg", "none"), ("alg", "RS512"), ("alg", "ES256"), ("alg", "HS256"), ("jwk", .object([:])), ("jku", "https://x"), ("x5u", "https://x"),
            ("x5c", .array([])), ("crit", .array(["exp"])), ("zip", "DEF"), ("typ", "at+jwt"), ("kid", "unknown"), ("kid", 7), ("alg", .array(["RS256"]))] {
            tokens.append(try await Self.forge(world, header: header.merging([name: value]) { $1 }, claims: claims))
        }
        tokens.append(try await Self.forge(world, header: header.filter { $0.key != "kid" }, claims: claims))
        tokens.append(try await Self.forge(world, header: header.filter { $0.key != "alg" }, claims: claims))
        // HS256 keyed with our public PEM
        let pem = try Insecure.RSA.PrivateKey(pem: try await world.keys.keys().current.pem.reveal()).publicKey.pemRepresentation
        let text = "\(Digest.base64URL(try JSON.data(.object(header.merging(["alg": "HS256"]) { $1 })))).\(Digest.base64URL(try JSON.data(.object(claims))))"
        tokens.append("\(text).\(Digest.base64URL(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: SymmetricKey(data: Data(pem.utf8)))))")
        let good = try await Self.forge(world, header: header, claims: claims)
        let parts = good.split(separator: ".").map(String.init)
        // A deployment with a key of its own, under our key's name.
        let foreign = IdentityWorld(time: world.time, records: InMemoryRecordStore(time: world.time), secrets: InMemorySecretStore(), hasher: world.hasher)
        let stranger = try await foreign.user()
        let theirs = try await Self.forge(foreign, header: header, claims: Self.claims(foreign, stranger).merging(["sub": .string(user.userId.rawValue)]) { $1 })
        tokens += [theirs, good + "=", good + ".", "\(parts[0]).\(parts[1]).", "\(parts[0]).\(parts[1])", "", "..", "\(parts[0]).\(parts[1]).\(parts[2].reversed())", String(repeating: "a", count: 9000)]
        let doubled = Digest.base64URL(Data("{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"\(try await world.keys.keys().current.id)\"}".utf8))
        tokens.append("\(doubled).\(parts[1]).\(parts[2])")
        for token in tokens { #expect(await tokenRefusal { _ = try await world.verifier.verify(token) } == .invalid, "\(token.prefix(60))") }
        #expect(try await world.verifier.verify(good).userId == user.userId)
    }

    @Test("SEC-02 each claim missing, wrong, of another type or out of time is refused")
    func SEC_02_claims() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        let header = try await Self.header(world), claims = Self.claims(world, user)
        let now = Int(world.time.now().timeIntervalSince1970)
        func outcome(_ change: [String: Value], without: String? = nil) async throws -> TokenError? {
            var changed = claims
            for (name, value) in change { changed[name] = value }
            if let without { changed[without] = nil }
            let token = try await Self.forge(world, header: header, claims: changed)
            return await tokenRefusal { _ = try await world.verifier.verify(token) }
        }
        for name in ["iss", "sub", "aud", "iat", "exp", "token_use"] { #expect(try await outcome([:], without: name) == .invalid, "\(name) missing") }
        for name in ["iss", "sub", "aud", "iat", "exp", "token_use"] { #expect(try await outcome([name: .array([claims[name] ?? .null])]) == .invalid, "\(name) an array") }
        for (name, value): (String, Value) in [("iss", "https://bots.example.com/"), ("aud", "other"), ("token_use", "id"), ("sub", "nobody"), ("exp", "9999999999"), ("iat", .bool(true)), ("nbf", "x")] {
            #expect(try await outcome([name: value]) == .invalid, "\(name)")
        }
        #expect(try await outcome(["exp": .int(now - 61)]) == .expired)
        #expect(try await outcome(["exp": .int(now - 59)]) == nil)
        #expect(try await outcome(["nbf": .int(now + 61)]) == .invalid)
        #expect(try await outcome(["nbf": .int(now + 59)]) == nil)
        #expect(try await outcome(["iat": .int(now + 61)]) == .invalid)
    }

    @Test("SEC-02 a remembered token still expires")
    func SEC_02_remembered() async throws {
        let world = IdentityWorld()
        try await world.user()
        let token = try await world.login().accessToken.reveal()
        for _ in 0..<3 { _ = try await world.verifier.verify(token) }
        #expect(world.verifier.remembered == 1)
        world.time.advance(by: .seconds(900 + 59))
        _ = try await world.verifier.verify(token)
        world.time.advance(by: .seconds(2))
        #expect(await tokenRefusal { _ = try await world.verifier.verify(token) } == .expired)
    }

    @Test("what is remembered of tokens is bounded")
    func bounded() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        let verifier = LocalTokenVerifier(issuer: IdentityWorld.issuerURL, keys: world.keys, users: world.states, time: world.time, cache: 5)
        for _ in 0..<12 { _ = try await verifier.verify(try await world.issuer.issue(for: user).reveal()) }
        #expect(verifier.remembered <= 5)
    }

    @Test("SEC-05 password change, reset, deletion and log-out-everywhere end a token within 5 s on the other node, suspension with its own answer")
    func SEC_05_revocation() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        try await world.user("second@example.com", admin: true)
        let other = world.node()
        func check(_ name: String, expecting: TokenError, _ event: (User, TokenPair) async throws -> Void) async throws {
            let user = try await world.user("\(name)@example.com")
            let pair = try await world.login("\(name)@example.com")
            let token = pair.accessToken.reveal()
            _ = try await other.verifier.verify(token)
            world.time.advance(by: .milliseconds(20))
            try await event(user, pair)
            #expect(await tokenRefusal { _ = try await world.verifier.verify(token) } == expecting, "\(name) here")
            world.time.advance(by: .seconds(5))
            #expect(await tokenRefusal { _ = try await other.verifier.verify(token) } == expecting, "\(name) there")
            #expect(await refusal { _ = try await other.signIn.refresh(pair.refreshToken) } == .unauthenticated, "\(name) refresh")
        }
        try await check("change", expecting: .invalid) { user, _ in
            let pair = try await world.signIn.changePassword(of: user.userId, current: IdentityWorld.password, new: Secret("another long phrase"))
            _ = try await world.verifier.verify(pair.accessToken.reveal())
            _ = try await world.signIn.refresh(pair.refreshToken)
        }
        try await check("reset", expecting: .invalid) { user, _ in _ = try await world.accounts.resetPassword(user.userId, by: admin.userId) }
        try await check("delete", expecting: .invalid) { user, _ in try await world.accounts.delete(user.userId, by: admin.userId) }
        try await check("everywhere", expecting: .invalid) { _, pair in try await world.signIn.logout(pair.refreshToken, everywhere: true) }
        try await check("suspend", expecting: .suspended) { user, _ in _ = try await world.accounts.setStatus(user.userId, to: .suspended, by: admin.userId) }
    }

    @Test("SEC-05 reactivated, the old tokens stay dead and a new log-in works")
    func SEC_05_reactivated() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let user = try await world.user()
        let old = try await world.login()
        world.time.advance(by: .seconds(1))
        _ = try await world.accounts.setStatus(user.userId, to: .suspended, by: admin.userId)
        _ = try await world.accounts.setStatus(user.userId, to: .active, by: admin.userId)
        #expect(await tokenRefusal { _ = try await world.verifier.verify(old.accessToken.reveal()) } == .invalid)
        _ = try await world.verifier.verify(try await world.login().accessToken.reveal())
    }

    @Test("SEC-13 no class of token passes at another's door")
    func SEC_13_classes() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        try await world.user()
        let pair = try await world.login()
        let temporary = try await world.accounts.create(email: "new@example.com", by: admin.userId).temporaryPassword
        guard case .challenged(.newPassword, let challenge, 600) = try await world.signIn.login(email: "new@example.com", password: temporary) else { Issue.record("no challenge"); return }
        for other in [pair.refreshToken, challenge] { #expect(await tokenRefusal { _ = try await world.verifier.verify(other.reveal()) } == .invalid) }
        for other in [pair.accessToken, challenge] { #expect(await refusal { _ = try await world.signIn.refresh(other) } == .unauthenticated) }
        for other in [pair.accessToken, pair.refreshToken] {
            #expect(await refusal { _ = try await world.signIn.changePassword(challenge: other, new: Secret("quite another phrase")) } == .unauthenticated)
        }
        // A refresh token's text under the other class's name.
        let renamed = Secret("r1" + challenge.reveal().dropFirst(2))
        #expect(await refusal { _ = try await world.signIn.refresh(renamed) } == .unauthenticated)
        #expect("\(pair)".contains("‹redacted›"))
        #expect(!"\(pair)".contains(pair.refreshToken.reveal()))
    }
}
