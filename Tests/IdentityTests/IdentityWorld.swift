import Foundation
import Platform
import Testing

@testable import Identity

/// One deployment's identity in memory; `node()` is another server on the same stores.
struct IdentityWorld: Sendable {
    static let issuerURL = "https://bots.example.com"
    static let password = Secret("a long enough phrase")
    let time: ManualTime
    let records: InMemoryRecordStore
    let secrets: any SecretStore
    let hasher: PasswordHasher
    let keys: SigningKeys
    let states: UserStates
    let accounts: Accounts
    let issuer: TokenIssuer
    let signIn: SignIn
    let verifier: LocalTokenVerifier

    init(
        hasher: PasswordHasher = PasswordHasher(cost: .init(logN: 4, blockSize: 8, parallelism: 1)), policy: PlatformConfiguration.SecondFactorPolicy = .optional
    ) {
        let time = ManualTime()
        self.init(time: time, records: InMemoryRecordStore(time: time), secrets: SecretsWithKey(), hasher: hasher, policy: policy)
    }

    init(time: ManualTime, records: InMemoryRecordStore, secrets: any SecretStore, hasher: PasswordHasher, policy: PlatformConfiguration.SecondFactorPolicy = .optional) {
        self.time = time; self.records = records; self.secrets = secrets; self.hasher = hasher
        keys = SigningKeys(secrets: secrets, records: records, stage: "test", time: time)
        states = UserStates(records: records, adminSecondFactor: policy, time: time)
        accounts = Accounts(records: records, hasher: hasher, states: states, time: time)
        issuer = TokenIssuer(issuer: Self.issuerURL, keys: keys, time: time)
        signIn = SignIn(records: records, secrets: secrets, stage: "test", accounts: accounts, issuer: issuer, hasher: hasher, adminSecondFactor: policy, time: time)
        verifier = LocalTokenVerifier(issuer: Self.issuerURL, keys: keys, users: states, time: time)
    }

    func node() -> IdentityWorld { IdentityWorld(time: time, records: records, secrets: secrets, hasher: hasher) }

    /// A user with a password of their own.
    @discardableResult
    func user(_ email: String = "ann@example.com", admin: Bool = false, password: Secret = password) async throws -> User {
        try await accounts.add(email: email, displayName: nil, plan: .free, isAdmin: admin, password: password, mustChange: false, by: "system", requestId: nil)
    }

    func login(_ email: String = "ann@example.com", _ password: Secret = password) async throws -> TokenPair {
        guard case .signedIn(let pair) = try await signIn.login(email: email, password: password) else { throw IdentityError.unauthenticated }
        return pair
    }

    func audit(_ userId: UserID) async throws -> [String] {
        try await records.all(AuditEntry.self, RecordQuery(Tables.audit, partition: userId.rawValue)).map(\.action)
    }
}

/// A secret store in which the first signing key has been made already: one for all tests, since making one takes a second
/// of an unoptimised build.
final class SecretsWithKey: SecretStore {
    private static let shared = Task {
        let store = InMemorySecretStore()
        _ = try await SigningKeys(secrets: store, records: InMemoryRecordStore(), stage: "test", time: ManualTime()).keys()
        return try await store.get(SecretName("test/signing-keys"))
    }
    private let inner = InMemorySecretStore()
    func get(_ name: SecretName) async throws -> Secret? {
        if let own = try await inner.get(name) { return own }
        return name.rawValue == "test/signing-keys" ? try await Self.shared.value : nil
    }
    func put(_ name: SecretName, _ value: Secret) async throws { try await inner.put(name, value) }
    func delete(_ name: SecretName) async throws { try await inner.delete(name) }
    func list(prefix: String) async throws -> [SecretName] { try await inner.list(prefix: prefix) }
    func probe() async throws {}
}

/// The identity error that the work ends in.
func refusal(_ work: () async throws -> Void) async -> IdentityError? {
    do { try await work() } catch { return error as? IdentityError }
    return nil
}

func tokenRefusal(_ work: () async throws -> Void) async -> TokenError? {
    do { try await work() } catch { return error as? TokenError }
    return nil
}
