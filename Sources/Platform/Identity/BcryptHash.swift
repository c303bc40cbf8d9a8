import Foundation
import Platform

#if os(Linux)
    import CCrypt
#endif

/// A bcrypt hash that came with imported accounts (SEC-08): good for one log-in, at which it gives way to our own kind.
struct BcryptHash: Sendable {
    /// Less is too cheap to be trusted; more would hold a place in the queue for seconds.
    static let costs = 12...15
    /// bcrypt ignores what comes after: such a password would match others.
    static let longestPassword = 72
    let text: String

    /// nil for what is no bcrypt hash, or one that was made with too little work. `$2x$` has a known fault and is none.
    init?(_ text: String) {
        let parts = text.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 4, ["2a", "2b", "2y"].contains(parts[1]), parts[2].utf8.count == 2, let cost = Int(parts[2]), Self.costs.contains(cost),
            parts[3].utf8.count == 53, parts[3].utf8.allSatisfy({ (0x2e...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) })
        else { return nil }
        self.text = text
    }

    func matches(_ password: Secret) -> Bool {
        let plain = password.reveal()
        guard (1...Self.longestPassword).contains(plain.utf8.count), !plain.utf8.contains(0) else { return false }
        #if os(Linux)
            var out = [CChar](repeating: 0, count: 128)
            guard ccrypt_hash(plain, text, &out, out.count) != 0 else { return false }
            return Digest.sameSecret(text, out.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
        #else
            return false
        #endif
    }
}
