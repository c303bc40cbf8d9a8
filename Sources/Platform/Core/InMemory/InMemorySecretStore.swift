import Foundation
import Synchronization

/// Secrets in memory, for tests.
public final class InMemorySecretStore: SecretStore {
    private let secrets = Mutex<[SecretName: Secret]>([:])
    public init() {}
    public func get(_ name: SecretName) async throws -> Secret? { secrets.withLock { $0[name] } }
    public func put(_ name: SecretName, _ value: Secret) async throws { secrets.withLock { $0[name] = value } }
    public func delete(_ name: SecretName) async throws { secrets.withLock { $0[name] = nil } }
    public func list(prefix: String) async throws -> [SecretName] {
        secrets.withLock { secrets in
            secrets.keys.filter { $0.rawValue.utf8.starts(with: prefix.utf8) }.sorted {
                $0.rawValue.utf8.lexicographicallyPrecedes($1.rawValue.utf8)
            }
        }
    }
    public func probe() async throws {}
}
