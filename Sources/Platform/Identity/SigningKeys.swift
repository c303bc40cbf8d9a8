import Crypto
import CryptoExtras
import Foundation
import JWTKit
import Platform

/// The keys that sign access tokens (`{stage}/signing-keys`; SEC-03): the current one signs, and the previous and the next
/// are known and published, so that no verifier meets an unknown key when they change every 90 days.
///
/// The first key is made in the background of the first start: 2048 bits take some 100 ms, later starts only read.
public actor SigningKeys: VerificationKeys {
    public static let lifetime: TimeInterval = 90 * 86_400
    /// How long a set read from the store is good on another node; an unknown key id asks again at most this often.
    static let reload: TimeInterval = 60

    struct Key: Sendable {
        var id: String
        var pem: Secret
        var modulus: String
        var exponent: String
    }
    struct Ring: Sendable {
        var current: Key
        var activeSince: Date
        var next: Key?
        var previous: Key?
        var all: [Key] { [current, previous, next].compactMap { $0 } }
        var collection: JWTKeyCollection
        /// Tells rings apart for whoever caches what a ring answered.
        var ids: Set<String> { Set(all.map(\.id)) }
    }
    /// As stored: PEM texts. Only ever inside a `Secret`.
    private struct Stored: Codable {
        var current: String
        var activeSince: Date
        var next: String?
        var previous: String?
    }

    private let secrets: any SecretStore
    private let records: any RecordStore
    private let name: SecretName
    private let time: any TimeSource
    private var ring: Ring?
    private var readAt = Date.distantPast
    private var loading: Task<Ring, any Error>?

    public init(secrets: any SecretStore, records: any RecordStore, stage: String, time: any TimeSource = SystemTime()) {
        self.secrets = secrets; self.records = records; self.time = time
        name = SecretName("\(stage)/signing-keys")
    }

    /// The keys as they are; made when there are none.
    func keys() async throws -> Ring {
        if let ring { return ring }
        if let loading { return try await loading.value }
        let task = Task {
            if let stored = try await load() { return stored }
            return try await create()
        }
        loading = task
        defer { loading = nil }
        return use(try await task.value)
    }

    /// Whether the id is one of ours; reads the store again for an unknown one, once a minute at most.
    func knows(_ id: String) async throws -> Bool {
        let ring = try await keys()
        if ring.ids.contains(id) { return true }
        guard time.now().timeIntervalSince(readAt) >= Self.reload else { return false }
        readAt = time.now()
        // The old set stays when the store does not answer.
        if let fresh = try? await load() { self.ring = fresh; return fresh.ids.contains(id) }
        return false
    }

    func collection(knowing id: String) async throws -> JWTKeyCollection? { try await knows(id) ? try await keys().collection : nil }

    /// Makes the next key where it is missing, and moves on after 90 days. Call at start and then daily; any node may.
    public func rotateIfDue() async throws {
        var ring = try await keys()
        if let fresh = try await load() { ring = use(fresh) }
        let now = time.now()
        let due = now.timeIntervalSince(ring.activeSince) >= Self.lifetime
        guard due || ring.next == nil else { return }
        guard try await lock(now) else { return }
        defer { readAt = now }
        // Another node may have been here between the reading and the lock.
        if let fresh = try await load() { ring = fresh }
        if ring.next == nil { ring.next = try await Self.generate() }
        if now.timeIntervalSince(ring.activeSince) >= Self.lifetime, let next = ring.next {
            (ring.previous, ring.current, ring.activeSince) = (ring.current, next, now)
            ring.next = try await Self.generate()
        }
        try await store(ring)
        _ = use(try await Self.assembled(ring))
        try await records.delete(Self.lockKey)
    }

    /// Public halves, for `/auth/.well-known/jwks.json`.
    public func document() async throws -> JWKSDocument {
        JWKSDocument(keys: try await keys().all.map { JWKSDocument.Key(n: $0.modulus, e: $0.exponent, kid: $0.id) })
    }

    private func use(_ fresh: Ring) -> Ring {
        ring = fresh
        readAt = time.now()
        return fresh
    }

    private func load() async throws -> Ring? {
        guard let secret = try await secrets.get(name) else { return nil }
        let stored = try JSON.decode(Stored.self, from: secret.reveal())
        return try await Self.assembled(Ring(
            current: Self.key(stored.current), activeSince: stored.activeSince, next: stored.next.map(Self.key), previous: stored.previous.map(Self.key),
            collection: JWTKeyCollection()))
    }

    private func create() async throws -> Ring {
        // Two nodes at the very first start: one makes the key, the other waits for it.
        while try await !lock(time.now()) {
            if let made = try await load() { return made }
            try await time.sleep(for: .milliseconds(200))
        }
        if let made = try await load() { return made }
        let ring = try await Self.assembled(Ring(current: Self.generate(), activeSince: time.now(), collection: JWTKeyCollection()))
        try await store(ring)
        try await records.delete(Self.lockKey)
        return ring
    }

    private func store(_ ring: Ring) async throws {
        let stored = Stored(current: ring.current.pem.reveal(), activeSince: ring.activeSince, next: ring.next?.pem.reveal(), previous: ring.previous?.pem.reveal())
        try await secrets.put(name, Secret(JSON.text(stored)))
    }

    private static let lockKey = RecordKey(Tables.leases, "signing-keys", "lease")

    /// One node at a time; a node that died lets go after a minute.
    private func lock(_ now: Date) async throws -> Bool {
        let free = Condition.or([.recordAbsent, .lessThan("until", .value(.string(Timestamp.text(now))))])
        do {
            try await records.put(Self.lockKey, ["until": .string(Timestamp.text(now + 60))], expiresAt: now + 86_400, if: free)
            return true
        } catch RecordStoreError.conditionFailed { return false }
    }

    private static func assembled(_ ring: Ring) async throws -> Ring {
        var ring = ring
        let collection = JWTKeyCollection()
        for key in ring.all {
            await collection.add(rsa: try Insecure.RSA.PrivateKey(pem: key.pem.reveal()), digestAlgorithm: .sha256, kid: JWKIdentifier(string: key.id))
        }
        ring.collection = collection
        return ring
    }

    /// Off Swift's own threads: it computes for 100 ms and more.
    private static func generate() async throws -> Key {
        let pem = try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global(qos: .userInitiated).async {
                continuation.resume(with: Result { try _RSA.Signing.PrivateKey(keySize: .bits2048).pemRepresentation })
            }
        }
        return try key(pem)
    }

    private static func key(_ pem: String) throws -> Key {
        let primitives = try Insecure.RSA.PrivateKey(pem: pem).publicKey.getKeyPrimitives()
        let (n, e) = (Digest.base64URL(primitives.modulus), Digest.base64URL(primitives.publicExponent))
        // RFC 7638: SHA-256 over the required members in lexicographic order, without blanks.
        let id = Digest.base64URL(Digest.sha256("{\"e\":\"\(e)\",\"kty\":\"RSA\",\"n\":\"\(n)\"}"))
        return Key(id: id, pem: Secret(pem), modulus: n, exponent: e)
    }
}

