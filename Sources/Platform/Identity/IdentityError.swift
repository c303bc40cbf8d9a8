import Foundation
import Platform

/// Why identity refused something; the web module maps it to problem+json (API.md §1.4). No case carries an address,
/// a password or a token.
public enum IdentityError: Error, Sendable, Equatable {
    /// Unknown e-mail, wrong password, deleted account: one answer for all (SEC-11). 401 `invalid-credentials`
    case invalidCredentials
    /// Only after a right password. 403 `account-suspended`
    case accountSuspended
    /// 429 `too-many-attempts`
    case tooManyAttempts(retryAfter: Duration)
    /// A token that is unknown, over, or of another kind. 401 `unauthenticated`
    case unauthenticated
    /// 401 `token-reused`; the session has been ended.
    case tokenReused
    /// 401 `token-superseded`; the session lives.
    case tokenSuperseded
    /// 400 on `newPassword`, with a sentence.
    case weakPassword(String)
    /// 400 on `email`, with a sentence.
    case invalidEmail(String)
    /// 409 `already-exists`
    case emailInUse
    /// 404
    case notFound
    /// 409 `self-modification`
    case selfModification
    /// 409 `last-admin`
    case lastAdmin
    /// A wrong or spent code of the second factor. 401 `invalid-credentials`
    case invalidCode
    /// What the second factor's present state does not allow. 409 `invalid-state`, with a sentence.
    case invalidState(String)
    /// Too many passwords to check at once. 503 `unavailable`
    case busy(retryAfter: Duration)
}
