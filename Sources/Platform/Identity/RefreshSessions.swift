import Crypto
import Foundation
import Platform

/// One log-in, kept alive by its refresh token (SEC-06). A token is `r1.<session id>.<256 random bits>`; only a digest
/// of the newest and of the one before is stored.
struct RefreshSession: Entity {
    var sessionId: String
    var userId: UserID
    var currentHash: String
    var previousHash: String?
    /// The newest token, readable only with the one before and the retry key that made it: for the client whose answer was lost.
    var replay: String?
    var rotatedAt: Date
    var createdAt: Date
    var expiresAt: Date

    static let table = Tables.refreshTokens
    static func key(_ id: String) -> RecordKey { RecordKey(table, id, "session") }
    var key: RecordKey { Self.key(sessionId) }
    /// Whole seconds upwards; `expiresAt` decides.
    var recordExpiry: Date? { expiresAt + 1 }
}

/// What a right password buys where it is not enough: choosing a new one (SEC-09), or showing or setting up the second factor
/// (SEC-12). Which of them says the class of its token.
struct Challenge: Entity {
    static let lifetime: TimeInterval = 600
    var challengeId: String
    var userId: UserID
    var hash: String
    var createdAt: Date
    var expiresAt: Date

    static let table = Tables.refreshTokens
    static func key(_ id: String) -> RecordKey { RecordKey(table, id, "challenge") }
    var key: RecordKey { Self.key(challengeId) }
    var recordExpiry: Date? { expiresAt + 1 }
    /// Fails when it was used before.
    var use: RecordWrite { .delete(key, if: .equals("hash", .value(.string(hash)))) }
}

/// An opaque token of one class (SEC-13): the class is in its text and in what is hashed, so that none passes for another.
struct OpaqueToken: Sendable {
    enum Class: String, Sendable {
        case refresh = "r1"
        case newPassword = "c1"
        case code = "t1"
        case enrolment = "e1"
    }
    let kind: Class
    let id: String
    let text: Secret

    init(_ kind: Class) {
        self.kind = kind
        id = Digest.randomToken(bytes: 16)
        text = Secret("\(kind.rawValue).\(id).\(Digest.randomToken(bytes: 32))")
    }
    /// The next token of the same session.
    init(following id: String, _ kind: Class) {
        self.kind = kind; self.id = id
        text = Secret("\(kind.rawValue).\(id).\(Digest.randomToken(bytes: 32))")
    }
    /// nil for what cannot be a token of that class.
    init?(_ text: Secret, as kind: Class) {
        let parts = text.reveal().split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == kind.rawValue, parts[1].utf8.count == 22, parts[2].utf8.count == 43,
            text.reveal().utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return nil }
        self.kind = kind; id = String(parts[1]); self.text = text
    }
    var hash: String { Digest.sha256Hex("clawbot/\(kind.rawValue)/\(text.reveal())") }
}

struct RefreshSessions: Sendable {
    static let sliding: TimeInterval = 30 * 86_400
    static let absolute: TimeInterval = 90 * 86_400
    /// Two tabs that refresh at the same time.
    static let grace: TimeInterval = 10
    let records: any RecordStore
    let time: any TimeSource

    func open(for userId: UserID) async throws -> (token: Secret, expiresAt: Date) {
        let now = time.now(), token = OpaqueToken(.refresh)
        let session = RefreshSession(sessionId: token.id, userId: userId, currentHash: token.hash, rotatedAt: now, createdAt: now, expiresAt: now + Self.sliding)
        try await records.put(session, if: .recordAbsent)
        return (token.text, session.expiresAt)
    }

