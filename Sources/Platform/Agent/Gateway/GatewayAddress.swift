import Foundation

/// Where the agent gateway is: `https://host[:port]` for remote agents, `unix:/path` in a sandbox on the control plane's machine.
public struct GatewayAddress: Sendable, Hashable, CustomStringConvertible {
    /// What request paths are appended to: no trailing slash.
    let base: String
    public let description: String

    /// - Returns: nil for anything but an absolute https URL without userinfo, query and fragment, or `unix:` with an absolute path.
    public init?(_ text: String) {
        description = text
        if text.hasPrefix("unix:") {
            let path = text.dropFirst(5)
            guard path.hasPrefix("/"), path.utf8.count <= 107, path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
            // AsyncHTTPClient's spelling of a socket: the whole path, percent-encoded, as the host.
            base = "http+unix://" + Self.percentEncoded(path)
            return
        }
        guard text.hasPrefix("https://"), text.utf8.count <= 500, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
            !text.contains(where: { "?#@\\".contains($0) })
        else { return nil }
        let trimmed = text.hasSuffix("/") ? String(text.dropLast()) : text
        guard trimmed.utf8.count > 8, trimmed.utf8.dropFirst(8).first != UInt8(ascii: "/") else { return nil }
        base = trimmed
    }

    /// Everything outside `[A-Za-z0-9._~-]` percent-encoded.
    static func percentEncoded(_ text: some StringProtocol) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var out = [UInt8]()
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "-"):
                out.append(byte)
            default: out += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}
