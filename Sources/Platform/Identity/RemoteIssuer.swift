import Foundation
import JWTKit
import Platform
import Synchronization

/// Asks an issuer that is a process of its own (`identity.remote`). The HTTP client is the application's.
public struct RemoteIssuer: Sendable {
    public struct Request: Sendable {
        public var method: String
        /// `/auth/session`
        public var path: String
        public var body: Document?
        public var token: Secret?
        public var requestId: String?
        public init(_ method: String, _ path: String, body: Document? = nil, token: Secret? = nil, requestId: String? = nil) {
            self.method = method; self.path = path; self.body = body; self.token = token; self.requestId = requestId
        }
    }
    public struct Answer: Sendable {
        public var status: Int
        public var body: Value
        public init(status: Int, body: Value) { self.status = status; self.body = body }
    }
    /// - Throws: anything when there is no answer at all.
    public let send: @Sendable (Request) async throws -> Answer
    public init(send: @escaping @Sendable (Request) async throws -> Answer) { self.send = send }
}

/// The issuer's published keys. An unknown id asks for them again, at most once a minute, and the old set stays when the issuer
/// does not answer (SEC-03).
actor RemoteKeys: VerificationKeys {
    static let reload: TimeInterval = 60
    /// As long as there is no set at all: an issuer that starts a moment later is not waited for a minute.
    static let retry: TimeInterval = 1
    private let issuer: RemoteIssuer
    private let time: any TimeSource
    private var known: (ids: Set<String>, collection: JWTKeyCollection)?
    private var askedAt = Date.distantPast
    private var loading: Task<Void, Never>?

    init(issuer: RemoteIssuer, time: any TimeSource) { self.issuer = issuer; self.time = time }

    func collection(knowing id: String) async throws -> JWTKeyCollection? {
        if let known, known.ids.contains(id) { return known.collection }
        if let loading { await loading.value } else if time.now().timeIntervalSince(askedAt) >= (known == nil ? Self.retry : Self.reload) {
            askedAt = time.now()
            let task = Task { await load() }
            loading = task
            await task.value
            loading = nil
        }
        guard let known else { throw RecordStoreError.unavailable("the issuer's keys cannot be had") }
        return known.ids.contains(id) ? known.collection : nil
    }

    private func load() async {
        guard let answer = try? await issuer.send(.init("GET", "/auth/.well-known/jwks.json")), answer.status == 200 else { return }
        let collection = JWTKeyCollection()
        var ids: Set<String> = []
        for entry in answer.body["keys"]?.array ?? [] {
            // RS256 keys of at least 2048 bits only, whatever else is published.
            guard entry["kty"] == "RSA", entry["alg"] == "RS256", let id = entry["kid"]?.string, let n = entry["n"]?.string, let e = entry["e"]?.string,
                Digest.fromBase64URL(n)?.count ?? 0 >= 256, let key = try? Insecure.RSA.PublicKey(modulus: n, exponent: e)
            else { continue }
            await collection.add(rsa: key, digestAlgorithm: .sha256, kid: JWKIdentifier(string: id))
            ids.insert(id)
        }
        if !ids.isEmpty { known = (ids, collection) }
    }
}

/// Checks tokens of an issuer that is another process: the signature by its published keys, the user's state by asking it with the
/// user's own token (`GET /auth/session`), again at most every five seconds (SEC-05).
///
/// While the issuer does not answer nobody can be suspended there either; the last answer about a user then counts for a minute.
public final class RemoteTokenVerifier: TokenVerifier {
    static let freshness: TimeInterval = 5
    static let outage: TimeInterval = 60
    private static let most = 10_000
    private struct Known { var state: UserState; var readAt: Date }
    private struct Memory {
        var users: [UserID: Known] = [:]
        /// Tokens that the issuer refused, until they would have ended anyway.
        var dead: [[UInt8]: Double] = [:]
    }
    private let issuer: RemoteIssuer
    private let proofs: TokenProofs
    private let records: any RecordStore
    private let time: any TimeSource
    private let memory = Mutex(Memory())

    /// - Parameter records: where this process keeps its own record of each user, made when their first token is seen.
    public init(issuer: RemoteIssuer, named name: String, records: any RecordStore, time: any TimeSource = SystemTime(), cache: Int = 10_000) {
        self.issuer = issuer; self.records = records; self.time = time
        proofs = TokenProofs(issuer: name, keys: RemoteKeys(issuer: issuer, time: time), time: time, cache: cache)
    }

    public func verify(_ token: String) async throws -> VerifiedIdentity {
        let claims = try await proofs.prove(token)
        let digest = Digest.sha256(token)
        if memory.withLock({ $0.dead[digest] != nil }) { throw TokenError.invalid }
        return try await state(claims, token, digest).identity(claims)
    }

    /// A change that was made through this process counts at once.
    public func forget(_ user: UserID) { memory.withLock { $0.users[user] = nil } }

