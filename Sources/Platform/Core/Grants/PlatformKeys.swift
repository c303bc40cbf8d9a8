import Crypto
import Foundation

/// The platform's own symmetric keys (`{stage}/platform-keys`): one random root per generation, from which every use
/// derives its own key by HKDF with a purpose label, so that no class of token passes at another's door (SEC-13).
public struct PlatformKeys: Sendable {
    public enum Purpose: String, Sendable { case grant, blobLink = "blob-link", cursor, runtimeSignature = "runtime-signature", groupReference = "group-reference" }
    private let roots: [SymmetricKey]

    /// - Parameter roots: newest first; at most two live at once.
    public init(roots: [Data]) {
        precondition(!roots.isEmpty && roots.allSatisfy { $0.count >= 32 }, "a platform key has at least 32 bytes")
        self.roots = roots.map { SymmetricKey(data: $0) }
    }

    public func keys(_ purpose: Purpose) -> [SymmetricKey] {
        roots.map { HKDF<SHA256>.deriveKey(inputKeyMaterial: $0, info: Data("clawbot/\(purpose.rawValue)/v1".utf8), outputByteCount: 32) }
    }
    public var grantSigner: GrantSigner { GrantSigner(keys: keys(.grant)) }

    /// Loads the keys, making the first generation when there is none yet.
    public static func load(from secrets: any SecretStore, stage: String) async throws -> PlatformKeys {
        let name = SecretName("\(stage)/platform-keys")
        if let stored = try await secrets.get(name) {
            let roots = stored.reveal().split(separator: ",").compactMap { Digest.fromBase64URL($0) }
            guard !roots.isEmpty, roots.allSatisfy({ $0.count >= 32 }) else { throw SecretStoreError.cannotOpen(name) }
            return PlatformKeys(roots: roots)
        }
        let root = Digest.randomToken(bytes: 32)
        try await secrets.put(name, Secret(root))
        return try await load(from: secrets, stage: stage)
    }
}
