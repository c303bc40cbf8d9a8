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
}

public enum LoginOutcome: Sendable {
    case signedIn(TokenPair)
    /// The password is right and not enough: the token, good for ten minutes and one use, pays for the next step and nothing else.
    case challenged(Step, challenge: Secret, expiresIn: Int)

    public enum Step: String, Sendable {
        /// The password was a temporary one.
        case newPassword = "NEW_PASSWORD_REQUIRED"
        case code = "TOTP_REQUIRED"
        case enrolment = "TOTP_ENROLMENT_REQUIRED"
        var tokenClass: OpaqueToken.Class {
            switch self {
            case .newPassword: .newPassword
            case .code: .code
            case .enrolment: .enrolment
            }
        }
    }
}

/// Log-in, refresh, log-out and change of password (API.md §2.2). Errors: ``IdentityError``, ``RecordStoreError``.
public struct SignIn: Sendable {
    let records: any RecordStore
    let accounts: Accounts
    let issuer: TokenIssuer
    let hasher: PasswordHasher
    let factors: SecondFactors
    let policy: PlatformConfiguration.SecondFactorPolicy
    let time: any TimeSource
    var attempts: LoginAttempts { LoginAttempts(records: records, time: time) }
    var sessions: RefreshSessions { RefreshSessions(records: records, time: time) }

    /// - Parameters:
    ///   - secrets: holds the shared secrets of second factors.
    ///   - policy: whether administrators must have one.
    public init(
        records: any RecordStore, secrets: any SecretStore, stage: String, accounts: Accounts, issuer: TokenIssuer, hasher: PasswordHasher,
        adminSecondFactor policy: PlatformConfiguration.SecondFactorPolicy = .optional, time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.accounts = accounts; self.issuer = issuer; self.hasher = hasher; self.policy = policy; self.time = time
        factors = SecondFactors(secrets: secrets, stage: stage, time: time)
    }

    public func login(email: String, password: Secret, requestId: String? = nil) async throws -> LoginOutcome {
        // Before anything is hashed. A text that cannot be an address has no account, and no count either.
        guard (try? Accounts.check(email: email)) != nil, password.reveal().utf8.count <= 512 else {
            _ = try await hasher.verify(Secret(""), stored: nil)
            try await auditFailure(nil, "user.login-failed", closes: false, requestId)
            throw IdentityError.invalidCredentials
        }
        let attempt = try await attempts.begin(email)
        let found = try await accounts.user(email: email)
        let user = found?.status == .deleted ? nil : found
        let right = try await hasher.verify(password, stored: user?.passwordHash)
        guard let user, right else {
            try await auditFailure(user, "user.login-failed", closes: attempt.closes, requestId)
            throw IdentityError.invalidCredentials
        }
        try await passed(user, attempt)
        guard user.status == .active else {
            try await accounts.trail.append(entry(user, "user.login-suspended", requestId))
            throw IdentityError.accountSuspended
        }
        if user.mustChange { return try await challenge(user, .newPassword) }
        try await upgrade(user, password)
        return try await admit(user, requestId)
    }

    /// - Parameter retryKey: makes a repetition within ten seconds harmless, where the first answer was lost.
    public func refresh(_ token: Secret, retryKey: Secret? = nil, requestId: String? = nil) async throws -> TokenPair {
        var user: User?
        let (session, next) = try await sessions.rotate(token, retryKey: retryKey, requestId: requestId) { session in
            user = try await accounts.user(session.userId)
            guard let user, user.status == .active, Self.lives(session.createdAt, user), !lacksFactor(user) else { throw IdentityError.unauthenticated }
        }
        guard let user else { throw IdentityError.unauthenticated }
        return try await pair(user, refreshToken: next, expiresAt: session.expiresAt)
    }

    /// Ends the token's session, or with `everywhere` every session and access token of its user. An unknown token is fine.
    public func logout(_ token: Secret, everywhere: Bool = false, requestId: String? = nil) async throws {
        guard let session = try await sessions.find(token), let user = try await accounts.user(session.userId) else { return }
        guard everywhere, Self.lives(session.createdAt, user) else {
            _ = try await sessions.close(session, entry(user, "user.logout", requestId))
            return
        }
        let now = time.now()
        try await accounts.change(
            user, [.set("tokensValidFrom", .string(Timestamp.text(now)))], if: .recordExists, more: [.delete(session.key)],
            audit: entry(user, "user.logout-everywhere", requestId))
        try await sessions.closeAll(of: user.userId, before: now)
    }

    /// By the signed-in user. Every other session ends. A wrong current password counts for the lockout.
    public func changePassword(of userId: UserID, current: Secret, new: Secret, requestId: String? = nil) async throws -> TokenPair {
        let user = try await signedIn(userId)
        try PasswordPolicy.check(new, email: user.email)
        try await prove(user, current, requestId)
        guard !Digest.sameSecret(current.reveal(), new.reveal()) else { throw IdentityError.weakPassword("The new password must differ from the current one.") }
        try await set(new, for: user, requestId)
        return try await open(user)
    }

    /// By the holder of a challenge token; who that is says the token alone. Somebody with a second factor must show it next.
    public func changePassword(challenge text: Secret, new: Secret, requestId: String? = nil) async throws -> LoginOutcome {
        guard let (challenge, user) = try await open(challenge: text, as: .newPassword), user.mustChange else { throw IdentityError.unauthenticated }
        try PasswordPolicy.check(new, email: user.email)
        guard try await !hasher.verify(new, stored: user.passwordHash) else { throw IdentityError.weakPassword("The new password must differ from the current one.") }
        try await set(new, for: user, requestId, more: [challenge.use])
        if user.hasSecondFactor { return try await self.challenge(user, .code) }
        if lacksFactor(user) { return try await self.challenge(user, .enrolment) }
        return .signedIn(try await open(user))
    }

