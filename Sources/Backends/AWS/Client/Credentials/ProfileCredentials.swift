import Foundation
import Platform

/// Static keys of a profile in `~/.aws/credentials` and `~/.aws/config`, and its region.
///
/// Profiles that take a role, a token or another program to get their keys are named as not supported rather than passed over.
struct ProfileCredentials: AWSCredentialSource {
    let environment: [String: String]
    /// Reads a file; nil when there is none.
    let read: @Sendable (String) -> String?

    var name: String { environment["AWS_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? "default" }

    func credentials() async throws(AWSCredentialError) -> AWSCredentials? {
        let settings = self.settings
        guard !settings.isEmpty else {
            if environment["AWS_PROFILE"]?.isEmpty == false { throw .unusable(source: "profile \(name)", reason: "there is no such profile.") }
            return nil
        }
        let unsupported = settings.keys.filter { key in
            ["role_arn", "credential_process", "web_identity_token_file", "login_session"].contains(key) || key.hasPrefix("sso_")
        }
        if let id = settings["aws_access_key_id"], let secret = settings["aws_secret_access_key"], settings["role_arn"] == nil {
            return AWSCredentials(accessKeyID: id, secretAccessKey: Secret(secret), sessionToken: settings["aws_session_token"].map { Secret($0) })
        }
        if let first = unsupported.min() {
            throw .unusable(source: "profile \(name)", reason: "its setting \(first) is not supported here; use keys, or a role of the container or instance.")
        }
        return nil
    }

    var region: String? { settings["region"] }

    /// The profile's settings; the credentials file wins over the configuration file.
    private var settings: [String: String] {
        let home = environment["HOME"] ?? "~"
        func text(_ variable: String, _ file: String) -> String? {
            read(environment[variable].flatMap { $0.isEmpty ? nil : $0 } ?? "\(home)/.aws/\(file)")
        }
        let configuration = Self.section(name == "default" ? ["default", "profile default"] : ["profile \(name)"], of: text("AWS_CONFIG_FILE", "config") ?? "")
        let credentials = Self.section([name], of: text("AWS_SHARED_CREDENTIALS_FILE", "credentials") ?? "")
        return configuration.merging(credentials) { $1 }
    }

    private static func section(_ names: [String], of text: String) -> [String: String] {
        var settings: [String: String] = [:], isWithin = false
        for line in text.split(whereSeparator: \.isNewline) {
            let bare = line.trimmingCharacters(in: .whitespaces)
            if bare.hasPrefix("#") || bare.hasPrefix(";") || bare.isEmpty { continue }
            if bare.hasPrefix("[") {
                let title = bare.dropFirst().prefix { $0 != "]" }.split(separator: " ").joined(separator: " ")
                isWithin = names.contains(title)
                // Indented lines are sub-settings (`s3 =`), of which none matters here.
            } else if isWithin, line.first?.isWhitespace == false, let equals = bare.firstIndex(of: "=") {
                let key = bare[..<equals].trimmingCharacters(in: .whitespaces).lowercased()
                settings[key] = bare[bare.index(after: equals)...].trimmingCharacters(in: .whitespaces)
            }
        }
        return settings
    }
}