    /// Exchanges a token for the next one. The old token's session must still be allowed by `mayLive`.
    /// - Parameter retryKey: a random text of the client's. Within the grace, the same token with the same key gets the same answer again.
    /// - Throws: ``IdentityError/tokenSuperseded``, ``IdentityError/tokenReused`` (the session has ended), ``IdentityError/unauthenticated``
    func rotate(_ text: Secret, retryKey: Secret?, requestId: String?, mayLive: (RefreshSession) async throws -> Void) async throws -> (session: RefreshSession, token: Secret) {
        guard let presented = OpaqueToken(text, as: .refresh) else { throw IdentityError.unauthenticated }
        // A second look only when another refresh came between.
        for _ in 0..<3 {
            let now = time.now()
            guard let session = try await records.get(RefreshSession.self, RefreshSession.key(presented.id)), now < session.expiresAt else {
                throw IdentityError.unauthenticated
            }
            guard Digest.sameSecret(session.currentHash, presented.hash) else {
                if let previous = session.previousHash, Digest.sameSecret(previous, presented.hash), now.timeIntervalSince(session.rotatedAt) <= Self.grace {
                    guard let next = Replay.open(session, presented, retryKey) else { throw IdentityError.tokenSuperseded }
                    try await mayLive(session)
                    return (session, next)
                }
                try await revoke(session, because: "user.refresh-reused", requestId)
                throw IdentityError.tokenReused
            }
            do { try await mayLive(session) } catch {
                try await records.delete(session.key)
                throw error
            }
            let next = OpaqueToken(following: session.sessionId, .refresh)
            var rotated = session
            rotated.previousHash = session.currentHash
            rotated.currentHash = next.hash
            rotated.replay = try Replay.seal(next, of: session, after: presented, retryKey)
            rotated.rotatedAt = now
            rotated.expiresAt = min(now + Self.sliding, session.createdAt + Self.absolute)
            do {
                try await records.put(rotated, if: .equals("currentHash", .value(.string(session.currentHash))))
                return (rotated, next.text)
            } catch RecordStoreError.conditionFailed { continue }
        }
        throw IdentityError.tokenSuperseded
    }

    /// The session of a token that is its newest or the one before; nil otherwise.
    func find(_ text: Secret) async throws -> RefreshSession? {
        guard let token = OpaqueToken(text, as: .refresh), let session = try await records.get(RefreshSession.self, RefreshSession.key(token.id)) else { return nil }
        let known = [session.currentHash, session.previousHash].compactMap { $0 }
        return known.contains { Digest.sameSecret($0, token.hash) } ? session : nil
    }

    /// False when somebody else closed it before.
    func close(_ session: RefreshSession, _ entry: AuditEntry) async throws -> Bool {
        do { try await AuditTrail(records: records).transact([.delete(session.key, if: .recordExists)], entry) }
        catch RecordStoreError.conditionFailed(0, _) { return false }
        return true
    }

    /// Removes what is left of a user's sessions and challenges. They are dead already by `tokensValidFrom`; this is tidying.
    func closeAll(of userId: UserID, before instant: Date) async throws {
        var query = RecordQuery(Tables.refreshTokens, index: Tables.tokenUserIndex, partition: userId.rawValue, sort: .lessThan(Timestamp.text(instant)), limit: 100)
        repeat {
            let page = try await records.query(query)
            for record in page.records { try await records.delete(record.key) }
            query.cursor = page.cursor
        } while query.cursor != nil
    }

    private func revoke(_ session: RefreshSession, because action: String, _ requestId: String?) async throws {
        let entry = AuditEntry(userId: session.userId.rawValue, actorId: AuditEntry.system, action: action, requestId: requestId, at: time.now())
        // Of several who notice at once, one ends the session and writes it down.
        do { try await AuditTrail(records: records).transact([.delete(session.key, if: .recordExists)], entry) }
        catch RecordStoreError.conditionFailed(0, _) {}
    }
}

/// A rotation's answer for its own repetition: sealed with what only the client has that asked for it, so that the record alone, or a
/// stolen predecessor alone, opens nothing.
private enum Replay {
    static func seal(_ next: OpaqueToken, of session: RefreshSession, after presented: OpaqueToken, _ retryKey: Secret?) throws -> String? {
        guard let retryKey else { return nil }
        return try SecretSeal.seal(Data(next.text.reveal().utf8), key: key(presented, retryKey), context: context(session))
    }

    static func open(_ session: RefreshSession, _ presented: OpaqueToken, _ retryKey: Secret?) -> Secret? {
        guard let retryKey, let box = session.replay, let text = SecretSeal.open(box, key: key(presented, retryKey), context: context(session)) else { return nil }
        let token = OpaqueToken(Secret(String(decoding: text, as: UTF8.self)), as: .refresh)
        return token.flatMap { Digest.sameSecret($0.hash, session.currentHash) ? $0.text : nil }
    }

    private static func key(_ presented: OpaqueToken, _ retryKey: Secret) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: Data(presented.text.reveal().utf8)), salt: Data(retryKey.reveal().utf8), info: Data("clawbot/refresh-replay".utf8),
            outputByteCount: 32)
    }
    private static func context(_ session: RefreshSession) -> [String] { ["refresh-replay", session.sessionId] }
}