    /// Who is signed in, as far as a server that trusts this issuer must know it.
    public func account(_ userId: UserID) async throws -> User { try await signedIn(userId) }

    // MARK: Steps

    /// What follows a right password that need not be changed.
    private func admit(_ user: User, _ requestId: String?) async throws -> LoginOutcome {
        if user.hasSecondFactor { return try await challenge(user, .code) }
        if lacksFactor(user) { return try await challenge(user, .enrolment) }
        try await noteLogin(user, requestId)
        return .signedIn(try await open(user))
    }

    private func lacksFactor(_ user: User) -> Bool { user.isAdmin && policy == .required && !user.hasSecondFactor }

    private func challenge(_ user: User, _ step: LoginOutcome.Step) async throws -> LoginOutcome {
        let now = time.now(), token = OpaqueToken(step.tokenClass)
        let challenge = Challenge(challengeId: token.id, userId: user.userId, hash: token.hash, createdAt: now, expiresAt: now + Challenge.lifetime)
        try await records.put(challenge, if: .recordAbsent)
        return .challenged(step, challenge: token.text, expiresIn: Int(Challenge.lifetime))
    }

    /// The account behind an access token, as it is now.
    func signedIn(_ userId: UserID) async throws -> User {
        guard let user = try await accounts.user(userId), user.status != .deleted else { throw IdentityError.unauthenticated }
        guard user.status == .active else { throw IdentityError.accountSuspended }
        return user
    }

    /// The signed-in person's own password once more.
    func prove(_ user: User, _ password: Secret, _ requestId: String?) async throws {
        let attempt = try await attempts.begin(user.email)
        guard try await hasher.verify(password, stored: user.passwordHash) else {
            try await auditFailure(user, "user.password-failed", closes: attempt.closes, requestId)
            throw IdentityError.invalidCredentials
        }
        try await passed(user, attempt)
    }

    private func passed(_ user: User, _ attempt: LoginAttempts.Attempt) async throws {
        if user.hasSecondFactor { try await attempts.forgive(attempt, of: user.email) } else { try await attempts.succeeded(user.email) }
    }

    private func set(_ password: Secret, for user: User, _ requestId: String?, more: [RecordWrite] = []) async throws {
        let hash = try await hasher.hash(password)
        let now = time.now()
        // A second use of a challenge finds it gone; so does one whose user was changed meanwhile.
        let unchanged: Condition = user.passwordHash.map { .equals("passwordHash", .value(.string($0))) } ?? .absent("passwordHash")
        do {
            try await accounts.change(
                user,
                [
                    .set("passwordHash", .string(hash)), .set("mustChange", false), .set("tokensValidFrom", .string(Timestamp.text(now))),
                    .set("lastLogin", .string(Timestamp.text(now))), .add("revision", 1),
                ],
                if: .and([unchanged, .equals("status", "active")]), more: more, audit: entry(user, "user.password-changed", requestId))
        } catch IdentityError.notFound { throw IdentityError.unauthenticated }
        try await sessions.closeAll(of: user.userId, before: now)
    }

    func noteLogin(_ user: User, _ requestId: String?) async throws {
        do {
            try await accounts.change(user, [.set("lastLogin", .string(Timestamp.text(time.now())))], if: .equals("status", "active"), audit: entry(user, "user.login", requestId))
        } catch IdentityError.notFound { throw IdentityError.invalidCredentials }
    }

    /// A hash that was made with less work, or elsewhere, is made anew while the password is at hand.
    private func upgrade(_ user: User, _ password: Secret) async throws {
        guard let stored = user.passwordHash, hasher.isWeaker(stored) else { return }
        let hash = try await hasher.hash(password)
        do { try await records.update(user.key, [.set("passwordHash", .string(hash))], if: .equals("passwordHash", .value(.string(stored)))) }
        catch RecordStoreError.conditionFailed { /* changed or upgraded meanwhile: theirs counts */ }
    }

    func open(_ user: User) async throws -> TokenPair {
        let session = try await sessions.open(for: user.userId)
        return try await pair(user, refreshToken: session.token, expiresAt: session.expiresAt)
    }

    private func pair(_ user: User, refreshToken: Secret, expiresAt: Date) async throws -> TokenPair {
        TokenPair(
            accessToken: try await issuer.issue(for: user), expiresIn: Int(TokenIssuer.lifetime), refreshToken: refreshToken,
            refreshExpiresIn: Int(expiresAt.timeIntervalSince(time.now())), userId: user.userId)
    }

    /// By the user themselves.
    func entry(_ user: User, _ action: String, _ requestId: String?) -> AuditEntry {
        AuditEntry(userId: user.userId.rawValue, actorId: user.userId.rawValue, action: action, requestId: requestId, at: time.now())
    }

    /// A failure on the trail of the account that was aimed at; of none, on the platform's, without the address that was tried.
    func auditFailure(_ user: User?, _ action: String, closes: Bool, _ requestId: String?) async throws {
        let owner = user?.userId.rawValue ?? AuditEntry.platform
        for action in closes ? [action, "user.locked-out"] : [action] {
            try await accounts.trail.append(AuditEntry(userId: owner, actorId: AuditEntry.system, action: action, requestId: requestId, at: time.now()))
        }
    }

    /// Whether something made then outlived the last end of all sessions. Stored times are cut to milliseconds.
    static func lives(_ made: Date, _ user: User) -> Bool {
        user.tokensValidFrom.map { made.timeIntervalSince($0) > -0.0005 } ?? true
    }
}
