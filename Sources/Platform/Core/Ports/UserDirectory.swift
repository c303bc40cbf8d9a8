import Foundation

/// Who a bearer token is.
public protocol TokenVerifier: Sendable {
    /// - Throws: ``TokenError``
    func verify(_ token: String) async throws -> VerifiedIdentity
}

public struct VerifiedIdentity: Sendable, Hashable {
    public var userId: UserID
    public var email: String?
    public var isAdmin: Bool
    public var issuedAt: Date
    public var expiresAt: Date
    public init(userId: UserID, email: String?, isAdmin: Bool, issuedAt: Date, expiresAt: Date) {
        self.userId = userId; self.email = email; self.isAdmin = isAdmin; self.issuedAt = issuedAt; self.expiresAt = expiresAt
    }
}

public enum TokenError: Error, Sendable { case invalid, expired, suspended }
