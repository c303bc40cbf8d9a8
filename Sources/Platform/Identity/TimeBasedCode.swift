import Crypto
import Foundation
import Platform

/// Time-based one-time passwords as every authenticator app makes them: RFC 6238 over RFC 4226 with SHA-1, 30 s and 6 digits.
enum TimeBasedCode {
    static let period: TimeInterval = 30
    static let digits = 6
    /// Steps before and after the present one that still count: clocks differ (RFC 6238 §5.2).
    static let drift = 1

    static func step(at now: Date) -> Int { Int((now.timeIntervalSince1970 / period).rounded(.down)) }

    /// RFC 4226 §5.3.
    static func code(_ secret: [UInt8], step: Int, digits: Int = digits) -> String {
        let counter = (0..<8).reversed().map { UInt8(truncatingIfNeeded: step >> ($0 * 8)) }
        let mac = Array(HMAC<Insecure.SHA1>.authenticationCode(for: counter, using: SymmetricKey(data: secret)))
        let offset = Int(mac[mac.count - 1] & 0xf)
        let number = mac[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) } & 0x7fff_ffff
        let text = String(number % Int(pow(10, Double(digits))))
        return String(repeating: "0", count: digits - text.count) + text
    }

    /// The step that the code belongs to, if that is near enough and later than the last one used.
    static func matchingStep(_ code: String, secret: [UInt8], at now: Date, after last: Int?) -> Int? {
        let present = step(at: now)
        return (present - drift...present + drift).reversed().first { step in
            step > last ?? .min && Digest.sameSecret(Self.code(secret, step: step), code)
        }
    }

    /// 160 random bits (RFC 4226 §4, R6).
    static func newSecret() -> [UInt8] { (0..<20).map { _ in UInt8.random(in: .min ... .max) } }
}

/// RFC 4648 §6, upper case, without padding.
enum Base32 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)

    static func encode(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = [], bits = 0, buffer = 0
        for byte in bytes {
            buffer = buffer << 8 | Int(byte)
            bits += 8
            while bits >= 5 {
                bits -= 5
                text.append(alphabet[buffer >> bits & 31])
            }
            buffer &= (1 << bits) - 1
        }
        if bits > 0 { text.append(alphabet[buffer << (5 - bits) & 31]) }
        return String(decoding: text, as: UTF8.self)
    }

    static func decode(_ text: String) -> [UInt8]? {
        var bytes: [UInt8] = [], bits = 0, buffer = 0
        for character in text.utf8 {
            guard let value = alphabet.firstIndex(of: character) else { return nil }
            buffer = buffer << 5 | value
            bits += 5
            if bits >= 8 {
                bits -= 8
                bytes.append(UInt8(buffer >> bits & 255))
            }
            buffer &= (1 << bits) - 1
        }
        return bytes
    }
}
