import Foundation

/// Where a service is.
public struct AWSEndpoint: Sendable, Equatable {
    public var scheme: String
    public var host: String
    /// Of an override only; without a slash at its end.
    public var path: String

    /// The regional endpoint, in the partition that the region belongs to.
    public init(service prefix: String, region: String) {
        scheme = "https"; path = ""
        host = "\(prefix).\(region).\(Self.suffix(region))"
    }

    /// `amazonaws.com`, or China's own.
    public static func suffix(_ region: String) -> String { region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com" }

    /// - Returns: nil for what is no http(s) URL.
    public init?(override text: String) {
        guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), ["http", "https"].contains(scheme), let host = url.host, !host.isEmpty
        else { return nil }
        self.scheme = scheme
        let isOwn = url.port == nil || url.port == (scheme == "https" ? 443 : 80)
        let bare = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
        self.host = isOwn ? bare : "\(bare):\(url.port!)"
        var path = url.path
        while path.hasSuffix("/") { path.removeLast() }
        self.path = path
    }

    /// The endpoint that the environment names, for one service before that for all (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").
    public static func override(_ variable: String, environment: [String: String]) -> AWSEndpoint? {
        if environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.lowercased() == "true" { return nil }
        return [environment["AWS_ENDPOINT_URL_\(variable)"], environment["AWS_ENDPOINT_URL"]].lazy
            .compactMap { $0.flatMap { $0.isEmpty ? nil : $0 } }.first.flatMap { AWSEndpoint(override: $0) }
    }
}
