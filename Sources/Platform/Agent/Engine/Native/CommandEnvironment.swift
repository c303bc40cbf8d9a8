import Foundation

/// What the commands of an agent find in their environment: what programs need, and nothing that is the platform's.
/// An allow list, because without a sandbox the process inherits whatever its operator has set.
enum CommandEnvironment {
    private static let names: Set = [
        "PATH", "LANG", "LANGUAGE", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
        "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "MALLOC_ARENA_MAX",
    ]

    static func make(home: String, from environment: [String: String] = ProcessInfo.processInfo.environment) -> [String: String] {
        var result = environment.filter { name, _ in names.contains(name.uppercased()) || name.hasPrefix("LC_") }
        result["HOME"] = home
        if result["LANG"] == nil { result["LANG"] = "C.UTF-8" }
        return result
    }
}
