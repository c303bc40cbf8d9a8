import Foundation
import NIOCore

/// Whose request it is behind proxies: `X-Forwarded-For` counts only from trusted peers, right-most untrusted hop (SEC-106).
public struct TrustedProxies: Sendable {
    private struct Block: Sendable { var bytes: [UInt8]; var bits: Int }
    private let blocks: [Block]

    /// - Parameter blocks: addresses or CIDR blocks; `nil` is returned with the first that is neither.
    public init(_ blocks: [String] = []) throws {
        self.blocks = try blocks.map { text in
            let parts = text.split(separator: "/", maxSplits: 1).map(String.init)
            guard let first = parts.first, let bytes = Self.bytes(first) else { throw InvalidBlock(text: text) }
            guard parts.count == 2 else { return Block(bytes: bytes, bits: bytes.count * 8) }
            guard let bits = Int(parts[1]), (0...bytes.count * 8).contains(bits) else { throw InvalidBlock(text: text) }
            return Block(bytes: bytes, bits: bits)
        }
    }
    public struct InvalidBlock: Error, CustomStringConvertible {
        var text: String
        public var description: String { "server.trustedProxies: “\(text)” is neither an address nor a CIDR block" }
    }

    func client(peer: String, forwarded: String?) -> String {
        guard trusts(peer), let forwarded else { return peer }
        var client = peer
        for hop in forwarded.split(separator: ",").reversed() {
            let address = hop.trimmingCharacters(in: .whitespaces)
            guard Self.bytes(address) != nil else { break }
            client = address
            if !trusts(address) { break }
        }
        return client
    }

    private func trusts(_ address: String) -> Bool {
        guard let bytes = Self.bytes(address) else { return false }
        return blocks.contains { block in
            guard block.bytes.count == bytes.count else { return false }
            let whole = block.bits / 8, rest = block.bits % 8
            guard bytes.prefix(whole) == block.bytes.prefix(whole) else { return false }
            guard rest > 0 else { return true }
            let mask = UInt8(truncatingIfNeeded: 0xff << (8 - rest))
            return bytes[whole] & mask == block.bytes[whole] & mask
        }
    }

    private static func bytes(_ text: String) -> [UInt8]? {
        guard let address = try? SocketAddress(ipAddress: text, port: 0) else { return nil }
        switch address {
        case .v4(let four): return withUnsafeBytes(of: four.address.sin_addr) { Array($0) }
        case .v6(let six):
            let bytes = withUnsafeBytes(of: six.address.sin6_addr) { Array($0) }
            // IPv4 in an IPv6 socket (::ffff:a.b.c.d).
            return bytes.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]) ? Array(bytes.suffix(4)) : bytes
        case .unixDomainSocket: return nil
        }
    }
}
