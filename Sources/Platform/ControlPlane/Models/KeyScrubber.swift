import Foundation
import NIOCore
import Platform

/// Takes the provider's key out of what an upstream echoes, in the spellings in which it could (SEC-80): the agent, and so the
/// tenant, must not learn it.
///
/// Bytes are held back only while they may be the beginning of the key, so that a stream is not delayed.
struct KeyScrubber {
    static let mark = "‹redacted›"
    private let spellings: [[UInt8]]
    private var held: [UInt8] = []

    /// Keys shorter than four characters are no secrets, and would tear ordinary text.
    init?(_ key: Secret?) {
        guard let plain = key?.reveal(), plain.count >= 4 else { return nil }
        spellings = Self.spellings(plain).map { Array($0.utf8) }
    }

    static func scrub(_ text: String, of key: Secret?) -> String {
        guard let plain = key?.reveal(), plain.count >= 4 else { return text }
        return spellings(plain).reduce(text) { $0.replacingOccurrences(of: $1, with: mark) }
    }

    /// RFC 3986 §2.3.
    private static let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

    /// Longest first, so that no part of one is left over by another.
    private static func spellings(_ plain: String) -> [String] {
        let base64 = Data(plain.utf8).base64EncodedString()
        let all = [
            plain, plain.replacingOccurrences(of: "/", with: "\\/"), base64, String(base64.prefix { $0 != "=" }),
            plain.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? plain, plain.addingPercentEncoding(withAllowedCharacters: unreserved) ?? plain,
        ]
        return Set(all).sorted { ($0.utf8.count, $0) > ($1.utf8.count, $1) }
    }

    /// What may be passed on now.
    mutating func take(_ chunk: ByteBuffer) -> ByteBuffer {
        var bytes = held
        bytes.append(contentsOf: chunk.readableBytesView)
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index = 0, passed = 0
        scan: while index < bytes.count {
            for spelling in spellings where bytes[index] == spelling[0] {
                let count = min(spelling.count, bytes.count - index)
                guard bytes[index..<index + count].elementsEqual(spelling[..<count]) else { continue }
                if count < spelling.count { break scan }
                out += bytes[passed..<index]
                out += Self.mark.utf8
                index += count
                passed = index
                continue scan
            }
            index += 1
        }
        out += bytes[passed..<index]
        held = Array(bytes[index...])
        return ByteBuffer(bytes: out)
    }

    /// What was held back when nothing more comes. Another key spelling may stand in it whole, behind the beginning that did not go on.
    mutating func end() -> ByteBuffer {
        let rest = held
        held = []
        var text = rest[...]
        var out: [UInt8] = []
        while let first = text.first {
            if let whole = spellings.first(where: { text.starts(with: $0) }) {
                out += Self.mark.utf8
                text = text.dropFirst(whole.count)
            } else {
                out.append(first)
                text = text.dropFirst()
            }
        }
        return ByteBuffer(bytes: out)
    }
}

extension ModelResponse {
    /// The same answer without the key.
    func scrubbed(of key: Secret?) -> ModelResponse {
        guard let scrubber = KeyScrubber(key) else { return self }
        var answer = self
        answer.body = { [body] write in
            var scrubber = scrubber
            try await body { chunk in
                let clean = scrubber.take(chunk)
                if clean.readableBytes > 0 { try await write(clean) }
            }
            let rest = scrubber.end()
            if rest.readableBytes > 0 { try await write(rest) }
        }
        return answer
    }
}
