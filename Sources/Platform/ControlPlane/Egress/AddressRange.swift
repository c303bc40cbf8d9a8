import Foundation

/// What an IP address is for, from the special-purpose registries of IANA (RFC 6890 and its updates): decides where the platform's
/// own connections may go (SEC-40, SEC-44).
public enum AddressRange: Sendable, Hashable {
    /// Anybody's host on the internet.
    case global
    /// Of this machine or this site: an operator may allow single targets there, a tenant never.
    case privateUse
    /// Link-local, the cloud's metadata services, multicast, reserved and the like: nobody may allow these.
    case never

    /// nil for a text that is no address in its canonical or a usual IPv6 form.
    public init?(of address: String) {
        guard let bytes = Self.bytes(address) else { return nil }
        self = bytes.count == 4 ? Self.four(bytes) : Self.six(bytes)
    }

    /// IPv4 in four dotted decimals without leading zeros; octal, hexadecimal, integer and short forms are none.
    static func bytes(_ text: String) -> [UInt8]? {
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            let bytes = withUnsafeBytes(of: &v4) { Array($0) }
            return bytes.map(String.init).joined(separator: ".") == text ? bytes : nil
        }
        var v6 = in6_addr()
        return inet_pton(AF_INET6, text, &v6) == 1 ? withUnsafeBytes(of: &v6) { Array($0) } : nil
    }

    private static func four(_ a: [UInt8]) -> AddressRange {
        switch (a[0], a[1], a[2], a[3]) {
        // Metadata: link-local, Alibaba, Oracle, and Azure's in the middle of its public range.
        case (169, 254, _, _), (100, 100, 100, 200), (192, 0, 0, 192), (168, 63, 129, 16): .never
        case (127, _, _, _), (10, _, _, _), (172, 16...31, _, _), (192, 168, _, _), (100, 64...127, _, _): .privateUse
        // This network, protocol assignments, documentation, 6to4 relays, benchmarking.
        case (0, _, _, _), (192, 0, 0, _), (192, 0, 2, _), (198, 51, 100, _), (203, 0, 113, _), (192, 88, 99, _), (198, 18...19, _, _): .never
        // Multicast, reserved, broadcast.
        case (224...255, _, _, _): .never
        default: .global
        }
    }

    private static func six(_ a: [UInt8]) -> AddressRange {
        func starts(_ prefix: UInt8...) -> Bool { a.starts(with: prefix) }
        // What carries an IPv4 address is what that address is.
        if starts(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff) || starts(0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0) { return four(Array(a[12...])) }
        if a.dropLast().allSatisfy({ $0 == 0 }), a[15] == 1 { return .privateUse }
        if starts(0xfd, 0x00, 0x0e, 0xc2) { return .never }
        if a[0] & 0xfe == 0xfc { return .privateUse }
        // Only 2000::/3 is given out as global unicast.
        guard a[0] & 0xe0 == 0x20 else { return .never }
        // Protocol assignments (Teredo, benchmarking, ORCHID), documentation, 6to4, the returned 6bone.
        if starts(0x20, 0x01), a[2] < 2 { return .never }
        if starts(0x20, 0x01, 0x0d, 0xb8) || starts(0x20, 0x02) || starts(0x3f, 0xfe) || starts(0x3f, 0xff) && a[2] < 0x10 { return .never }
        return .global
    }
}
