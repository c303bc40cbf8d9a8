import Foundation

/// One request as it is signed and sent: the same bytes for both, so the target is put together in one place.
public struct AWSRequest: Sendable {
    public enum Payload: Sendable {
        case data(Data)
        /// S3 over https only: the body is not part of the signature.
        case unsigned(Data)

        var bytes: Data {
            switch self {
            case .data(let data), .unsigned(let data): data
            }
        }
    }
    public var method: String
    public var scheme: String
    /// With `:port` where that is not the scheme's own.
    public var host: String
    /// Begins with `/`; each segment percent-encoded once (``percentEncoded(_:)``).
    public var path: String
    /// Plain names and values.
    public var query: [(name: String, value: String)]
    public var headers: [(name: String, value: String)]
    public var payload: Payload

    public init(
        method: String, scheme: String = "https", host: String, path: String = "/", query: [(name: String, value: String)] = [],
        headers: [(name: String, value: String)] = [], payload: Payload = .data(Data())
    ) {
        self.method = method; self.scheme = scheme; self.host = host; self.path = path; self.query = query
        self.headers = headers; self.payload = payload
    }

    /// At an endpoint, which may have a path of its own.
    public init(method: String, endpoint: AWSEndpoint, path: String, headers: [(name: String, value: String)] = [], body: Data = Data()) {
        self.init(method: method, scheme: endpoint.scheme, host: endpoint.host, path: endpoint.path + path, headers: headers, payload: .data(body))
    }

    public var url: String {
        let pairs = query.map { "\(Self.percentEncoded($0.name))=\(Self.percentEncoded($0.value))" }
        return "\(scheme)://\(host)\(path)\(pairs.isEmpty ? "" : "?" + pairs.joined(separator: "&"))"
    }

    /// Everything but RFC 3986's unreserved characters encoded, as one path segment or query part.
    public static func percentEncoded(_ text: some StringProtocol, keeping kept: String = "") -> String {
        var out = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5a, 0x61...0x7a, 0x2d, 0x2e, 0x5f, 0x7e: out.unicodeScalars.append(Unicode.Scalar(byte))
            case let byte where kept.utf8.contains(byte): out.unicodeScalars.append(Unicode.Scalar(byte))
            default: out += byte < 16 ? "%0\(String(byte, radix: 16, uppercase: true))" : "%\(String(byte, radix: 16, uppercase: true))"
            }
        }
        return out
    }
}
