import Crypto
import Foundation
import Synchronization

/// Signs requests with AWS Signature Version 4
/// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), in headers.
public struct SigV4: Sendable {
    /// How a service wants its path and payload signed.
    public enum Style: Sendable {
        /// The path is normalised and encoded a second time.
        case standard
        /// The path stands as it is sent, and the payload's hash is sent along.
        case s3
    }
    public var service: String
    public var region: String
    public var style: Style
    private let keys = SigningKeyCache()

    public init(service: String, region: String, style: Style = .standard) { self.service = service; self.region = region; self.style = style }

    /// The request with its signature. `authorization`, `x-amz-date`, `x-amz-security-token` and `date` of the given one are replaced.
    public func sign(_ request: AWSRequest, _ credentials: AWSCredentials, at date: Date) -> AWSRequest {
        var request = request
        request.headers.removeAll { Self.replaced.contains($0.name.lowercased()) }
        let stamp = Self.timestamp(date), day = String(stamp.prefix(8))
        request.headers.append(("x-amz-date", stamp))
        if let token = credentials.sessionToken { request.headers.append(("x-amz-security-token", token.reveal())) }
        let hash: String =
            switch request.payload {
            case .data(let data): Self.hex(SHA256.hash(data: data))
            case .unsigned: "UNSIGNED-PAYLOAD"
            }
        if style == .s3 {
            request.headers.removeAll { $0.name.lowercased() == "x-amz-content-sha256" }
            request.headers.append(("x-amz-content-sha256", hash))
        }
        let (lines, names) = Self.canonicalHeaders(request)
        let canonical = [request.method, canonicalPath(request.path), Self.canonicalQuery(request.query), lines, names, hash].joined(separator: "\n")
        let scope = "\(day)/\(region)/\(service)/aws4_request"
        let text = "AWS4-HMAC-SHA256\n\(stamp)\n\(scope)\n\(Self.hex(SHA256.hash(data: Data(canonical.utf8))))"
        let key = keys.key(credentials, day: day, region: region, service: service)
        let signature = Self.hex(HMAC<SHA256>.authenticationCode(for: Data(text.utf8), using: key))
        request.headers.append(
            ("authorization", "AWS4-HMAC-SHA256 Credential=\(credentials.accessKeyID)/\(scope), SignedHeaders=\(names), Signature=\(signature)"))
        return request
    }

    private static let replaced: Set<String> = ["authorization", "x-amz-date", "x-amz-security-token", "date"]
    /// What proxies and transports change on the way.
    private static let unsigned: Set<String> = [
        "connection", "expect", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id", "authorization",
    ]

    private func canonicalPath(_ path: String) -> String {
        guard style == .standard else { return path.isEmpty ? "/" : path }
        var segments: [Substring] = []
        for segment in path.split(separator: "/", omittingEmptySubsequences: true) where segment != "." {
            if segment == ".." { _ = segments.popLast() } else { segments.append(segment) }
        }
        let slash = path.hasSuffix("/") && !segments.isEmpty ? "/" : ""
        return "/" + segments.map { AWSRequest.percentEncoded($0) }.joined(separator: "/") + slash
    }

    private static func canonicalQuery(_ query: [(name: String, value: String)]) -> String {
        query.map { (AWSRequest.percentEncoded($0.name), AWSRequest.percentEncoded($0.value)) }.sorted { $0 < $1 }
            .map { "\($0)=\($1)" }.joined(separator: "&")
    }

    private static func canonicalHeaders(_ request: AWSRequest) -> (lines: String, names: String) {
        var values: [String: [String]] = ["host": [request.host]]
        for (name, value) in request.headers {
            let name = name.lowercased()
            guard !unsigned.contains(name), !name.hasPrefix("proxy-"), name != "host" else { continue }
            values[name, default: []].append(value.split(whereSeparator: { $0 == " " || $0 == "\t" }).joined(separator: " "))
        }
        let names = values.keys.sorted()
        return (names.map { "\($0):\(values[$0]!.joined(separator: ","))\n" }.joined(), names.joined(separator: ";"))
    }

    static func timestamp(_ date: Date) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(secondsFromGMT: 0)!
        let part = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second], from: date)
        func two(_ number: Int?) -> String { let text = String(number ?? 0); return text.count < 2 ? "0" + text : text }
        return "\(part.year ?? 0)\(two(part.month))\(two(part.day))T\(two(part.hour))\(two(part.minute))\(two(part.second))Z"
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// The key derived of a secret for a day, region and service: four HMACs that most requests can spare.
private final class SigningKeyCache: Sendable {
    private struct Known { var id: String; var secret: SymmetricKey; var key: SymmetricKey }
    private let known = Mutex<Known?>(nil)

    func key(_ credentials: AWSCredentials, day: String, region: String, service: String) -> SymmetricKey {
        let id = "\(credentials.accessKeyID)/\(day)/\(region)/\(service)"
        let secret = SymmetricKey(data: Data("AWS4\(credentials.secretAccessKey.reveal())".utf8))
        return known.withLock { known in
            if let known, known.id == id, known.secret == secret { return known.key }
            var key = secret
            for part in [day, region, service, "aws4_request"] {
                key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Data(part.utf8), using: key))
            }
            known = Known(id: id, secret: secret, key: key)
            return key
        }
    }
}
