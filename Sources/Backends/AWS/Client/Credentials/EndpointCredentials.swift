import Foundation
import Platform

/// A small request to a credentials endpoint: status and body. Throws when there is no answer within the time.
public typealias CredentialFetch = @Sendable (_ method: String, _ url: String, _ headers: [(String, String)], _ timeout: Duration) async throws -> (status: Int, body: Data)

/// The document that container and instance endpoints answer with.
private struct RoleDocument {
    static func credentials(_ data: Data, source: String) throws(AWSCredentialError) -> AWSCredentials {
        guard let json = try? JSON.value(data) else { throw .unusable(source: source, reason: "the answer is not JSON.") }
        if let code = json["Code"]?.string, code != "Success" { throw .unusable(source: source, reason: "the answer's code is \(code.prefix(60)).") }
        guard let id = json["AccessKeyId"]?.string, let secret = json["SecretAccessKey"]?.string else {
            throw .unusable(source: source, reason: "the answer holds no keys.")
        }
        return AWSCredentials(
            accessKeyID: id, secretAccessKey: Secret(secret), sessionToken: json["Token"]?.string.map { Secret($0) },
            expiration: json["Expiration"]?.string.flatMap(AWSTime.date))
    }
}

/// The role of an ECS task, of a pod or of an AgentCore runtime, from the endpoint that the environment names.
struct ContainerCredentials: AWSCredentialSource {
    private static let source = "the container's endpoint"
    let environment: [String: String]
    let read: @Sendable (String) -> String?
    let fetch: CredentialFetch
    let time: any TimeSource

    func credentials() async throws(AWSCredentialError) -> AWSCredentials? {
        func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
        let url: String
        if let relative = value("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            url = "http://169.254.170.2\(relative)"
        } else if let full = value("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            guard Self.isAllowed(full) else {
                throw .unusable(source: Self.source, reason: "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to this machine or container.")
            }
            url = full
        } else {
            return nil
        }
        var headers: [(String, String)] = []
        // Read each time: the file's token changes.
        let token = value("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").flatMap { read($0)?.trimmingCharacters(in: .whitespacesAndNewlines) }
            ?? value("AWS_CONTAINER_AUTHORIZATION_TOKEN")
        if let token {
            guard !token.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
                throw .unusable(source: Self.source, reason: "its authorization token holds control characters.")
            }
            headers.append(("authorization", token))
        }
        let (status, body) = try await Tries.run(source: Self.source, time: time) { try await fetch("GET", url, headers, .seconds(2)) }
        guard status == 200 else { throw .unusable(source: Self.source, reason: "it answered with status \(status).") }
        return try RoleDocument.credentials(body, source: Self.source)
    }

    /// Plain http only where nobody on the network can listen.
    static func isAllowed(_ text: String) -> Bool {
        guard let url = URL(string: text), let host = url.host?.trimmingCharacters(in: ["[", "]"]), url.user == nil else { return false }
        if url.scheme == "https" { return true }
        let parts = host.split(separator: ".").compactMap { UInt8($0) }
        let isLoopback = host == "localhost" || host == "::1" || parts.count == 4 && parts[0] == 127
        return url.scheme == "http" && (isLoopback || ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"].contains(host))
    }
}

/// The role of an EC2 instance, by the second version of its metadata service; the first, which needs no token, is never asked.
struct InstanceCredentials: AWSCredentialSource {
    private static let source = "the instance's metadata service"
    let environment: [String: String]
    let fetch: CredentialFetch
    let time: any TimeSource

    private var base: String {
        if let given = environment["AWS_EC2_METADATA_SERVICE_ENDPOINT"], !given.isEmpty { return given.hasSuffix("/") ? String(given.dropLast()) : given }
        return environment["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]?.lowercased() == "ipv6" ? "http://[fd00:ec2::254]" : "http://169.254.169.254"
    }
    private var isDisabled: Bool { environment["AWS_EC2_METADATA_DISABLED"]?.lowercased() == "true" }

    func credentials() async throws(AWSCredentialError) -> AWSCredentials? {
        guard !isDisabled, let token = await token() else { return nil }
        let path = "/latest/meta-data/iam/security-credentials/"
        let (status, list) = try await get(path, token)
        // An instance without a role.
        if status == 404 { return nil }
        let role = String(decoding: list, as: UTF8.self).split(whereSeparator: \.isNewline).first.map(String.init) ?? ""
        guard status == 200, !role.isEmpty else { throw .unusable(source: Self.source, reason: "it answered with status \(status).") }
        let (found, document) = try await get(path + role, token)
        guard found == 200 else { throw .unusable(source: Self.source, reason: "it answered with status \(found).") }
        return try RoleDocument.credentials(document, source: Self.source)
    }

    /// Where the instance is; nil outside of EC2.
    func region() async -> String? {
        guard !isDisabled, let token = await token(), let answer = try? await get("/latest/meta-data/placement/region", token), answer.status == 200 else { return nil }
        return String(decoding: answer.body, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Nil where there is no such service, which is most machines: no error.
    private func token() async -> String? {
        let headers = [("x-aws-ec2-metadata-token-ttl-seconds", "21600")]
        guard let answer = try? await Tries.run(source: Self.source, time: time, { try await fetch("PUT", base + "/latest/api/token", headers, .seconds(1)) }),
            answer.status == 200
        else { return nil }
        return String(decoding: answer.body, as: UTF8.self)
    }

    private func get(_ path: String, _ token: String) async throws(AWSCredentialError) -> (status: Int, body: Data) {
        try await Tries.run(source: Self.source, time: time) { try await fetch("GET", base + path, [("x-aws-ec2-metadata-token", token)], .seconds(1)) }
    }
}

/// Credentials endpoints are near and small: three tries, a second apart.
private enum Tries {
    static func run(
        source: String, time: any TimeSource, _ call: () async throws -> (status: Int, body: Data)
    ) async throws(AWSCredentialError) -> (status: Int, body: Data) {
        var reason = "it did not answer."
        for attempt in 0..<3 {
            if attempt > 0 { do { try await time.sleep(for: .seconds(1)) } catch { break } }
            do {
                let answer = try await call()
                if answer.status < 500 { return answer }
                reason = "it answered with status \(answer.status)."
            } catch is CancellationError {
                break
            } catch {}
        }
        throw .unusable(source: source, reason: reason)
    }
}
