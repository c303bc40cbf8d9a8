import Crypto
import Foundation
import Platform

/// Links to single files that work without an access token, for stores that cannot make any themselves (API.md §3.7).
///
/// A link says all that it allows and is signed under a key of its own purpose: whose file, which, read or written, under which
/// media type, of exactly which length, until when (SEC-99, SEC-13). Wire form: `v1.<base64url(payload)>.<base64url(HMAC-SHA256)>`.
struct BlobLinks: Sendable {
    struct Link: Codable, Sendable, Hashable {
        enum Verb: String, Codable, Sendable { case read, write }
        var user: UserID
        var bot: BotID
        /// Relative to the bot's root.
        var key: String
        var verb: Verb
        /// Of a write: must be sent so.
        var contentType: String?
        /// Of a write: bytes, no more and no fewer.
        var size: Int?
        /// Of a read: shown in place where that is safe.
        var inline: Bool?
        var expiresAt: Date
    }
    static let lifetime = Duration.seconds(900)
    private let keys: [SymmetricKey]
    private let base: String

    /// - Parameter publicBaseURL: what links begin with.
    init(keys: [SymmetricKey], publicBaseURL: URL) {
        self.keys = keys
        let text = publicBaseURL.absoluteString
        base = text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    func url(_ link: Link) throws -> String {
        let head = "v1." + Digest.base64URL(try JSON.encode(link))
        return "\(base)/blob/\(head).\(Digest.base64URL(HMAC<SHA256>.authenticationCode(for: Data(head.utf8), using: keys[0])))"
    }

    /// - Throws: one and the same `forbidden` problem for what is altered, forged, of another class or expired.
    func open(_ token: String, for verb: Link.Verb, at now: Date) throws -> Link {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard token.utf8.count <= 4096, parts.count == 3, parts[0] == "v1", let payload = Digest.fromBase64URL(parts[1]), let code = Digest.fromBase64URL(parts[2]),
            code.count == 32
        else { throw Self.refused }
        let head = Data("v1.\(parts[1])".utf8)
        let isGenuine = keys.reduce(false) { found, key in HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: head, using: key) || found }
        guard isGenuine, Digest.base64URL(code) == parts[2], let link = try? JSON.decode(Link.self, from: payload), link.verb == verb, now < link.expiresAt
        else { throw Self.refused }
        return link
    }

    static let refused = Problem(.forbidden, "This link has expired, was altered, or is for something else. Ask for a new one.")
}
