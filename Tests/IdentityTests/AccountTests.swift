import Foundation
import Pace
import Platform
import Testing

@testable import Identity

@Suite("accounts", .paced)
struct AccountTests {
    @Test("SEC-10 the first start makes one admin, whose generated password is shown once and must be changed")
    func SEC_10_generated() async throws {
        let world = IdentityWorld()
        guard case .created("admin@localhost", let password?) = try await FirstAdmin.ensure(accounts: world.accounts) else { Issue.record("no password"); return }
        guard case .exists = try await FirstAdmin.ensure(accounts: world.node().accounts) else { Issue.record("made twice"); return }
        guard case .challenged(.newPassword, let challenge, _) = try await world.signIn.login(email: "admin@localhost", password: password) else { Issue.record("no challenge"); return }
        guard case .signedIn(let pair) = try await world.signIn.changePassword(challenge: challenge, new: IdentityWorld.password) else { Issue.record("not signed in"); return }
        #expect(try await world.verifier.verify(pair.accessToken.reveal()).isAdmin)
    }

    @Test("SEC-10 a given password is taken as it is, unless it is weak")
    func SEC_10_given() async throws {
        let world = IdentityWorld()
        guard case .weakPassword = await refusal({ _ = try await FirstAdmin.ensure(accounts: world.accounts, password: Secret("password1234")) }) else { Issue.record("weak taken"); return }
        guard case .created("boss@example.com", nil) = try await FirstAdmin.ensure(accounts: world.accounts, email: "Boss@Example.com", password: IdentityWorld.password) else {
            Issue.record("not made"); return
        }
        _ = try await world.login("boss@example.com")
        guard case .exists = try await FirstAdmin.ensure(accounts: world.accounts, password: Secret("another long phrase")) else { Issue.record("made twice"); return }
    }