/// `GET /auth/.well-known/jwks.json` (RFC 7517).
public struct JWKSDocument: Codable, Sendable, Hashable {
    public struct Key: Codable, Sendable, Hashable {
        public var kty = "RSA"
        public var n: String
        public var e: String
        public var kid: String
        public var alg = "RS256"
        public var use = "sig"
        init(n: String, e: String, kid: String) { self.n = n; self.e = e; self.kid = kid }
    }
    public var keys: [Key]
}

/// `GET /.well-known/openid-configuration`: a first-party token issuer, so no authorization or token endpoint.
public struct DiscoveryDocument: Codable, Sendable, Hashable {
    public var issuer: String
    public var jwksURI: String
    public var algorithms = ["RS256"]
    public var subjectTypes = ["public"]
    public var responseTypes: [String] = []
    public var claims = ["iss", "sub", "aud", "iat", "exp", "jti", "token_use", "email", "groups"]
    enum CodingKeys: String, CodingKey {
        case issuer, jwksURI = "jwks_uri", algorithms = "id_token_signing_alg_values_supported", subjectTypes = "subject_types_supported"
        case responseTypes = "response_types_supported", claims = "claims_supported"
    }
    /// - Parameter issuer: the public base URL, without a slash at its end.
    public init(issuer: String) { self.issuer = issuer; jwksURI = issuer + "/auth/.well-known/jwks.json" }
}
