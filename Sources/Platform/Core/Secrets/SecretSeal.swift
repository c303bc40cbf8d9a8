import Crypto
import Foundation

/// AES-256-GCM with a random 96-bit nonce; what is sealed says for what it was sealed (SEC-47).
public enum SecretSeal {
    public static func seal(_ plain: Data, key: SymmetricKey, context: [String]) throws -> String {
        guard let combined = try AES.GCM.seal(plain, using: key, nonce: AES.GCM.Nonce(), authenticating: bytes(context)).combined else {
            throw SecretStoreError.unavailable("AES-GCM gave no combined box")
        }
        return combined.base64EncodedString()
    }

    /// `nil` when the box was altered, moved or sealed with another key.
    public static func open(_ box: String, key: SymmetricKey, context: [String]) -> Data? {
        guard let data = Data(base64Encoded: box), let sealed = try? AES.GCM.SealedBox(combined: data) else { return nil }
        return try? AES.GCM.open(sealed, using: key, authenticating: bytes(context))
    }

    /// Each part with its length, so that no two contexts read the same.
    private static func bytes(_ context: [String]) -> Data { Data(context.map { "\($0.utf8.count):\($0)" }.joined().utf8) }
}
