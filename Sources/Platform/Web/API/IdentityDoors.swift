import ControlPlane
import Foundation
import Identity
import Platform

/// The self-hosted issuer behind the API's sign-in door.
public struct IssuerDoor: SignInService {
    private let signIn: SignIn
    private let keys: SigningKeys
    public init(signIn: SignIn, keys: SigningKeys) { self.signIn = signIn; self.keys = keys }

    public func login(email: String, password: Secret, requestId: String) async throws -> SignInOutcome {
        SignInOutcome(try await translated { try await signIn.login(email: email, password: password, requestId: requestId) })
    }
    public func refresh(_ token: Secret, retryKey: Secret?, requestId: String) async throws -> TokenPair {
        TokenPair(try await translated { try await signIn.refresh(token, retryKey: retryKey, requestId: requestId) })
    }
    public func logout(_ token: Secret, everywhere: Bool, requestId: String) async throws {
        try await translated { try await signIn.logout(token, everywhere: everywhere, requestId: requestId) }
    }
    public func changePassword(of user: UserID, current: Secret, new: Secret, requestId: String) async throws -> TokenPair {
        TokenPair(try await translated { try await signIn.changePassword(of: user, current: current, new: new, requestId: requestId) })
    }
    public func changePassword(challenge: Secret, new: Secret, requestId: String) async throws -> SignInOutcome {
        SignInOutcome(try await translated { try await signIn.changePassword(challenge: challenge, new: new, requestId: requestId) })
    }
    public func account(_ user: UserID) async throws -> User { try await translated { try await signIn.account(user) } }
    public func pay(challenge: Secret, code: String, requestId: String) async throws -> (pair: TokenPair, recoveryCodes: [Secret]?) {
        let paid = try await translated { try await signIn.pay(challenge: challenge, code: code, requestId: requestId) }
        return (TokenPair(paid.pair), paid.recoveryCodes)
    }
    public func enrol(challenge: Secret) async throws -> SecondFactorSecret {
        let made = try await translated { try await signIn.enrol(challenge: challenge) }
        return SecondFactorSecret(secret: made.secret, uri: made.uri)
    }
    public func enrol(_ user: UserID, currentPassword: Secret, requestId: String) async throws -> SecondFactorSecret {
        let made = try await translated { try await signIn.enrol(user, currentPassword: currentPassword, requestId: requestId) }
        return SecondFactorSecret(secret: made.secret, uri: made.uri)
    }
    public func confirmSecondFactor(of user: UserID, code: String, requestId: String) async throws -> [Secret] {
        try await translated { try await signIn.confirmSecondFactor(of: user, code: code, requestId: requestId) }
    }
    public func removeSecondFactor(of user: UserID, currentPassword: Secret, code: String, requestId: String) async throws {
        try await translated { try await signIn.removeSecondFactor(of: user, currentPassword: currentPassword, code: code, requestId: requestId) }
    }
    public func publicKeys() async throws -> Value { try JSON.value(JSON.encode(try await keys.document())) }
}

/// The platform's accounts behind the administrators' door.
public struct AccountsDoor: UserAdministration {
    private let accounts: Accounts
    /// Agents are separated from each other: without that, one user alone may have any (SEC-70).
    private let isSandboxed: Bool
    public init(accounts: Accounts, isSandboxed: Bool) { self.accounts = accounts; self.isSandboxed = isSandboxed }

    public func create(email: String, displayName: String?, plan: Plan, isAdmin: Bool, by admin: Administrator) async throws -> (user: User, temporaryPassword: Secret?) {
        guard isSandboxed else {
            throw ManagementError.invalidState("Agents run without a sandbox here (compute.sandbox: none), so there can be one user only.")
        }
        let made = try await translated {
            try await accounts.create(email: email, displayName: displayName, plan: plan, isAdmin: isAdmin, by: admin.userId, requestId: admin.requestId)
        }
        return (made.user, made.temporaryPassword)
    }
    public func setStatus(_ status: User.Status, of user: UserID, by admin: Administrator) async throws {
        _ = try await translated { try await accounts.setStatus(user, to: status, by: admin.userId, requestId: admin.requestId) }
    }
    public func resetPassword(of user: UserID, by admin: Administrator) async throws -> Secret? {
        try await translated { try await accounts.resetPassword(user, by: admin.userId, requestId: admin.requestId) }
    }
    public func delete(_ user: UserID, by admin: Administrator) async throws {
        try await translated { try await accounts.delete(user, by: admin.userId, requestId: admin.requestId) }
    }
}

/// Accounts of an issuer that is a process of its own: it is asked with the administrator's own token, and decides by itself.
public struct RemoteAccountsDoor: UserAdministration {
    private let issuer: RemoteIssuer
    private let users: RemoteUsers
    private let verifier: RemoteTokenVerifier
    private let isSandboxed: Bool
    private let time: any TimeSource
    public init(issuer: RemoteIssuer, users: RemoteUsers, verifier: RemoteTokenVerifier, isSandboxed: Bool, time: any TimeSource = SystemTime()) {
        self.issuer = issuer; self.users = users; self.verifier = verifier; self.isSandboxed = isSandboxed; self.time = time
    }

