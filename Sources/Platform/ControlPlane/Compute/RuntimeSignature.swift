import Crypto
import Foundation
import Platform

/// `X-Clawbot-Signature: t={Unix seconds},v1={hex HMAC-SHA256(key, "{t}.{path}.{body}")}` (API.md §6.1): proves to an agent
/// process that a call comes from the control plane and is meant for this very process.
enum RuntimeSignature {
    static let header = "X-Clawbot-Signature"

    static func sign(path: String, body: Data, key: Secret, at now: Date) -> String {
        let seconds = Int(now.timeIntervalSince1970)
        let mac = HMAC<SHA256>.authenticationCode(
            for: Data("\(seconds).\(path).".utf8) + body, using: SymmetricKey(data: Data(key.reveal().utf8)))
        return "t=\(seconds),v1=\(Digest.hex(mac))"
    }
}
