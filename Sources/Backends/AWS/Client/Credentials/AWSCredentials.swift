import Foundation
import Platform

/// Keys that requests are signed with.
public struct AWSCredentials: Sendable {
    public var accessKeyID: String
    public var secretAccessKey: Secret
    public var sessionToken: Secret?
    /// Nil: they do not expire.
    public var expiration: Date?

    public init(accessKeyID: String, secretAccessKey: Secret, sessionToken: Secret? = nil, expiration: Date? = nil) {
        self.accessKeyID = accessKeyID; self.secretAccessKey = secretAccessKey; self.sessionToken = sessionToken; self.expiration = expiration
    }
}

/// Where credentials come from. One that is not configured answers nil, and the next in the chain is asked; one that is configured
/// and fails throws, since the operator meant that one.
public protocol AWSCredentialSource: Sendable {
    func credentials() async throws(AWSCredentialError) -> AWSCredentials?
}

/// Sentences for the operator; they hold no secret.
public enum AWSCredentialError: Error, Sendable, Equatable, CustomStringConvertible {
    case notFound
    case unusable(source: String, reason: String)
    public var description: String {
        switch self {
        case .notFound:
            "No AWS credentials were found: neither in the environment, nor in a profile, nor from a container or instance role."
        case .unusable(let source, let reason): "AWS credentials from \(source) cannot be used: \(reason)"
        }
    }
}

/// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`; empty counts as unset.
struct EnvironmentCredentials: AWSCredentialSource {
    let environment: [String: String]

    func credentials() async throws(AWSCredentialError) -> AWSCredentials? {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        switch (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
        case (nil, nil): return nil
        case (let id?, let secret?):
            return AWSCredentials(
                accessKeyID: id, secretAccessKey: Secret(secret), sessionToken: value("AWS_SESSION_TOKEN").map { Secret($0) },
                expiration: value("AWS_CREDENTIAL_EXPIRATION").flatMap(AWSTime.date))
        default: throw .unusable(source: "the environment", reason: "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set.")
        }
    }
}

/// The first source that is configured.
struct CredentialChain: AWSCredentialSource {
    let sources: [any AWSCredentialSource]

    func credentials() async throws(AWSCredentialError) -> AWSCredentials? {
        for source in sources { if let found = try await source.credentials() { return found } }
        return nil
    }
}

enum AWSTime {
    /// ISO 8601 with or without fractions of a second.
    static func date(_ text: String) -> Date? {
        (try? Date(text, strategy: .iso8601)) ?? (try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)))
    }
}
