import Foundation
import JWTKit
import Platform
import Synchronization

/// Where public keys come from: our own ring, or another process's published set.
protocol VerificationKeys: Sendable {
    /// The keys to verify with, when the id is one of theirs; nil for an unknown one.
    func collection(knowing id: String) async throws -> JWTKeyCollection?
}

/// Proves that a token is the issuer's and says what it must (SEC-01, 02). A signature is checked once and remembered for as
/// long as the token lives; the claims are looked at on every call.
final class TokenProofs: Sendable {
    static let leeway: TimeInterval = 60
    static let longest = 8192
    private let issuer: String
    private let keys: any VerificationKeys
    private let time: any TimeSource
    private let proved = Mutex<[[UInt8]: AccessClaims]>([:])
    private let mostProved: Int

    init(issuer: String, keys: any VerificationKeys, time: any TimeSource, cache: Int) {
        self.issuer = issuer; self.keys = keys; self.time = time; mostProved = cache
    }

    /// - Throws: ``TokenError``; what the keys' source throws when it has none to check with.
    func prove(_ token: String) async throws -> AccessClaims {
        let claims = try await signed(token)
        let now = time.now().timeIntervalSince1970
        guard claims.iss == issuer, claims.aud == TokenIssuer.audience, claims.token_use == "access" else { throw TokenError.invalid }
        guard claims.iat <= now + Self.leeway, (claims.nbf ?? now) <= now + Self.leeway else { throw TokenError.invalid }
        guard now < claims.exp + Self.leeway else { throw TokenError.expired }
        return claims
    }

    /// How many proofs are remembered now.
    var remembered: Int { proved.withLock { $0.count } }

    private func signed(_ token: String) async throws -> AccessClaims {
        guard token.utf8.count <= Self.longest else { throw TokenError.invalid }
        let digest = Digest.sha256(token)
        if let claims = proved.withLock({ $0[digest] }) { return claims }
        guard let key = Self.keyID(of: token), let collection = try await keys.collection(knowing: key) else { throw TokenError.invalid }
        guard let claims = try? await collection.verify(token, as: AccessClaims.self) else { throw TokenError.invalid }
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
