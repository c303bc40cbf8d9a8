import Foundation
import Pace
import Platform
import Testing

@testable import Identity

@Suite("second factor", .paced)
struct SecondFactorTests {
    /// RFC 6238 appendix B, SHA-1, eight digits.
    @Test("codes are those of RFC 6238", arguments: [
        (59, "94287082"), (1_111_111_109, "07081804"), (1_111_111_111, "14050471"), (1_234_567_890, "89005924"), (2_000_000_000, "69279037"), (20_000_000_000, "65353130"),
    ])
    func vectors(time: Int, code: String) {
        let secret = Array("12345678901234567890".utf8)
        #expect(TimeBasedCode.code(secret, step: TimeBasedCode.step(at: Date(timeIntervalSince1970: Double(time))), digits: 8) == code)
    }

    /// RFC 4648 §10, padding taken off.
    @Test("base 32 is that of RFC 4648", arguments: [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB"), ("foobar", "MZXW6YTBOI")])
    func base32(plain: String, encoded: String) {
        #expect(Base32.encode(Array(plain.utf8)) == encoded)
        #expect(Base32.decode(encoded) == Array(plain.utf8))
    }

    private func code(_ secret: Secret, _ world: IdentityWorld, shift: Int = 0) throws -> String {
        TimeBasedCode.code(try #require(Base32.decode(secret.reveal())), step: TimeBasedCode.step(at: world.time.now()) + shift)
    }
    private func challenge(_ world: IdentityWorld, _ step: LoginOutcome.Step, _ email: String = "ann@example.com") async throws -> Secret {
        guard case .challenged(step, let token, 600) = try await world.signIn.login(email: email, password: IdentityWorld.password) else { throw IdentityError.invalidState("no \(step)") }
        return token
    }
    /// A user with a factor; its secret and recovery codes.
    private func enrolled(_ world: IdentityWorld, admin: Bool = false) async throws -> (user: User, secret: Secret, recovery: [Secret]) {
        let user = try await world.user(admin: admin)
        let made = try await world.signIn.enrol(user.userId, currentPassword: IdentityWorld.password)
        let recovery = try await world.signIn.confirmSecondFactor(of: user.userId, code: code(made.secret, world))
        return (user, made.secret, recovery)
    }

    @Test("SEC-12 an enrolled user needs a code, each of which works once")
    func SEC_12_code() async throws {
        let world = IdentityWorld()
        let (user, secret, _) = try await enrolled(world)
        let first = try await challenge(world, .code)
        // The step of the enrolment is spent.
        #expect(await refusal { _ = try await world.signIn.pay(challenge: first, code: code(secret, world)) } == .invalidCode)
        world.time.advance(by: .seconds(60))
        let used = try code(secret, world)
        let pair = try await world.signIn.pay(challenge: first, code: used).pair
        #expect(try await world.verifier.verify(pair.accessToken.reveal()).userId == user.userId)
        // The challenge is spent too, and so is the code for another challenge.
        #expect(await refusal { _ = try await world.signIn.pay(challenge: first, code: code(secret, world, shift: 1)) } == .unauthenticated)
        let second = try await challenge(world, .code)
        #expect(await refusal { _ = try await world.signIn.pay(challenge: second, code: used) } == .invalidCode)
        // One step ahead is a clock that runs fast; two is none of ours.
        #expect(await refusal { _ = try await world.signIn.pay(challenge: second, code: code(secret, world, shift: 2)) } == .invalidCode)
        _ = try await world.signIn.pay(challenge: second, code: code(secret, world, shift: 1))
    }

    @Test("SEC-12 of two who show one code at once, one gets in")
    func SEC_12_race() async throws {
        let world = IdentityWorld()
        let (_, secret, _) = try await enrolled(world)
        world.time.advance(by: .seconds(60))
        let tokens = [try await challenge(world, .code), try await challenge(world, .code)], code = try code(secret, world)
        let entered = await withTaskGroup(of: Bool.self) { group in
            for token in tokens { group.addTask { await refusal { _ = try await world.signIn.pay(challenge: token, code: code) } == nil } }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(entered == 1)
    }

    @Test("SEC-12 ten recovery codes work once each and lie there as digests")
    func SEC_12_recovery() async throws {
        let world = IdentityWorld()
        let (user, _, recovery) = try await enrolled(world)
        #expect(Set(recovery.map { $0.reveal() }).count == 10)
        let stored = try JSON.text(Value.object(try #require(try await world.records.get(user.key)).document))
        for code in recovery { #expect(!stored.contains(code.reveal())) }
        _ = try await world.signIn.pay(challenge: challenge(world, .code), code: recovery[3].reveal().uppercased())
        #expect(await refusal { _ = try await world.signIn.pay(challenge: challenge(world, .code), code: recovery[3].reveal()) } == .invalidCode)
        _ = try await world.signIn.pay(challenge: challenge(world, .code), code: recovery[4].reveal())
        #expect(try await world.accounts.user(user.userId)?.secondFactor?.recoveryHashes.count == 8)
    }

    @Test("SEC-12 wrong codes close the door as wrong passwords do, and right passwords in between do not open it")
    func SEC_12_lockout() async throws {
        let world = IdentityWorld()
        let (user, secret, _) = try await enrolled(world)
        world.time.advance(by: .seconds(60))
        for _ in 0..<5 {
            let token = try await challenge(world, .code)
            #expect(await refusal { _ = try await world.signIn.pay(challenge: token, code: "000000") } == .invalidCode)
        }
        #expect(await refusal { _ = try await world.login() } == .tooManyAttempts(retryAfter: .seconds(60)))
        #expect(try await world.audit(user.userId).filter { $0 == "user.code-failed" }.count == 5)
        #expect(try await world.audit(user.userId).filter { $0 == "user.locked-out" }.count == 1)
        world.time.advance(by: .seconds(61))
        let token = try await challenge(world, .code)
        _ = try await world.signIn.pay(challenge: token, code: code(secret, world))
        #expect(try await world.accounts.lockedUntil(user) == nil)
    }

    @Test("SEC-12 where it is required an administrator without one gets enrolment and nothing else")
    func SEC_12_required() async throws {
        let world = IdentityWorld(policy: .required)
        let admin = try await world.user(admin: true)
        try await world.user("bob@example.com")
        _ = try await world.login("bob@example.com")
        let token = try await challenge(world, .enrolment)
        #expect(await tokenRefusal { _ = try await world.verifier.verify(token.reveal()) } == .invalid)
        #expect(await refusal { _ = try await world.signIn.changePassword(challenge: token, new: Secret("quite another phrase")) } == .unauthenticated)
        #expect(await refusal { _ = try await world.signIn.pay(challenge: token, code: "123456") } == .invalidCode)
        // A token from before, or of somebody just promoted, is no administrator's.
        #expect(try await !world.verifier.verify(world.issuer.issue(for: admin).reveal()).isAdmin)
        let made = try await world.signIn.enrol(challenge: token)
        #expect(made.uri.reveal().hasPrefix("otpauth://totp/ClawBot%3Aann%40example.com?secret=\(made.secret.reveal())&issuer=ClawBot"))
        let paid = try await world.signIn.pay(challenge: token, code: code(made.secret, world))
        #expect(paid.recoveryCodes?.count == 10)
        world.states.forget(admin.userId)
        #expect(try await world.verifier.verify(paid.pair.accessToken.reveal()).isAdmin)
        world.time.advance(by: .seconds(60))
        guard case .invalidState = await refusal({
            try await world.signIn.removeSecondFactor(of: admin.userId, currentPassword: IdentityWorld.password, code: code(made.secret, world))
        }) else { Issue.record("turned off"); return }
    }

    @Test("SEC-12 a forced password change comes before the code")
    func SEC_12_order() async throws {
        let world = IdentityWorld()
        let root = try await world.user("root@example.com", admin: true)
        let (user, secret, _) = try await enrolled(world)
        world.time.advance(by: .seconds(60))
        let temporary = try await world.accounts.resetPassword(user.userId, by: root.userId)
        guard case .challenged(.newPassword, let token, _) = try await world.signIn.login(email: user.email, password: temporary),
            case .challenged(.code, let next, _) = try await world.signIn.changePassword(challenge: token, new: Secret("my very own phrase"))
        else { Issue.record("other steps"); return }
        _ = try await world.signIn.pay(challenge: next, code: code(secret, world))
    }

    @Test("SEC-12 turned off with password and code, or by an administrator, it is asked for no more")
    func SEC_12_off() async throws {
        let world = IdentityWorld()
        let (user, secret, recovery) = try await enrolled(world)
        world.time.advance(by: .seconds(60))
        #expect(await refusal { try await world.signIn.removeSecondFactor(of: user.userId, currentPassword: Secret("wrong wrong wrong"), code: code(secret, world)) } == .invalidCredentials)
        #expect(await refusal { try await world.signIn.removeSecondFactor(of: user.userId, currentPassword: IdentityWorld.password, code: "000000") } == .invalidCode)
        try await world.signIn.removeSecondFactor(of: user.userId, currentPassword: IdentityWorld.password, code: recovery[0].reveal())
        _ = try await world.login()
        #expect(try await world.secrets.list(prefix: "test/\(user.userId)/").isEmpty)
        let again = try await world.signIn.enrol(user.userId, currentPassword: IdentityWorld.password)
        _ = try await world.signIn.confirmSecondFactor(of: user.userId, code: code(again.secret, world))
        _ = try await challenge(world, .code)
        _ = try await world.accounts.resetSecondFactor(user.userId, by: UserID("operator"))
        _ = try await world.login()
    }
}

@Suite("audit of identity", .paced)
struct IdentityAuditTests {
    @Test("SEC-123 each event leaves exactly one record, with who asked and the request's id")
    func SEC_123_each() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let user = try await world.user()
        func records(_ action: String) async throws -> [AuditEntry] {
            try await world.records.all(AuditEntry.self, RecordQuery(Tables.audit, partition: user.userId.rawValue)).filter { $0.action == action }
        }
        let pair: TokenPair
        guard case .signedIn(let first) = try await world.signIn.login(email: user.email, password: IdentityWorld.password, requestId: "r-1") else { Issue.record("not in"); return }
        pair = first
        _ = await refusal { _ = try await world.signIn.login(email: user.email, password: Secret("wrong wrong wrong"), requestId: "r-2") }
        try await world.signIn.logout(pair.refreshToken, requestId: "r-3")
        try await world.signIn.logout(pair.refreshToken, requestId: "r-3b")
        try await world.signIn.logout(try await world.login().refreshToken, everywhere: true, requestId: "r-4")
        world.time.advance(by: .seconds(1))
        _ = try await world.accounts.setStatus(user.userId, to: .suspended, by: admin.userId, requestId: "r-5")
        _ = try await world.accounts.setStatus(user.userId, to: .suspended, by: admin.userId, requestId: "r-5b")
        _ = try await world.accounts.setStatus(user.userId, to: .active, by: admin.userId, requestId: "r-6")
        _ = try await world.accounts.setPlan(user.userId, to: .pro, by: admin.userId, requestId: "r-7")
        _ = try await world.accounts.setAdmin(user.userId, to: true, by: admin.userId, requestId: "r-8")
        for (action, request, actor) in [
            ("user.login-failed", "r-2", "system"), ("user.logout", "r-3", user.userId.rawValue), ("user.logout-everywhere", "r-4", user.userId.rawValue),
            ("user.suspended", "r-5", admin.userId.rawValue), ("user.activated", "r-6", admin.userId.rawValue), ("user.plan-changed", "r-7", admin.userId.rawValue),
            ("user.admin-granted", "r-8", admin.userId.rawValue),
        ] {
            let found = try await records(action)
            #expect(found.map(\.requestId) == [request] && found.map(\.actorId) == [actor], "\(action)")
        }
        #expect(try await records("user.login").min { $0.sequence < $1.sequence }?.requestId == "r-1")
        #expect(try await AuditTrail(records: world.records).damage(of: user.userId.rawValue, at: world.time.now()) == nil)
    }

    @Test("SEC-123 a failed log-in of an unknown address is on the platform's trail, without the address")
    func SEC_123_unknown() async throws {
        let world = IdentityWorld()
        _ = await refusal { _ = try await world.signIn.login(email: "nobody@example.com", password: IdentityWorld.password, requestId: "r-9") }
        let entries = try await world.records.all(AuditEntry.self, RecordQuery(Tables.audit, partition: AuditEntry.platform))
        #expect(entries.map(\.action) == ["user.login-failed"] && entries.first?.requestId == "r-9")
        #expect(!"\(entries)".contains("nobody"))
    }
}
