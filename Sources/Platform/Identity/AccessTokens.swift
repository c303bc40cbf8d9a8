import Foundation
import JWTKit
import Platform
import Synchronization

/// What an access token says (API.md §2.2).
struct AccessClaims: JWTPayload {
    var iss: String
    var sub: String
    var aud: String
    /// With milliseconds (RFC 7519 allows a fraction), so that a token made in the second of a password change is told from those before it.
    var iat: Double
    var exp: Double
    var nbf: Double?
    var jti: String
    var token_use: String
    var email: String
    var groups: [String]
    /// Claims are checked by ``TokenProofs``, against injected time.
    func verify(using algorithm: some JWTAlgorithm) async throws {}
}

/// Issues access tokens: RS256, 15 minutes.
public struct TokenIssuer: Sendable {
    public static let lifetime: TimeInterval = 900
    public static let audience = "clawbot"
    let issuer: String
    let keys: SigningKeys
    let time: any TimeSource

    public init(issuer: String, keys: SigningKeys, time: any TimeSource = SystemTime()) { self.issuer = issuer; self.keys = keys; self.time = time }

    public func issue(for user: User) async throws -> Secret {
        let ring = try await keys.keys()
        let now = (time.now().timeIntervalSince1970 * 1000).rounded(.down) / 1000
        let claims = AccessClaims(
            iss: issuer, sub: user.userId.rawValue, aud: Self.audience, iat: now, exp: (now + Self.lifetime).rounded(.down), jti: ULID.make(at: time.now()),
            token_use: "access", email: user.email, groups: user.groups)
        return Secret(try await ring.collection.sign(claims, kid: JWKIdentifier(string: ring.current.id)))
    }
}

/// Checks access tokens of this issuer, and its user's state, on every call (SEC-01, 02, 03, 05).
public final class LocalTokenVerifier: TokenVerifier {
    private let proofs: TokenProofs
    private let users: UserStates

    public init(issuer: String, keys: SigningKeys, users: UserStates, time: any TimeSource = SystemTime(), cache: Int = 10_000) {
        proofs = TokenProofs(issuer: issuer, keys: keys, time: time, cache: cache)
        self.users = users
    }

    /// - Throws: ``TokenError``; ``RecordStoreError`` when the user cannot be read.
    public func verify(_ token: String) async throws -> VerifiedIdentity {
        let claims = try await proofs.prove(token)
        guard let state = try await users.state(of: UserID(claims.sub)), state.status != .deleted else { throw TokenError.invalid }
        return try state.identity(claims)
    }

    /// How many proofs are remembered now.
    var remembered: Int { proofs.remembered }
}

/// What a token's check needs to know of its user.
struct UserState: Sendable {
    var status: User.Status
    var email: String
    var isAdmin: Bool
    var tokensValidFrom: Date?

    func identity(_ claims: AccessClaims) throws(TokenError) -> VerifiedIdentity {
        guard status != .suspended else { throw .suspended }
        // Half a millisecond: both times are cut to milliseconds, but by different roads.
        if let from = tokensValidFrom, claims.iat < from.timeIntervalSince1970 - 0.0005 { throw .invalid }
        return VerifiedIdentity(
            userId: UserID(claims.sub), email: email, isAdmin: isAdmin, issuedAt: Date(timeIntervalSince1970: claims.iat),
            expiresAt: Date(timeIntervalSince1970: claims.exp))
    }
}

/// The users' states, each read again at most every five seconds (SEC-05).
public final class UserStates: Sendable {
    static let freshness: TimeInterval = 5
    private let records: any RecordStore
    private let time: any TimeSource
    private struct Entry { var state: UserState?; var readAt: Date }
    private let known = Mutex<[UserID: Entry]>([:])
    private static let most = 10_000

    private let policy: PlatformConfiguration.SecondFactorPolicy

    public init(records: any RecordStore, adminSecondFactor policy: PlatformConfiguration.SecondFactorPolicy = .optional, time: any TimeSource = SystemTime()) {
        self.records = records; self.policy = policy; self.time = time
    }

    /// nil when there is no such user.
    func state(of userId: UserID) async throws -> UserState? {
        let now = time.now()
        if let entry = known.withLock({ $0[userId] }), now.timeIntervalSince(entry.readAt) < Self.freshness, now >= entry.readAt { return entry.state }
        let user = try await records.get(User.self, User.key(userId))
        let state = user.map {
            // Without the factor that administrators must have, somebody is none yet (SEC-12).
            UserState(
                status: $0.status, email: $0.email, isAdmin: $0.isAdmin && (policy == .optional || $0.hasSecondFactor), tokensValidFrom: $0.tokensValidFrom)
        }
        known.withLock { known in
            if known.count >= Self.most { known = known.filter { now.timeIntervalSince($0.value.readAt) < Self.freshness } }
            if known.count >= Self.most { known.removeAll() }
            known[userId] = Entry(state: state, readAt: now)
        }
        return state
    }

    /// A change on this node counts at once.
    public func forget(_ userId: UserID) { known.withLock { $0[userId] = nil } }
}