    private func state(_ claims: AccessClaims, _ token: String, _ digest: [UInt8]) async throws -> UserState {
        let user = UserID(claims.sub), now = time.now()
        let known = memory.withLock { $0.users[user] }
        let age = known.map { now.timeIntervalSince($0.readAt) }
        if let known, let age, (0..<Self.freshness).contains(age) { return known.state }
        let answer: RemoteIssuer.Answer
        do {
            answer = try await issuer.send(.init("GET", "/auth/session", token: Secret(token)))
            guard [200, 401, 403].contains(answer.status) else { throw RecordStoreError.unavailable("the issuer answered \(answer.status)") }
        } catch {
            if error is CancellationError { throw error }
            if let known, let age, (0..<Self.outage).contains(age) { return known.state }
            throw RecordStoreError.unavailable("the issuer does not answer: \(error)")
        }
        switch answer.status {
        case 401:
            memory.withLock { memory in
                memory.users[user] = nil
                if memory.dead.count >= Self.most { memory.dead = memory.dead.filter { now.timeIntervalSince1970 < $0.value + TokenProofs.leeway } }
                if memory.dead.count >= Self.most { memory.dead.removeAll() }
                memory.dead[digest] = claims.exp
            }
            throw TokenError.invalid
        case 403: return try await keep(UserState(status: .suspended, email: claims.email, isAdmin: false, tokensValidFrom: nil), of: user, name: nil, at: now)
        default:
            guard answer.body["userId"]?.string == user.rawValue, let email = answer.body["email"]?.string, let isAdmin = answer.body["isAdmin"]?.bool else {
                throw RecordStoreError.unavailable("the issuer's answer was not understood")
            }
            let state = UserState(
                status: .active, email: email, isAdmin: isAdmin, tokensValidFrom: answer.body["tokensValidFrom"]?.string.flatMap(Timestamp.date))
            return try await keep(state, of: user, name: answer.body["displayName"]?.string, at: now)
        }
    }

    private func keep(_ state: UserState, of user: UserID, name: String?, at now: Date) async throws -> UserState {
        try await mirror(state, user, name, now)
        memory.withLock { memory in
            if memory.users.count >= Self.most { memory.users = memory.users.filter { now.timeIntervalSince($0.value.readAt) < Self.freshness } }
            if memory.users.count >= Self.most { memory.users.removeAll() }
            memory.users[user] = Known(state: state, readAt: now)
        }
        return state
    }

    /// This process's own record says the same as the issuer: status, role and address; plan and usage are ours.
    private func mirror(_ state: UserState, _ userId: UserID, _ name: String?, _ now: Date) async throws {
        guard let own = try await records.get(User.self, User.key(userId)) else {
            guard state.status == .active else { return }
            try await RemoteUsers(records: records, time: time).add(
                User(userId: userId, email: state.email, displayName: name, plan: state.isAdmin ? .enterprise : .free, isAdmin: state.isAdmin, at: now), by: AuditEntry.system, requestId: nil)
            return
        }
        // Deleted here: whatever the issuer still says.
        guard own.status != .deleted else { throw TokenError.invalid }
        if own.status != state.status || (state.status == .active && (own.isAdmin != state.isAdmin || own.email != state.email)) {
            var changes: [Change] = [.set("status", .string(state.status.rawValue)), .add("revision", 1)]
            if state.status == .active {
                changes += [
                    .set("groups", .array(state.isAdmin ? [.string(User.adminGroup)] : [])), .set("email", .string(state.email)), .set("emailLower", .string(state.email.lowercased())),
                ]
            }
            do { try await records.update(own.key, changes, if: .notEquals("status", "deleted")) } catch RecordStoreError.conditionFailed { throw TokenError.invalid }
        }
    }
}

/// This process's records of users whose accounts are kept elsewhere.
public struct RemoteUsers: Sendable {
    let records: any RecordStore
    let time: any TimeSource
    public init(records: any RecordStore, time: any TimeSource = SystemTime()) { self.records = records; self.time = time }

    /// Made once; one that is there already stays as it is.
    public func add(_ user: User, by actor: String, requestId: String?) async throws {
        let entry = AuditEntry(userId: user.userId.rawValue, actorId: actor, action: "user.created", target: user.userId.rawValue, requestId: requestId, at: time.now())
        do { try await AuditTrail(records: records).transact([user.putting(if: .recordAbsent)], entry) } catch RecordStoreError.conditionFailed(0, _) {}
    }

    /// Nothing when there is no such record here.
    public func setStatus(_ status: User.Status, of user: UserID, _ action: String, by actor: UserID, requestId: String?) async throws {
        let entry = AuditEntry(userId: user.rawValue, actorId: actor.rawValue, action: action, target: user.rawValue, requestId: requestId, at: time.now())
        do {
            try await AuditTrail(records: records).transact(
                [.update(User.key(user), [.set("status", .string(status.rawValue)), .add("revision", 1)], if: .and([.recordExists, .notEquals("status", "deleted")]))], entry)
        } catch RecordStoreError.conditionFailed(0, _) {}
    }

    public func note(_ action: String, _ user: UserID, by actor: UserID, requestId: String?) async throws {
        try await AuditTrail(records: records).append(
            AuditEntry(userId: user.rawValue, actorId: actor.rawValue, action: action, target: user.rawValue, requestId: requestId, at: time.now()))
    }
}
