import Foundation
import Pace
import Platform
import Testing

@testable import Identity

@Suite("signing in", .paced)
struct SignInTests {
    @Test("SEC-06 a refresh token works once; its predecessor within 10 s is superseded, anything older ends the session")
    func SEC_06_rotation() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        let a = try await world.login()
        world.time.advance(by: .seconds(60))
        let b = try await world.signIn.refresh(a.refreshToken)
        world.time.advance(by: .seconds(60))
        let c = try await world.signIn.refresh(b.refreshToken)
        world.time.advance(by: .seconds(9))
        #expect(await refusal { _ = try await world.signIn.refresh(b.refreshToken) } == .tokenSuperseded)
        let d = try await world.signIn.refresh(c.refreshToken)
        #expect(await refusal { _ = try await world.signIn.refresh(a.refreshToken) } == .tokenReused)
        #expect(await refusal { _ = try await world.signIn.refresh(d.refreshToken) } == .unauthenticated)
        #expect(try await world.audit(user.userId).contains("user.refresh-reused"))
    }

    @Test("SEC-06 the predecessor after 10 s ends the session too")
    func SEC_06_late_predecessor() async throws {
        let world = IdentityWorld()
        try await world.user()
        let a = try await world.login()
        let b = try await world.signIn.refresh(a.refreshToken)
        world.time.advance(by: .seconds(11))
        #expect(await refusal { _ = try await world.signIn.refresh(a.refreshToken) } == .tokenReused)
        #expect(await refusal { _ = try await world.signIn.refresh(b.refreshToken) } == .unauthenticated)
    }

    @Test("SEC-06 two tabs at once: one gets the new token, the other is told, the session lives")
    func SEC_06_two_tabs() async throws {
        let world = IdentityWorld()
        try await world.user()
        let pair = try await world.login()
        let outcomes = await withTaskGroup(of: Result<TokenPair, any Error>.self) { group in
            for _ in 0..<2 { group.addTask { do { return .success(try await world.signIn.refresh(pair.refreshToken)) } catch { return .failure(error) } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        let winners = outcomes.compactMap { try? $0.get() }
        #expect(winners.count == 1)
        _ = try await world.signIn.refresh(try #require(winners.first).refreshToken)
    }

    @Test("SEC-06 whose answer was lost asks again with the same retry key, for 10 s; without it, or with another, the predecessor stays dead")
    func SEC_06_lost_answer() async throws {
        let world = IdentityWorld()
        try await world.user()
        let a = try await world.login()
        let key = Secret("retry-key-0123456789")
        let b = try await world.signIn.refresh(a.refreshToken, retryKey: key)
        world.time.advance(by: .seconds(9))
        #expect(try await world.signIn.refresh(a.refreshToken, retryKey: key).refreshToken.reveal() == b.refreshToken.reveal())
        #expect(await refusal { _ = try await world.signIn.refresh(a.refreshToken) } == .tokenSuperseded)
        #expect(await refusal { _ = try await world.signIn.refresh(a.refreshToken, retryKey: Secret("another-key-0123456789")) } == .tokenSuperseded)
        // Not a way to a second successor: there is one, and the next exchange ends the matter.
        let c = try await world.signIn.refresh(b.refreshToken)
        world.time.advance(by: .seconds(1))
        #expect(await refusal { _ = try await world.signIn.refresh(a.refreshToken, retryKey: key) } == .tokenReused)
        #expect(await refusal { _ = try await world.signIn.refresh(c.refreshToken) } == .unauthenticated)
    }

    @Test("SEC-06 30 days without use or 90 in all end a session; tokens are stored as digests only")
    func SEC_06_lifetimes() async throws {
        let world = IdentityWorld()
        try await world.user()
        var pair = try await world.login()
        #expect(pair.refreshExpiresIn == 30 * 86_400)
        for _ in 0..<3 {
            world.time.advance(by: .seconds(29 * 86_400))
            pair = try await world.signIn.refresh(pair.refreshToken)
        }
        #expect(pair.refreshExpiresIn == 3 * 86_400)
        world.time.advance(by: .seconds(3 * 86_400))
        #expect(await refusal { _ = try await world.signIn.refresh(pair.refreshToken) } == .unauthenticated)
        let fresh = try await world.login()
        let stored = try await world.records.scan(Tables.refreshTokens, limit: 100, cursor: nil).records
        for record in stored { #expect(!(try JSON.text(Value.object(record.document))).contains(fresh.refreshToken.reveal().suffix(43))) }
        #expect(fresh.refreshToken.reveal().split(separator: ".")[2].count == 43)
    }

    @Test("SEC-07 five failures close the door over two nodes, without a sixth hash, for unknown e-mails too", arguments: ["ann@example.com", "nobody@example.com"])
    func SEC_07_lockout(email: String) async throws {
        let world = IdentityWorld()
        try await world.user()
        let other = world.node()
        for index in 0..<5 {
            #expect(await refusal { _ = try await (index % 2 == 0 ? world : other).signIn.login(email: email.uppercased(), password: Secret("wrong wrong wrong")) } == .invalidCredentials)
        }
        let hashes = world.hasher.statistics.hashes
        #expect(await refusal { _ = try await other.signIn.login(email: email, password: IdentityWorld.password) } == .tooManyAttempts(retryAfter: .seconds(60)))
        #expect(world.hasher.statistics.hashes == hashes)
        var waits: [Int] = [], wait = 60
        for _ in 0..<6 {
            world.time.advance(by: .seconds(wait))
            _ = await refusal { _ = try await world.signIn.login(email: email, password: Secret("wrong wrong wrong")) }
            guard case .tooManyAttempts(let retry) = await refusal({ _ = try await world.signIn.login(email: email, password: Secret("wrong wrong wrong")) }) else { Issue.record("open"); return }
            wait = Int(retry.seconds)
            waits.append(wait)
        }
        #expect(waits == [120, 240, 480, 900, 900, 900])
        world.time.advance(by: .seconds(900))
        if email == "ann@example.com" {
            _ = try await world.login()
            #expect(await refusal { _ = try await world.signIn.login(email: email, password: Secret("wrong wrong wrong")) } == .invalidCredentials)
            _ = try await world.login()
        }
    }

    @Test("SEC-07 many attempts at once are five attempts")
    func SEC_07_at_once() async throws {
        let world = IdentityWorld(hasher: PasswordHasher(cost: .init(logN: 4, blockSize: 8, parallelism: 1), longestQueue: 100))
        try await world.user()
        let before = world.hasher.statistics.hashes
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<40 { group.addTask { _ = await refusal { _ = try await world.signIn.login(email: "ann@example.com", password: Secret("wrong wrong wrong")) } } }
        }
        #expect(world.hasher.statistics.hashes - before <= 5)
    }

    @Test("SEC-07 a wrong current password counts as a failure as well")
    func SEC_07_change() async throws {
        let world = IdentityWorld()
        let user = try await world.user()
        for _ in 0..<5 {
            #expect(await refusal { _ = try await world.signIn.changePassword(of: user.userId, current: Secret("wrong wrong wrong"), new: Secret("a quite new phrase")) } == .invalidCredentials)
        }
        #expect(await refusal { _ = try await world.login() } == .tooManyAttempts(retryAfter: .seconds(60)))
    }

    @Test("SEC-09 a temporary password buys one change within ten minutes and nothing else")
    func SEC_09_challenge() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let (user, temporary) = try await world.accounts.create(email: "New@Example.com", displayName: "New", by: admin.userId)
        func challenge() async throws -> Secret {
            guard case .challenged(.newPassword, let token, _) = try await world.signIn.login(email: "new@example.com", password: temporary) else { throw IdentityError.unauthenticated }
            return token
        }
        let late = try await challenge()
        world.time.advance(by: .seconds(601))
        #expect(await refusal { _ = try await world.signIn.changePassword(challenge: late, new: Secret("my very own phrase")) } == .unauthenticated)
        let token = try await challenge(), spare = try await challenge()
        guard case .weakPassword = await refusal({ _ = try await world.signIn.changePassword(challenge: token, new: Secret("short")) }) else { Issue.record("weak taken"); return }
        guard case .weakPassword = await refusal({ _ = try await world.signIn.changePassword(challenge: token, new: temporary) }) else { Issue.record("same taken"); return }
        guard case .signedIn(let pair) = try await world.signIn.changePassword(challenge: token, new: Secret("my very own phrase")) else { Issue.record("not signed in"); return }
        #expect(pair.userId == user.userId)
        _ = try await world.verifier.verify(pair.accessToken.reveal())
        for used in [token, spare] { #expect(await refusal { _ = try await world.signIn.changePassword(challenge: used, new: Secret("yet another phrase")) } == .unauthenticated) }
        #expect(await refusal { _ = try await world.signIn.login(email: "new@example.com", password: temporary) } == .invalidCredentials)
        _ = try await world.login("new@example.com", Secret("my very own phrase"))
    }

    @Test("SEC-11 unknown e-mail, wrong password and deleted account get one answer for the same work")
    func SEC_11_oracle() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        try await world.user()
        let gone = try await world.user("gone@example.com")
        try await world.accounts.delete(gone.userId, by: admin.userId)
        for email in ["nobody@example.com", "ann@example.com", "gone@example.com", "not an address"] {
            let before = world.hasher.statistics.hashes
            let answer = await refusal { _ = try await world.signIn.login(email: email, password: email == "gone@example.com" ? IdentityWorld.password : Secret("wrong wrong wrong")) }
            #expect(answer == .invalidCredentials, "\(email)")
            #expect(world.hasher.statistics.hashes == before + 1, "\(email)")
        }
    }

    @Test("SEC-11 a suspended account says so only after the right password")
    func SEC_11_suspended() async throws {
        let world = IdentityWorld()
        let admin = try await world.user("root@example.com", admin: true)
        let user = try await world.user()
        _ = try await world.accounts.setStatus(user.userId, to: .suspended, by: admin.userId)
        #expect(await refusal { _ = try await world.signIn.login(email: "ann@example.com", password: Secret("wrong wrong wrong")) } == .invalidCredentials)
        #expect(await refusal { _ = try await world.login() } == .accountSuspended)
    }

    @Test("log-out ends that session only, and an unknown token is fine")
    func logout() async throws {
        let world = IdentityWorld()
        try await world.user()
        let one = try await world.login(), two = try await world.login()
        try await world.signIn.logout(one.refreshToken)
        try await world.signIn.logout(Secret("r1.nonsense"))
        #expect(await refusal { _ = try await world.signIn.refresh(one.refreshToken) } == .unauthenticated)
        _ = try await world.signIn.refresh(two.refreshToken)
        _ = try await world.verifier.verify(one.accessToken.reveal())
    }
}
