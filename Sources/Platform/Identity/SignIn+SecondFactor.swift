import Foundation
import Platform

/// The second factor's part of signing in, and what signed-in people do with theirs.
extension SignIn {
    public struct Enrolment: Sendable {
        /// Base 32, for typing.
        public var secret: Secret
        /// `otpauth://totp/…`, for a QR code.
        public var uri: Secret
    }

    /// Pays a challenge: with a code of the second factor, or with the first code of a new one.
    /// - Returns: the tokens, and after an enrolment the recovery codes to be shown once.
    public func pay(challenge text: Secret, code: String, requestId: String? = nil) async throws -> (pair: TokenPair, recoveryCodes: [Secret]?) {
        if let (challenge, user) = try await open(challenge: text, as: .code) {
            guard user.hasSecondFactor else { throw IdentityError.unauthenticated }
            let factor = try await checked(user, requestId) { try await factors.accept(code, of: user) }
            try await store(factor, of: user, "user.login", requestId, more: [challenge.use], also: [.set("lastLogin", .string(Timestamp.text(time.now())))])
            try await attempts.succeeded(user.email)
            return (try await open(user), nil)
        }
        guard let (challenge, user) = try await open(challenge: text, as: .enrolment), !user.hasSecondFactor else { throw IdentityError.unauthenticated }
        let (factor, codes) = try await checked(user, requestId) { try await factors.confirm(code, for: user) }
        try await store(factor, of: user, "user.second-factor-enabled", requestId, more: [challenge.use])
        try await attempts.succeeded(user.email)
        try await noteLogin(user, requestId)
        return (try await open(user), codes)
    }

    /// A new secret for an administrator who must have one to get in.
    public func enrol(challenge text: Secret) async throws -> Enrolment {
        guard let (_, user) = try await open(challenge: text, as: .enrolment), !user.hasSecondFactor else { throw IdentityError.unauthenticated }
        return try await begin(user)
    }

    /// A new secret for a signed-in person. A wrong password counts for the lockout.
    public func enrol(_ userId: UserID, currentPassword: Secret, requestId: String? = nil) async throws -> Enrolment {
        let user = try await signedIn(userId)
        try await prove(user, currentPassword, requestId)
        guard !user.hasSecondFactor else { throw IdentityError.invalidState("A second factor is on already. Turn it off to set up another.") }
        return try await begin(user)
    }

    /// Turns the second factor on with its first code.
    /// - Returns: ten recovery codes to be shown once.
    public func confirmSecondFactor(of userId: UserID, code: String, requestId: String? = nil) async throws -> [Secret] {
        let user = try await signedIn(userId)
        guard let factor = user.secondFactor, factor.secretId == nil, factor.pendingId != nil else { throw IdentityError.invalidState("No second factor waits for its first code.") }
        let (confirmed, codes) = try await checked(user, requestId) { try await factors.confirm(code, for: user) }
        try await store(confirmed, of: user, "user.second-factor-enabled", requestId)
        try await attempts.succeeded(user.email)
        return codes
    }

    /// Turns it off; takes the password and a code.
    public func removeSecondFactor(of userId: UserID, currentPassword: Secret, code: String, requestId: String? = nil) async throws {
        let user = try await signedIn(userId)
        guard user.hasSecondFactor else { throw IdentityError.invalidState("There is no second factor to turn off.") }
        guard !(user.isAdmin && policy == .required) else { throw IdentityError.invalidState("Administrators need a second factor here.") }
        try await prove(user, currentPassword, requestId)
        _ = try await checked(user, requestId) { try await factors.accept(code, of: user) }
        try await accounts.change(
            user, [.remove("secondFactor"), .add("revision", 1)], if: .and([SecondFactors.unchanged(user), .equals("status", "active")]),
            audit: entry(user, "user.second-factor-disabled", requestId))
        try await factors.forget(user)
        try await attempts.succeeded(user.email)
    }

    // MARK: Steps

    /// The challenge and its user, when both still stand; nil when the token is of another class.
    func open(challenge text: Secret, as kind: OpaqueToken.Class) async throws -> (Challenge, User)? {
        guard let token = OpaqueToken(text, as: kind) else { return nil }
        guard let stored = try await records.get(Challenge.self, Challenge.key(token.id)), Digest.sameSecret(stored.hash, token.hash), time.now() < stored.expiresAt,
            let user = try await accounts.user(stored.userId), user.status == .active, Self.lives(stored.createdAt, user)
        else { throw IdentityError.unauthenticated }
        return (stored, user)
    }

    /// A code counts as a failure before it is looked at, as a password does.
    private func checked<Result>(_ user: User, _ requestId: String?, _ look: () async throws -> Result?) async throws -> Result {
        let attempt = try await attempts.begin(user.email)
        if let result = try await look() { return result }
        try await auditFailure(user, "user.code-failed", closes: attempt.closes, requestId)
        throw IdentityError.invalidCode
    }

    private func begin(_ user: User) async throws -> Enrolment {
        let enrolment = try await factors.begin(for: user)
        do { try await records.update(user.key, [.set("secondFactor", try JSON.value(JSON.encode(enrolment.factor)))], if: SecondFactors.unchanged(user)) }
        catch RecordStoreError.conditionFailed { throw IdentityError.invalidState("The second factor was changed meanwhile. Try again.") }
        return Enrolment(secret: enrolment.secret, uri: enrolment.uri)
    }

    /// One transaction that also spends the code: of two who show it at once, one gets in.
    private func store(_ factor: User.SecondFactor, of user: User, _ action: String, _ requestId: String?, more: [RecordWrite] = [], also: [Change] = []) async throws {
        do {
            try await accounts.change(
                user, [.set("secondFactor", try JSON.value(JSON.encode(factor)))] + also, if: .and([SecondFactors.unchanged(user), .equals("status", "active")]), more: more,
                audit: entry(user, action, requestId))
        } catch IdentityError.notFound { throw IdentityError.invalidCode }
    }
}
