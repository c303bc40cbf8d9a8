import Foundation
import Platform

/// What a log-in, a refresh or a change of password gives.
public struct TokenPair: Sendable {
    public var accessToken: Secret
    public var expiresIn: Int
    public var refreshToken: Secret
    /// Seconds.
    public var refreshExpiresIn: Int
    public var userId: UserID

    /// The answer of API.md §2.2. The only place that spells the tokens out.
    public func document() -> Document {
        [
            "accessToken": .string(accessToken.reveal()), "tokenType": "Bearer", "expiresIn": .int(expiresIn), "refreshToken": .string(refreshToken.reveal()),
            "refreshExpiresIn": .int(refreshExpiresIn), "userId": .string(userId.rawValue),
        ]
    }
}

public enum LoginOutcome: Sendable {
    case signedIn(TokenPair)
    /// The password was a temporary one: the token, good for ten minutes and one use, pays for a new one and nothing else.
    case newPasswordRequired(challenge: Secret, expiresIn: Int)

    public func document() -> Document {
        switch self {
        case .signedIn(let pair): pair.document()
        case .newPasswordRequired(let challenge, let seconds):
            ["challengeName": "NEW_PASSWORD_REQUIRED", "challengeToken": .string(challenge.reveal()), "expiresIn": .int(seconds)]
        }
    }
}

/// Log-in, refresh, log-out and change of password (API.md §2.2). Errors: ``IdentityError``, ``RecordStoreError``.
public struct SignIn: Sendable {
    static let challengeLifetime: TimeInterval = 600
    let records: any RecordStore
    let accounts: Accounts
    let issuer: TokenIssuer
    let hasher: PasswordHasher
    let time: any TimeSource
    private var attempts: LoginAttempts { LoginAttempts(records: records, time: time) }
    private var sessions: RefreshSessions { RefreshSessions(records: records, time: time) }

    public init(records: any RecordStore, accounts: Accounts, issuer: TokenIssuer, hasher: PasswordHasher, time: any TimeSource = SystemTime()) {
        self.records = records; self.accounts = accounts; self.issuer = issuer; self.hasher = hasher; self.time = time
    }

    public func login(email: String, password: Secret, requestId: String? = nil) async throws -> LoginOutcome {
        // Before anything is hashed. A text that cannot be an address has no account, and no count either.
        guard (try? Accounts.check(email: email)) != nil, password.reveal().utf8.count <= 512 else {
            _ = try await hasher.verify(Secret(""), stored: nil)
            throw IdentityError.invalidCredentials
        }
        try await attempts.begin(email)
        let found = try await accounts.user(email: email)
        let user = found?.status == .deleted ? nil : found
        let right = try await hasher.verify(password, stored: user?.passwordHash)
        guard let user, right else {
            if let user { try await audit(user, "user.login-failed", requestId) }
            throw IdentityError.invalidCredentials
        }
        try await attempts.succeeded(email)
        guard user.status == .active else {
            try await audit(user, "user.login-suspended", requestId)
            throw IdentityError.accountSuspended
        }
        if user.mustChange {
            let now = time.now(), token = OpaqueToken(.challenge)
            try await records.put(PasswordChallenge(challengeId: token.id, userId: user.userId, hash: token.hash, createdAt: now, expiresAt: now + Self.challengeLifetime), if: .recordAbsent)
            return .newPasswordRequired(challenge: token.text, expiresIn: Int(Self.challengeLifetime))
        }
        try await noteLogin(user, password: password, requestId)
        return .signedIn(try await open(user))
    }

    public func refresh(_ token: Secret) async throws -> TokenPair {
        var user: User?
        let (session, next) = try await sessions.rotate(token) { session in
            user = try await accounts.user(session.userId)
            guard let user, user.status == .active, Self.lives(session.createdAt, user) else { throw IdentityError.unauthenticated }
        }
        guard let user else { throw IdentityError.unauthenticated }
        return try await pair(user, refreshToken: next, expiresAt: session.expiresAt)
    }

    /// Ends the token's session, or with `everywhere` every session and access token of its user. An unknown token is fine.
    public func logout(_ token: Secret, everywhere: Bool = false, requestId: String? = nil) async throws {
        guard let session = try await sessions.find(token) else { return }
        try await sessions.close(session)
        guard everywhere, let user = try await accounts.user(session.userId), Self.lives(session.createdAt, user) else { return }
        let now = time.now()
        try await accounts.change(
            user, [.set("tokensValidFrom", .string(Timestamp.text(now)))], if: .recordExists,
            audit: AuditEntry(userId: user.userId.rawValue, actorId: user.userId.rawValue, action: "user.logout-everywhere", requestId: requestId, at: now))
        try await sessions.closeAll(of: user.userId, before: now)
    }

