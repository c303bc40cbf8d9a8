import Foundation
import Platform

/// Sign-in as the API needs it; the self-hosted issuer implements it. Where the issuer is somebody else's it does not exist here (404).
public protocol SignInService: Sendable {
    /// Wrong e-mail, wrong password and deleted account are one error, in comparable time.
    func login(email: String, password: Secret, requestId: String) async throws -> SignInOutcome
    /// - Parameter retryKey: the same token with the same key gets the same pair again, for ten seconds.
    func refresh(_ token: Secret, retryKey: Secret?, requestId: String) async throws -> TokenPair
    /// Never fails for an unknown token.
    func logout(_ token: Secret, everywhere: Bool, requestId: String) async throws
    func changePassword(of user: UserID, current: Secret, new: Secret, requestId: String) async throws -> TokenPair
    func changePassword(challenge: Secret, new: Secret, requestId: String) async throws -> SignInOutcome
    /// The account behind an access token, as it is now.
    func account(_ user: UserID) async throws -> User
    /// A code of the second factor, or the first one of a new factor, pays the challenge.
    func pay(challenge: Secret, code: String, requestId: String) async throws -> (pair: TokenPair, recoveryCodes: [Secret]?)
    func enrol(challenge: Secret) async throws -> SecondFactorSecret
    func enrol(_ user: UserID, currentPassword: Secret, requestId: String) async throws -> SecondFactorSecret
    func confirmSecondFactor(of user: UserID, code: String, requestId: String) async throws -> [Secret]
    func removeSecondFactor(of user: UserID, currentPassword: Secret, code: String, requestId: String) async throws
    /// The JSON Web Key Set: current, previous and next public key.
    func publicKeys() async throws -> Value
}

public enum SignInOutcome: Sendable {
    case tokens(TokenPair)
    /// Something comes first: `NEW_PASSWORD_REQUIRED`, `TOTP_REQUIRED`, `TOTP_ENROLMENT_REQUIRED`.
    case challenge(name: String, token: Secret, expiresIn: Int)
}

/// What an authenticator app needs.
public struct SecondFactorSecret: Sendable {
    public var secret: Secret
    public var uri: Secret
    public init(secret: Secret, uri: Secret) { self.secret = secret; self.uri = uri }
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
    /// A wrong or spent code of the second factor.
    case invalidCode
    /// A sentence about what the second factor's state does not allow.
    case invalidState(String)
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
        case .invalidCode: Problem(.invalidCredentials, "The code is not right, or it was used before.")
        case .invalidState(let sentence): Problem(.invalidState, sentence)
        case .tokenReused: Problem(.tokenReused, "This refresh token was used before. The session has ended; sign in again.")
        case .tokenSuperseded: Problem(.tokenSuperseded, "A newer refresh token exists for this session.")
        case .weakPassword(let sentence): .invalid("newPassword", sentence)
        case .busy(let seconds): Problem(.unavailable, "Too many sign-ins at once. Try again in a moment.", headers: [.retryAfter: String(seconds)])
        }
    }
}

/// The administrator who asks, with what a separate issuer needs to see for itself.
public struct Administrator: Sendable {
    public var userId: UserID
    public var token: Secret
    public var requestId: String
    public init(userId: UserID, token: Secret, requestId: String) { self.userId = userId; self.token = token; self.requestId = requestId }
}

/// Accounts as administrators handle them.
public protocol UserAdministration: Sendable {
    /// Returns the new user and, self-hosted, the password to hand over once.
    func create(email: String, displayName: String?, plan: Plan, isAdmin: Bool, by admin: Administrator) async throws -> (user: User, temporaryPassword: Secret?)
    /// Suspending ends all sessions.
    func setStatus(_ status: User.Status, of user: UserID, by admin: Administrator) async throws
    func resetPassword(of user: UserID, by admin: Administrator) async throws -> Secret?
    func delete(_ user: UserID, by admin: Administrator) async throws
}

extension Call {
    /// The signed-in administrator. Only for routes whose access demands one.
    var administrator: Administrator {
        get throws {
            guard let caller, caller.identity.isAdmin else { throw Problem.forbidden }
            return Administrator(userId: caller.userId, token: caller.token, requestId: requestId)
        }
    }
}

public enum UserAdministrationError: Error, Sendable {
    case emailInUse, notFound, selfModification, lastAdmin
    /// A sentence about the e-mail address.
    case invalidEmail(String)
    /// The cause is for the log.
    case upstreamFailed(cause: String)

    var problem: Problem {
        switch self {
        case .emailInUse: Problem(.alreadyExists, "A user with that e-mail exists already.")
        case .notFound: .notFound
        case .invalidEmail(let sentence): .invalid("email", sentence)
        case .upstreamFailed: Problem(.upstreamFailed, "The sign-in service does not answer. Nothing was changed; try again.")
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