    public func create(email: String, displayName: String?, plan: Plan, isAdmin: Bool, by admin: Administrator) async throws -> (user: User, temporaryPassword: Secret?) {
        guard isSandboxed else {
            throw ManagementError.invalidState("Agents run without a sandbox here (compute.sandbox: none), so there can be one user only.")
        }
        var body: Document = ["email": .string(email), "isAdmin": .bool(isAdmin)]
        if let displayName { body["displayName"] = .string(displayName) }
        let answer = try await ask("POST", "", body, admin, success: 201)
        guard let id = answer["userId"]?.string, let password = answer["temporaryPassword"]?.string else {
            throw UserAdministrationError.upstreamFailed(cause: "the issuer's answer was not understood")
        }
        let user = User(userId: UserID(id), email: email, displayName: displayName, plan: plan, isAdmin: isAdmin, at: time.now())
        try await users.add(user, by: admin.userId.rawValue, requestId: admin.requestId)
        return (user, Secret(password))
    }
    public func setStatus(_ status: User.Status, of user: UserID, by admin: Administrator) async throws {
        _ = try await ask("PUT", "/\(user)/status", ["status": .string(status.rawValue)], admin)
        try await users.setStatus(status, of: user, status == .suspended ? "user.suspended" : "user.activated", by: admin.userId, requestId: admin.requestId)
        verifier.forget(user)
    }
    public func resetPassword(of user: UserID, by admin: Administrator) async throws -> Secret? {
        let answer = try await ask("POST", "/\(user)/reset-password", [:], admin)
        try await users.note("user.password-reset", user, by: admin.userId, requestId: admin.requestId)
        verifier.forget(user)
        return answer["temporaryPassword"]?.string.map { Secret($0) }
    }
    public func delete(_ user: UserID, by admin: Administrator) async throws {
        _ = try await ask("DELETE", "/\(user)", nil, admin, success: 204)
        try await users.setStatus(.deleted, of: user, "user.deleted", by: admin.userId, requestId: admin.requestId)
        verifier.forget(user)
    }

    private func ask(_ method: String, _ path: String, _ body: Document?, _ admin: Administrator, success: Int = 200) async throws -> Value {
        let answer: RemoteIssuer.Answer
        do { answer = try await issuer.send(.init(method, "/auth/admin/users" + path, body: body, token: admin.token, requestId: admin.requestId)) } catch {
            throw UserAdministrationError.upstreamFailed(cause: "\(error)")
        }
        guard answer.status != success else { return answer.body }
        let slug = answer.body["type"]?.string?.split(separator: ":").last.map(String.init)
        switch (answer.status, slug) {
        case (401, _): throw Problem.unauthenticated
        case (403, "account-suspended"): throw Problem.suspended
        case (403, _): throw Problem.forbidden
        case (404, _): throw UserAdministrationError.notFound
        case (409, "already-exists"): throw UserAdministrationError.emailInUse
        case (409, "self-modification"): throw UserAdministrationError.selfModification
        case (409, "last-admin"): throw UserAdministrationError.lastAdmin
        case (400, _): throw UserAdministrationError.invalidEmail(answer.body["errors"]?.array?.first?["message"]?.string ?? "Not acceptable.")
        default: throw UserAdministrationError.upstreamFailed(cause: "the issuer answered \(answer.status)")
        }
    }
}

extension SignInOutcome {
    fileprivate init(_ outcome: LoginOutcome) {
        switch outcome {
        case .signedIn(let pair): self = .tokens(TokenPair(pair))
        case .challenged(let step, let token, let seconds): self = .challenge(name: step.rawValue, token: token, expiresIn: seconds)
        }
    }
}

extension TokenPair {
    fileprivate init(_ pair: Identity.TokenPair) {
        self.init(
            accessToken: pair.accessToken, expiresIn: pair.expiresIn, refreshToken: pair.refreshToken, refreshExpiresIn: pair.refreshExpiresIn,
            userId: pair.userId)
    }
}

/// Identity's refusals in the words of the API's doors; everything else passes through.
private func translated<Result>(_ body: () async throws -> Result) async throws -> Result {
    do { return try await body() } catch let error as IdentityError {
        switch error {
        case .invalidCredentials: throw SignInError.invalidCredentials
        case .accountSuspended: throw SignInError.suspended
        case .tooManyAttempts(let wait): throw SignInError.tooManyAttempts(retryAfter: Int(wait.seconds.rounded(.up)))
        case .unauthenticated: throw SignInError.invalidToken
        case .tokenReused: throw SignInError.tokenReused
        case .tokenSuperseded: throw SignInError.tokenSuperseded
        case .invalidCode: throw SignInError.invalidCode
        case .invalidState(let sentence): throw SignInError.invalidState(sentence)
        case .weakPassword(let sentence): throw SignInError.weakPassword(sentence)
        case .busy(let wait): throw SignInError.busy(retryAfter: Int(wait.seconds.rounded(.up)))
        case .invalidEmail(let sentence): throw UserAdministrationError.invalidEmail(sentence)
        case .emailInUse: throw UserAdministrationError.emailInUse
        case .notFound: throw UserAdministrationError.notFound
        case .selfModification: throw UserAdministrationError.selfModification
        case .lastAdmin: throw UserAdministrationError.lastAdmin
        }
    }
}