    @Test("one e-mail is one account, also when two are made at once, and a deletion frees it")
    func unique_email() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let made = await withTaskGroup(of: User?.self) { group in
            for index in 0..<6 { group.addTask { try? await world.accounts.create(email: index % 2 == 0 ? "a@b.example" : "A@B.Example", by: admin.userId).user } }
            return await group.reduce(into: []) { $0.append($1) }
        }.compactMap { $0 }
        #expect(made.count == 1)
        #expect(await refusal { _ = try await world.accounts.create(email: "a@b.example", by: admin.userId) } == .emailInUse)
        try await world.accounts.delete(made[0].userId, by: admin.userId)
        #expect(await refusal { try await world.accounts.delete(made[0].userId, by: admin.userId) } == .notFound)
        let again = try await world.accounts.create(email: "a@b.example", by: admin.userId).user
        #expect(again.userId != made[0].userId)
        #expect(try await world.accounts.user(made[0].userId)?.status == .deleted)
    }

    @Test("nobody suspends or deletes themselves, and the last active admin stays, also when two strike at once")
    func last_admin() async throws {
        let world = IdentityWorld()
        let one = try await world.user("one@example.com", admin: true), two = try await world.user("two@example.com", admin: true)
        #expect(await refusal { _ = try await world.accounts.setStatus(one.userId, to: .suspended, by: one.userId) } == .selfModification)
        #expect(await refusal { try await world.accounts.delete(one.userId, by: one.userId) } == .selfModification)
        let refusals = await withTaskGroup(of: IdentityError?.self) { group in
            group.addTask { await refusal { try await world.accounts.delete(one.userId, by: two.userId) } }
            group.addTask { await refusal { try await world.accounts.delete(two.userId, by: one.userId) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(refusals.compactMap { $0 } == [.lastAdmin])
    }

    @Test("suspended and active again counts an admin once")
    func admin_count() async throws {
        let world = IdentityWorld()
        let one = try await world.user("one@example.com", admin: true), two = try await world.user("two@example.com", admin: true)
        for _ in 0..<2 {
            _ = try await world.accounts.setStatus(two.userId, to: .suspended, by: one.userId)
            _ = try await world.accounts.setStatus(two.userId, to: .suspended, by: one.userId)
            #expect(await refusal { try await world.accounts.delete(one.userId, by: two.userId) } == .lastAdmin)
            _ = try await world.accounts.setStatus(two.userId, to: .active, by: one.userId)
        }
        #expect(try await world.records.get(Accounts.adminsKey)?.document["active"] == 2)
    }

    @Test("a reset password is temporary, and opens a locked door")
    func reset() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let user = try await world.user()
        for _ in 0..<5 { _ = await refusal { _ = try await world.login("ann@example.com", Secret("wrong wrong wrong")) } }
        let temporary = try await world.accounts.resetPassword(user.userId, by: admin.userId)
        guard case .challenged(.newPassword, _, _) = try await world.signIn.login(email: "ann@example.com", password: temporary) else { Issue.record("no challenge"); return }
        #expect(try await world.audit(user.userId).contains("user.password-reset"))
        #expect(await refusal { _ = try await world.accounts.resetPassword(UserID("nobody"), by: admin.userId) } == .notFound)
    }

    @Test("what is no e-mail address is refused", arguments: ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@.c", "a@c.", "a@b..c", "ä@b.c", "a\n@b.c", String(repeating: "a", count: 65) + "@b.c", "a/b@c.d"])
    func bad_email(email: String) async throws {
        let world = IdentityWorld()
        guard case .invalidEmail = await refusal({ _ = try await world.accounts.create(email: email, by: nil) }) else { Issue.record("taken"); return }
    }

    @Test("a change of identity leaves usage and slots alone")
    func keeps_usage() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        try await world.records.update(user.key, [.add("usageTokens", 500), .add("botCount", 2)])
        _ = try await world.login()
        _ = try await world.signIn.changePassword(of: user.userId, current: IdentityWorld.password, new: Secret("another long phrase"))
        let after = try #require(try await world.accounts.user(user.userId))
        #expect(after.usageTokens == 500 && after.botCount == 2)
        #expect(after.lastLogin != nil)
    }
}

@Suite("passwords", .paced)
struct PasswordTests {
    @Test("SEC-08 a stored hash shows scrypt with N=2^17, r=8, p=1")
    func SEC_08_standard() async throws {
        let hasher = PasswordHasher()
        let stored = try await hasher.hash(IdentityWorld.password)
        #expect(stored.hasPrefix("$scrypt$ln=17,r=8,p=1$"))
        #expect(!hasher.isWeaker(stored))
    }

    @Test("SEC-08 salts differ, wrong and damaged hashes say no")
    func SEC_08_salted() async throws {
        let hasher = PasswordHasher(cost: .init(logN: 4, blockSize: 8, parallelism: 1))
        let one = try await hasher.hash(IdentityWorld.password), two = try await hasher.hash(IdentityWorld.password)
        #expect(one != two)
        #expect(try await !hasher.verify(Secret("a long enough phrasf"), stored: one))
        for damaged in ["", "$scrypt$", String(one.dropLast()), "$scrypt$ln=40,r=8,p=1$AAAA$AAAA", "plain"] {
            #expect(try await !hasher.verify(IdentityWorld.password, stored: damaged), "\(damaged)")
        }
        #expect(try await hasher.verify(Secret("caf\u{e9} caf\u{e9} caf\u{e9}"), stored: try await hasher.hash(Secret("cafe\u{301} cafe\u{301} cafe\u{301}"))))
    }

    @Test("SEC-08 a weaker hash is made anew at the next log-in")
    func SEC_08_rehash() async throws {
        let old = IdentityWorld()
        let user = try await old.user()
        let world = IdentityWorld(time: old.time, records: old.records, secrets: old.secrets, hasher: PasswordHasher(cost: .init(logN: 5, blockSize: 8, parallelism: 1)))
        _ = try await world.login()
        #expect(try await world.accounts.user(user.userId)?.passwordHash?.hasPrefix("$scrypt$ln=5,") == true)
        _ = try await world.login()
    }

    /// Made with `crypt(3)` of another program.
    @Test("SEC-08 an imported bcrypt hash lets in once and gives way to scrypt; cheap, damaged and cut ones say no")
    func SEC_08_bcrypt() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        let imported = "$2b$12$Cd1rkr8a8yHxiC7720qcweG4WrHM7KuuinbXW8aazB9vMKfE60uzG"
        try await world.records.update(user.key, [.set("passwordHash", .string(imported))])
        #expect(await refusal { _ = try await world.login("ann@example.com", Secret("a long enough phrasf")) } == .invalidCredentials)
        _ = try await world.login()
        #expect(try await world.accounts.user(user.userId)?.passwordHash?.hasPrefix("$scrypt$ln=4,") == true)
        _ = try await world.login()
        for damaged in [imported.replacingOccurrences(of: "$12$", with: "$04$"), imported.replacingOccurrences(of: "$2b$", with: "$2x$"), String(imported.dropLast())] {
            #expect(try await !world.hasher.verify(IdentityWorld.password, stored: damaged), "\(damaged)")
        }
        let long = String(repeating: "x", count: 72)
        #expect(try await world.hasher.verify(Secret(long), stored: "$2b$12$EybTbnjm4vmKlW/PIslIM.QgMPJUB0TB5Xz/IqNKwDlSu1CAy.jVW"))
        #expect(try await !world.hasher.verify(Secret(long + "y"), stored: "$2b$12$EybTbnjm4vmKlW/PIslIM.QgMPJUB0TB5Xz/IqNKwDlSu1CAy.jVW"))
    }

    /// Test vectors of jBCrypt.
    @Test("SEC-08 bcrypt is that of others", arguments: [
        ("a", "$2a$12$8NJH3LsPrANStV6XtBakCez0cKHXVxmvxIlcz785vxAIZrihHZpeS"),
        ("abcdefghijklmnopqrstuvwxyz", "$2a$12$D4G5f18o7aMMfwasBL7GpuQWuP3pkrZrOAnqP.bmezbMng.QwJ/pG"),
        ("~!@#$%^&*()      ~!@#$%^&*()PNBFRD", "$2a$12$WApznUOJfkEGSmYRfnkrPOr466oFDCaj4b6HY3EXGvfxm43seyhgC"),
    ])
    func SEC_08_bcrypt_vectors(password: String, stored: String) throws {
        #expect(try #require(BcryptHash(stored)).matches(Secret(password)))
        #expect(try !#require(BcryptHash(stored)).matches(Secret(password + "x")))
    }

    @Test("SEC-08 of 200 log-ins at once two are hashed at a time, and those beyond the queue are refused as busy")
    func SEC_08_queue() async throws {
        let hasher = PasswordHasher(cost: .init(logN: 8, blockSize: 8, parallelism: 1), atOnce: 2, longestQueue: 20)
        let outcomes = await withTaskGroup(of: IdentityError?.self) { group in
            for _ in 0..<200 { group.addTask { await refusal { _ = try await hasher.hash(Secret("x")) } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(hasher.statistics.mostAtOnce <= 2)
        #expect(outcomes.allSatisfy { $0 == nil || $0 == .busy(retryAfter: .seconds(2)) })
        #expect(outcomes.filter { $0 == nil }.count >= 22)
    }

    @Test("SEC-08 a cancelled log-in leaves the queue")
    func SEC_08_cancelled() async throws {
        let hasher = PasswordHasher(cost: .init(logN: 14, blockSize: 8, parallelism: 1), atOnce: 1)
        let tasks = (0..<8).map { _ in Task { try await hasher.hash(Secret("x")) } }
        for task in tasks.dropFirst() { task.cancel() }
        _ = try await tasks[0].value
        for task in tasks.dropFirst() { _ = await task.result }
        _ = try await hasher.hash(Secret("x"))
        #expect(hasher.statistics.mostAtOnce == 1)
    }

    @Test("SEC-09 short, long, common and lengthened common passwords are refused", arguments: [
        "short", "elevenchars", String(repeating: "xy1", count: 43), "password1234", "Password1234!", "P@ssw0rd1234", "passwordpassword", "123456789012", "qwertyuiopas", "aaaaaaaaaaaa",
        "abcabcabcabc", "ann@example.com", "ANN@example.com", "iloveyou2024!", "letmein123456", "adminadmin123", "zyxwvutsrqpo", "1qaz2wsx3edc", "correcthorsebatterystaple",
        "welcome123456", "000000000000", "monkeydragon1",
    ])
    func SEC_09_weak(password: String) {
        #expect(throws: IdentityError.self) { try PasswordPolicy.check(Secret(password), email: "ann@example.com") }
    }

    @Test("SEC-09 ordinary long phrases and our own temporary passwords pass", arguments: [
        "a long enough phrase", "vier rote Stühle", "kX9#mPq2$vLw", "中文密码需要十二个字符以上", PasswordPolicy.temporary().reveal(),
    ])
    func SEC_09_good(password: String) throws { try PasswordPolicy.check(Secret(password), email: "ann@example.com") }
}
