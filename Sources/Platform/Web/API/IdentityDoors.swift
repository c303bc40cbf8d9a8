import ControlPlane
import Foundation
import Identity
import Platform

/// The self-hosted issuer behind the API's sign-in door.
public struct IssuerDoor: SignInService {
    private let signIn: SignIn
    private let keys: SigningKeys
    public init(signIn: SignIn, keys: SigningKeys) { self.signIn = signIn; self.keys = keys }

    public func login(email: String, password: Secret, address: String) async throws -> SignInOutcome {
        switch try await translated({ try await signIn.login(email: email, password: password) }) {
        case .signedIn(let pair): .tokens(TokenPair(pair))
        case .newPasswordRequired(let challenge, let seconds): .newPasswordRequired(challenge: challenge, expiresIn: seconds)
        }
    }
    public func refresh(_ token: Secret) async throws -> TokenPair { TokenPair(try await translated { try await signIn.refresh(token) }) }
    public func logout(_ token: Secret, everywhere: Bool) async throws { try await translated { try await signIn.logout(token, everywhere: everywhere) } }
    public func changePassword(of user: UserID, current: Secret, new: Secret) async throws -> TokenPair {
        TokenPair(try await translated { try await signIn.changePassword(of: user, current: current, new: new) })
    }
    public func changePassword(challenge: Secret, new: Secret) async throws -> TokenPair {
        TokenPair(try await translated { try await signIn.changePassword(challenge: challenge, new: new) })
    }
    public func publicKeys() async throws -> Value { try JSON.value(JSON.encode(try await keys.document())) }
}

/// The platform's accounts behind the administrators' door.
public struct AccountsDoor: UserAdministration {
    private let accounts: Accounts
    /// Agents are separated from each other: without that, one user alone may have any (SEC-70).
    private let isSandboxed: Bool
    public init(accounts: Accounts, isSandboxed: Bool) { self.accounts = accounts; self.isSandboxed = isSandboxed }

    public func create(email: String, displayName: String?, plan: Plan, isAdmin: Bool, by: By) async throws -> (user: User, temporaryPassword: Secret?) {
        guard isSandboxed else {
            throw ManagementError.invalidState("Agents run without a sandbox here (compute.sandbox: none), so there can be one user only.")
        }
        let made = try await translated { try await accounts.create(email: email, displayName: displayName, plan: plan, isAdmin: isAdmin, by: by.userId, requestId: by.requestId) }
        return (made.user, made.temporaryPassword)
    }
    public func setStatus(_ status: User.Status, of user: UserID, by: By) async throws {
        _ = try await translated { try await accounts.setStatus(user, to: status, by: Self.admin(by), requestId: by.requestId) }
    }
    public func resetPassword(of user: UserID, by: By) async throws -> Secret? {
        try await translated { try await accounts.resetPassword(user, by: Self.admin(by), requestId: by.requestId) }
    }
    public func delete(_ user: UserID, by: By) async throws { try await translated { try await accounts.delete(user, by: Self.admin(by), requestId: by.requestId) } }

    private static func admin(_ by: By) -> UserID { by.userId ?? UserID(AuditEntry.system) }
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
