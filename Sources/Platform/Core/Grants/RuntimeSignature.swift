import Crypto
import Foundation

/// `X-Clawbot-Signature`: `t={Unix seconds},v1={hex HMAC-SHA256(key, "{t}.{path}.{body}")}` under a key of one agent process alone
/// (API.md §6.1). The control plane signs, the runtime checks.
public enum RuntimeSignature {
    public static let header = "x-clawbot-signature"
    /// How far the caller's clock may be off.
    public static let tolerance: TimeInterval = 300

    public static func sign(path: String, body: Data, key: Secret, at now: Date) -> String {
        let seconds = Int(now.timeIntervalSince1970)
        return "t=\(seconds),v1=" + Digest.hex(HMAC<SHA256>.authenticationCode(for: message(seconds, path, body), using: symmetric(key)))
    }

    /// Compares in constant time; anything but exactly one `t` and one `v1` is no signature.
    public static func verify(_ header: String?, path: String, body: Data, key: Secret, at now: Date) -> Bool {
        guard let header, header.utf8.count <= 200 else { return false }
        let parts = header.split(separator: ",", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].hasPrefix("t="), parts[1].hasPrefix("v1="), let seconds = Int(parts[0].dropFirst(2)),
            String(seconds) == parts[0].dropFirst(2), abs(now.timeIntervalSince1970 - Double(seconds)) <= tolerance,
            let code = bytes(hex: parts[1].dropFirst(3)), code.count == 32
        else { return false }
        return HMAC<SHA256>.isValidAuthenticationCode(code, authenticating: message(seconds, path, body), using: symmetric(key))
    }

    private static func symmetric(_ key: Secret) -> SymmetricKey { SymmetricKey(data: Data(key.reveal().utf8)) }
    private static func message(_ seconds: Int, _ path: String, _ body: Data) -> Data { Data("\(seconds).\(path).".utf8) + body }

    private static func bytes(hex text: Substring) -> [UInt8]? {
        let digits = Array(text.utf8)
        guard digits.count % 2 == 0 else { return nil }
        var out: [UInt8] = []
        for at in stride(from: 0, to: digits.count, by: 2) {
            guard let high = nibble(digits[at]), let low = nibble(digits[at + 1]) else { return nil }
            out.append(high << 4 | low)
        }
        return out
    }
    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x57
        default: nil
        }
    }
}
