import Foundation
import Platform

/// Sign-in as the API needs it; the self-hosted issuer implements it, a foreign one (Cognito) does not exist here (404).
public protocol SignInService: Sendable {
    /// Wrong e-mail, wrong password and deleted account are one error, in comparable time.
    func login(email: String, password: Secret, address: String) async throws -> SignInOutcome
    func refresh(_ token: Secret) async throws -> TokenPair
    /// Never fails for an unknown token.
    func logout(_ token: Secret, everywhere: Bool) async throws
    func changePassword(of user: UserID, current: Secret, new: Secret) async throws -> TokenPair
    func changePassword(challenge: Secret, new: Secret) async throws -> TokenPair
    /// The JSON Web Key Set: current, previous and next public key.
    func publicKeys() async throws -> Value
}

public enum SignInOutcome: Sendable {
    case tokens(TokenPair)
    /// The password must be changed first.
    case newPasswordRequired(challenge: Secret, expiresIn: Int)
}

public struct TokenPair: Sendable {
    public var accessToken: Secret
    /// Seconds.
    public var expiresIn: Int
    public var refreshToken: Secret
    public var refreshExpiresIn: Int
    public var userId: UserID
    public init(accessToken: Secret, expiresIn: Int, refreshToken: Secret, refreshExpiresIn: Int, userId: UserID) {
        self.accessToken = accessToken; self.expiresIn = expiresIn; self.refreshToken = refreshToken
        self.refreshExpiresIn = refreshExpiresIn; self.userId = userId
    }
}

public enum SignInError: Error, Sendable {
    case invalidCredentials
    case suspended
    case tooManyAttempts(retryAfter: Int)
    /// A refresh or challenge token that is unknown, used or expired.
    case invalidToken
    case tokenReused, tokenSuperseded
    /// A sentence about the new password.
    case weakPassword(String)
    /// Too many passwords to check at once.
    case busy(retryAfter: Int)

    var problem: Problem {
        switch self {
        case .invalidCredentials: Problem(.invalidCredentials, "E-mail or password is not right.")
        case .suspended: .suspended
        case .tooManyAttempts(let seconds):
            Problem(.tooManyAttempts, "Too many failed attempts. Try again in \(seconds) s.", headers: [.retryAfter: String(seconds)])
        case .invalidToken: .unauthenticated
        case .tokenReused: Problem(.tokenReused, "This refresh token was used before. The session has ended; sign in again.")
        case .tokenSuperseded: Problem(.tokenSuperseded, "A newer refresh token exists for this session.")
        case .weakPassword(let sentence): .invalid("newPassword", sentence)
        case .busy(let seconds): Problem(.unavailable, "Too many sign-ins at once. Try again in a moment.", headers: [.retryAfter: String(seconds)])
        }
    }
}

/// Accounts as administrators handle them.
public protocol UserAdministration: Sendable {
    /// Returns the new user and, self-hosted, the password to hand over once.
    func create(email: String, displayName: String?, plan: Plan, isAdmin: Bool, by: By) async throws -> (user: User, temporaryPassword: Secret?)
    /// Suspending ends all sessions.
    func setStatus(_ status: User.Status, of user: UserID, by: By) async throws
    func resetPassword(of user: UserID, by: By) async throws -> Secret?
    func delete(_ user: UserID, by: By) async throws
}

public enum UserAdministrationError: Error, Sendable {
    case emailInUse, notFound, selfModification, lastAdmin
    /// A sentence about the e-mail address.
    case invalidEmail(String)

    var problem: Problem {
        switch self {
        case .emailInUse: Problem(.alreadyExists, "A user with that e-mail exists already.")
        case .notFound: .notFound
        case .invalidEmail(let sentence): .invalid("email", sentence)
        case .selfModification: Problem(.selfModification, "You cannot do that to your own account.")
        case .lastAdmin: Problem(.lastAdmin, "This is the last administrator.")
        }
    }
}

/// Reads a bearer token from its header and nowhere else (SEC-102).
struct Authentication: Sendable {
    let verifier: any TokenVerifier

    func caller(_ header: String?) async throws -> Caller {
        guard let header, header.utf8.count <= 8192 else { throw Problem.unauthenticated }
        let parts = header.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { throw Problem.unauthenticated }
        let token = String(parts[1])
        do {
            return Caller(identity: try await verifier.verify(token), token: Secret(token))
        } catch TokenError.suspended {
            throw Problem.suspended
        } catch is TokenError {
            throw Problem.unauthenticated
        }
    }
}