    /// By the signed-in user. Every other session ends. A wrong current password counts for the lockout.
    public func changePassword(of userId: UserID, current: Secret, new: Secret, requestId: String? = nil) async throws -> TokenPair {
        guard let user = try await accounts.user(userId), user.status != .deleted else { throw IdentityError.unauthenticated }
        guard user.status == .active else { throw IdentityError.accountSuspended }
        try PasswordPolicy.check(new, email: user.email)
        try await attempts.begin(user.email)
        guard try await hasher.verify(current, stored: user.passwordHash) else { throw IdentityError.invalidCredentials }
        try await attempts.succeeded(user.email)
        guard !Digest.sameSecret(current.reveal(), new.reveal()) else { throw IdentityError.weakPassword("The new password must differ from the current one.") }
        return try await set(new, for: user, requestId, consuming: nil)
    }

    /// By the holder of a challenge token; who that is says the token alone.
    public func changePassword(challenge: Secret, new: Secret, requestId: String? = nil) async throws -> TokenPair {
        guard let token = OpaqueToken(challenge, as: .challenge), let stored = try await records.get(PasswordChallenge.self, PasswordChallenge.key(token.id)),
            Digest.sameSecret(stored.hash, token.hash), time.now() < stored.expiresAt,
            let user = try await accounts.user(stored.userId), user.status == .active, user.mustChange, Self.lives(stored.createdAt, user)
        else { throw IdentityError.unauthenticated }
        try PasswordPolicy.check(new, email: user.email)
        guard try await !hasher.verify(new, stored: user.passwordHash) else { throw IdentityError.weakPassword("The new password must differ from the current one.") }
        return try await set(new, for: user, requestId, consuming: stored)
    }

    // MARK: Steps

    private func set(_ password: Secret, for user: User, _ requestId: String?, consuming challenge: PasswordChallenge?) async throws -> TokenPair {
        let hash = try await hasher.hash(password)
        let now = time.now()
        // A second use of the challenge finds it gone; so does one whose user was changed meanwhile.
        let more = challenge.map { [RecordWrite.delete($0.key, if: .equals("hash", .value(.string($0.hash))))] } ?? []
        let unchanged: Condition = user.passwordHash.map { .equals("passwordHash", .value(.string($0))) } ?? .absent("passwordHash")
        do {
            try await accounts.change(
                user,
                [
                    .set("passwordHash", .string(hash)), .set("mustChange", false), .set("tokensValidFrom", .string(Timestamp.text(now))),
                    .set("lastLogin", .string(Timestamp.text(now))), .add("revision", 1),
                ],
                if: .and([unchanged, .equals("status", "active")]), more: more,
                audit: AuditEntry(userId: user.userId.rawValue, actorId: user.userId.rawValue, action: "user.password-changed", requestId: requestId, at: now))
        } catch IdentityError.notFound { throw IdentityError.unauthenticated }
        try await sessions.closeAll(of: user.userId, before: now)
        return try await open(user)
    }

    private func noteLogin(_ user: User, password: Secret, _ requestId: String?) async throws {
        let now = time.now()
        do {
            try await accounts.change(
                user, [.set("lastLogin", .string(Timestamp.text(now)))], if: .equals("status", "active"),
                audit: AuditEntry(userId: user.userId.rawValue, actorId: user.userId.rawValue, action: "user.login", requestId: requestId, at: now))
        } catch IdentityError.notFound { throw IdentityError.invalidCredentials }
        guard let stored = user.passwordHash, hasher.isWeaker(stored) else { return }
        let hash = try await hasher.hash(password)
        do { try await records.update(user.key, [.set("passwordHash", .string(hash))], if: .equals("passwordHash", .value(.string(stored)))) }
        catch RecordStoreError.conditionFailed { /* changed or upgraded meanwhile: theirs counts */ }
    }

    private func open(_ user: User) async throws -> TokenPair {
        let session = try await sessions.open(for: user.userId)
        return try await pair(user, refreshToken: session.token, expiresAt: session.expiresAt)
    }

    private func pair(_ user: User, refreshToken: Secret, expiresAt: Date) async throws -> TokenPair {
        TokenPair(
            accessToken: try await issuer.issue(for: user), expiresIn: Int(TokenIssuer.lifetime), refreshToken: refreshToken,
            refreshExpiresIn: Int(expiresAt.timeIntervalSince(time.now())), userId: user.userId)
    }

    private func audit(_ user: User, _ action: String, _ requestId: String?) async throws {
        try await records.put(AuditEntry(userId: user.userId.rawValue, actorId: AuditEntry.system, action: action, requestId: requestId, at: time.now()))
    }

    /// Whether something made then outlived the last end of all sessions. Stored times are cut to milliseconds.
    private static func lives(_ made: Date, _ user: User) -> Bool {
        user.tokensValidFrom.map { made.timeIntervalSince($0) > -0.0005 } ?? true
    }
}
