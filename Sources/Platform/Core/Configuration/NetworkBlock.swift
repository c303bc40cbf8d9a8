import Foundation

/// An address or a block of addresses: `10.0.0.0/8`, `fd00::/8`, `192.0.2.1`.
public struct NetworkBlock: Sendable, Hashable, CustomStringConvertible {
    private let bytes: [UInt8]
    private let bits: Int
    public let description: String

    /// Nil for anything that is no literal address, and for a length that does not fit.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let first = parts.first, parts.count <= 2, let bytes = Self.bytes(ofAddress: String(first)) else { return nil }
        var bits = bytes.count * 8
        if parts.count == 2 {
            guard let length = Int(parts[1]), (0...bits).contains(length), parts[1].allSatisfy(\.isNumber) else { return nil }
            bits = length
        }
        self.bytes = bytes; self.bits = bits; description = text
    }

    /// Whether a literal address lies in the block. `::ffff:10.0.0.1` counts as 10.0.0.1.
    public func contains(_ address: String) -> Bool {
        guard let other = Self.bytes(ofAddress: address), other.count == bytes.count else { return false }
        let whole = bits / 8
        guard other[..<whole] == bytes[..<whole] else { return false }
        guard bits % 8 != 0 else { return true }
        let mask = UInt8(truncatingIfNeeded: 0xff00 >> (bits % 8))
        return other[whole] & mask == bytes[whole] & mask
    }

    private static func bytes(ofAddress text: String) -> [UInt8]? {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 { return withUnsafeBytes(of: &v4) { Array($0) } }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: &v6) { Array($0) }
        let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        return isMapped ? Array(bytes[12...]) : bytes
    }

    static let loopback = ["127.0.0.0/8", "::1"].compactMap(NetworkBlock.init)
    /// Link-local addresses and the cloud's metadata services, which nobody may ever allow (SEC-44).
    static let neverAllowed = ["169.254.0.0/16", "fd00:ec2::/32", "fe80::/10"].compactMap(NetworkBlock.init)

    static func isLoopback(host: String) -> Bool {
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
        return bare.lowercased() == "localhost" || loopback.contains { $0.contains(bare) }
    }
}
