import Foundation

/// Secrets by name, versioned, encrypted at rest. Names: ARCHITECTURE.md §6.
public protocol SecretStore: Sendable {
    /// `nil` when absent. Throws when it is there and cannot be opened.
    func get(_ name: SecretName) async throws -> Secret?
    func put(_ name: SecretName, _ value: Secret) async throws
    func delete(_ name: SecretName) async throws
    func list(prefix: String) async throws -> [SecretName]
    /// Deletes every secret under a tenant's prefix (`stage/tenant/`), and the key that they were kept under where they had one.
    func deleteAll(prefix: String) async throws
    func probe() async throws
}

extension SecretStore {
    public func deleteAll(prefix: String) async throws { for name in try await list(prefix: prefix) { try await delete(name) } }
}

public struct SecretName: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }

public enum SecretStoreError: Error, Sendable {
    /// The stored bytes do not open under the present keys: altered, moved or encrypted with a key that is gone.
    case cannotOpen(SecretName)
    case masterKey(String)
    case unavailable(String)
}
