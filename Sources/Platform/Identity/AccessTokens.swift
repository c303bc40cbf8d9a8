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
    /// Claims are checked by ``LocalTokenVerifier``, against injected time.
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

/// Checks access tokens of this issuer (SEC-01, 02, 03, 05). The signature of a token is checked once and remembered for
/// as long as the token lives; claims and the user's state are looked at on every call.
public final class LocalTokenVerifier: TokenVerifier {
    static let leeway: TimeInterval = 60
    static let longest = 8192
    private let issuer: String
    private let keys: SigningKeys
    private let users: UserStates
    private let time: any TimeSource
    private let proved = Mutex<[[UInt8]: AccessClaims]>([:])
    private let mostProved: Int

    public init(issuer: String, keys: SigningKeys, users: UserStates, time: any TimeSource = SystemTime(), cache: Int = 10_000) {
        self.issuer = issuer; self.keys = keys; self.users = users; self.time = time; mostProved = cache
    }

    /// - Throws: ``TokenError``; ``RecordStoreError`` when the user cannot be read.
    public func verify(_ token: String) async throws -> VerifiedIdentity {
        let claims = try await prove(token)
        let now = time.now().timeIntervalSince1970
        guard claims.iss == issuer, claims.aud == TokenIssuer.audience, claims.token_use == "access" else { throw TokenError.invalid }
        guard claims.iat <= now + Self.leeway, (claims.nbf ?? now) <= now + Self.leeway else { throw TokenError.invalid }
        guard now < claims.exp + Self.leeway else { throw TokenError.expired }
        guard let state = try await users.state(of: UserID(claims.sub)), state.status != .deleted else { throw TokenError.invalid }
        guard state.status != .suspended else { throw TokenError.suspended }
        // Half a millisecond: both times are cut to milliseconds, but by different roads.
        if let from = state.tokensValidFrom, claims.iat < from.timeIntervalSince1970 - 0.0005 { throw TokenError.invalid }
        return VerifiedIdentity(
            userId: UserID(claims.sub), email: state.email, isAdmin: state.isAdmin, issuedAt: Date(timeIntervalSince1970: claims.iat),
            expiresAt: Date(timeIntervalSince1970: claims.exp))
    }

    /// How many proofs are remembered now.
    var remembered: Int { proved.withLock { $0.count } }

    private func prove(_ token: String) async throws -> AccessClaims {
        guard token.utf8.count <= Self.longest else { throw TokenError.invalid }
        let digest = Digest.sha256(token)
        if let claims = proved.withLock({ $0[digest] }) { return claims }
        guard let key = Self.keyID(of: token), try await keys.knows(key) else { throw TokenError.invalid }
        let ring = try await keys.keys()
        guard let claims = try? await ring.collection.verify(token, as: AccessClaims.self) else { throw TokenError.invalid }
        let now = time.now().timeIntervalSince1970, most = mostProved
        proved.withLock { proved in
            if proved.count >= most { proved = proved.filter { now < $0.value.exp + Self.leeway } }
            if proved.count >= most { proved.removeAll(keepingCapacity: true) }
            proved[digest] = claims
        }
        return claims
    }

    /// The key id of a header that holds nothing but `alg: RS256`, `kid` and perhaps `typ: JWT`. A header that brings a key,
    /// a certificate, critical extensions or another algorithm is refused unread; so is a text that is not canonical base64url.
    static func keyID(of token: String) -> String? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts.allSatisfy({ part in Digest.fromBase64URL(part).map { Digest.base64URL($0) == part && !$0.isEmpty } ?? false }),
            let bytes = Digest.fromBase64URL(parts[0]), case .object(let header)? = try? JSON.strictValue(bytes)
        else { return nil }
        guard Set(header.keys).isSubset(of: ["alg", "kid", "typ"]), header["alg"] == "RS256" else { return nil }
        if let type = header["typ"], type != "JWT" { return nil }
        return header["kid"]?.string
    }
}

/// What a token's check needs to know of its user, read again at most every five seconds (SEC-05).
public final class UserStates: Sendable {
    struct State: Sendable {
        var status: User.Status
        var email: String
        var isAdmin: Bool
        var tokensValidFrom: Date?
    }
    static let freshness: TimeInterval = 5
    private let records: any RecordStore
    private let time: any TimeSource
    private struct Entry { var state: State?; var readAt: Date }
    private let known = Mutex<[UserID: Entry]>([:])
    private static let most = 10_000

    public init(records: any RecordStore, time: any TimeSource = SystemTime()) { self.records = records; self.time = time }

    /// nil when there is no such user.
    func state(of userId: UserID) async throws -> State? {
        let now = time.now()
        if let entry = known.withLock({ $0[userId] }), now.timeIntervalSince(entry.readAt) < Self.freshness, now >= entry.readAt { return entry.state }
        let user = try await records.get(User.self, User.key(userId))
        let state = user.map { State(status: $0.status, email: $0.email, isAdmin: $0.isAdmin, tokensValidFrom: $0.tokensValidFrom) }
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
