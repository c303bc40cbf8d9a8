import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform

/// Who the platform is to AWS, and where: credentials by the usual chain, and the region.
public struct AWSIdentity: Sendable {
    public let credentials: ExpiringCredentials
    private let configuredRegion: String?
    private let profile: ProfileCredentials
    private let instance: InstanceCredentials
    let environment: [String: String]

    /// The chain: environment, profile, container, instance.
    /// - Parameters:
    ///   - region: from the configuration, before what the environment says.
    ///   - client: for the credentials endpoints; one that does not follow redirects.
    public init(
        region: String?, environment: [String: String], client: HTTPClient, read: @escaping @Sendable (String) -> String? = AWSIdentity.file,
        time: any TimeSource = SystemTime()
    ) {
        self.init(region: region, environment: environment, fetch: Self.fetch(client), read: read, time: time)
    }

    init(
        region: String?, environment: [String: String], fetch: @escaping CredentialFetch, read: @escaping @Sendable (String) -> String?,
        time: any TimeSource
    ) {
        self.environment = environment
        configuredRegion = region
        profile = ProfileCredentials(environment: environment, read: read)
        instance = InstanceCredentials(environment: environment, fetch: fetch, time: time)
        credentials = ExpiringCredentials(
            CredentialChain(sources: [
                EnvironmentCredentials(environment: environment), profile,
                ContainerCredentials(environment: environment, read: read, fetch: fetch, time: time), instance,
            ]), time: time)
    }

    /// Configuration, `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile, the instance.
    public func region() async -> String? {
        for found in [configuredRegion, environment["AWS_REGION"], environment["AWS_DEFAULT_REGION"], profile.region] {
            if let found, !found.isEmpty { return found }
        }
        return await instance.region()
    }

    /// A file's text; nil when it cannot be read.
    public static let file: @Sendable (String) -> String? = { path in (try? Data(contentsOf: URL(fileURLWithPath: path))).map { String(decoding: $0, as: UTF8.self) } }

    private static func fetch(_ client: HTTPClient) -> CredentialFetch {
        { method, url, headers, timeout in
            var request = HTTPClientRequest(url: url)
            request.method = HTTPMethod(rawValue: method)
            for (name, value) in headers { request.headers.add(name: name, value: value) }
            let response = try await client.execute(request, timeout: .milliseconds(Int64(timeout.milliseconds)))
            let body = try await response.body.collect(upTo: 1 << 20)
            return (Int(response.status.code), Data(body.readableBytesView))
        }
    }
}
