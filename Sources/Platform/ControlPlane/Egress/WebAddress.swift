import Foundation

/// An absolute http(s) URL, read strictly: what two readers could understand differently is refused (SEC-43).
///
/// No user, no fragment, no control or non-ASCII characters, no trailing dot; an address only in its canonical form.
public struct WebAddress: Sendable, Hashable, CustomStringConvertible {
    public enum Scheme: String, Sendable { case http, https }
    public let scheme: Scheme
    /// Lower-case name, or an address; IPv6 without brackets.
    public let host: String
    public let port: Int
    /// Begins with `/` or is empty; the query included.
    public let pathAndQuery: String
    public var hasQuery: Bool { pathAndQuery.contains("?") }
    /// nil for a name.
    public var range: AddressRange? { AddressRange(of: host) }
    public var isDefaultPort: Bool { port == (scheme == .https ? 443 : 80) }
    public var authority: String { (host.contains(":") ? "[\(host)]" : host) + (isDefaultPort ? "" : ":\(port)") }
    public var description: String { "\(scheme.rawValue)://\(authority)\(pathAndQuery)" }

    public static let maximumLength = 500

    public init?(_ text: String) {
        guard (1...Self.maximumLength).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !#"\"<>^`{|}#"#.utf8.contains($0) })
        else { return nil }
        let mark = text.range(of: "://")
        guard let mark, let scheme = Scheme(rawValue: text[..<mark.lowerBound].lowercased()) else { return nil }
        let rest = text[mark.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        var authority = rest[..<end].lowercased()[...]
        guard !authority.contains("@"), !authority.contains("%") else { return nil }
        let host: Substring
        if authority.hasPrefix("[") {
            guard let close = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<close]
            authority = authority[authority.index(after: close)...]
            guard AddressRange.bytes(String(host))?.count == 16 else { return nil }
        } else {
            let colon = authority.firstIndex(of: ":") ?? authority.endIndex
            host = authority[..<colon]
            authority = authority[colon...]
            guard Self.isName(host) || AddressRange.bytes(String(host))?.count == 4 else { return nil }
        }
        if authority.isEmpty {
            port = scheme == .https ? 443 : 80
        } else {
            let digits = authority.dropFirst()
            guard authority.hasPrefix(":"), (1...5).contains(digits.utf8.count), digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), digits.first != "0",
                let number = Int(digits), number <= 65535
            else { return nil }
            port = number
        }
        self.scheme = scheme
        self.host = String(host)
        pathAndQuery = String(rest[end...])
    }

    /// A DNS name whose last label cannot be read as a number (RFC 1123, and what resolvers make of `0x7f.1`).
    private static func isName(_ host: Substring) -> Bool {
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...253).contains(host.utf8.count), let last = labels.last else { return false }
        let isNumber = last.utf8.allSatisfy { (0x30...0x39).contains($0) } || last.hasPrefix("0x")
        return !isNumber && labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
                && label.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d }
        }
    }

    /// Names that mean this machine, this network or the cloud's own services, whatever they resolve to.
    public var isLocalName: Bool {
        guard range == nil else { return false }
        return !host.contains(".") || ["localhost", "local", "internal", "lan", "home.arpa"].contains { host == $0 || host.hasSuffix("." + $0) }
    }
    /// Names of metadata services.
    public var isMetadataName: Bool { host == "metadata" || host == "metadata.google.internal" || host == "instance-data.ec2.internal" }
}
