import Foundation
import Platform

/// Finds the endpoint of a run: its provider record, key and model.
///
/// There is no fallback to keys in the environment (SEC-83): a provider without its stored key is misconfigured.
public struct ProviderResolution: Sendable {
    private let records: any RecordStore
    private let secrets: any SecretStore
    private let stage: String
    private let kinds: [Provider.Kind: any ModelProvider]

    /// - Parameter kinds: the endpoints that this deployment can talk to. The demo is always among them.
    public init(records: any RecordStore, secrets: any SecretStore, stage: String, kinds: [Provider.Kind: any ModelProvider]) {
        self.records = records; self.secrets = secrets; self.stage = stage
        self.kinds = kinds.merging([.demo: DemoProvider()]) { given, _ in given }
    }

    public struct Endpoint: Sendable {
        public var provider: Provider
        public var key: Secret?
        public var kind: any ModelProvider
    }

    public static func secretName(stage: String, _ id: ProviderID) -> SecretName { SecretName("\(stage)/providers/\(id.rawValue)") }

    public func endpoint(_ id: ProviderID) async throws -> Endpoint {
        guard let provider = try await records.get(Provider.self, Provider.key(id)) else {
            throw ModelError(status: 502, message: "The bot's model provider no longer exists.", code: "upstream-failed")
        }
        guard let kind = kinds[provider.providerType] else {
            throw ModelError(
                status: 502, message: "This deployment cannot talk to providers of type \(provider.providerType.rawValue).", code: "upstream-failed")
        }
        let key = provider.hasApiKey ? try await secrets.get(Self.secretName(stage: stage, id)) : nil
        return Endpoint(provider: provider, key: key, kind: kind)
    }
}

/// Names of `anthropic-beta` that an agent may ask for: those that change how a message is written or read. Names that
/// reach stored files, other accounts' grants or server-side code are not among them.
enum BetaAllowList {
    private static let stems = [
        "prompt-caching-", "extended-cache-ttl-", "token-counting-", "pdfs-", "max-tokens-", "output-128k-", "interleaved-thinking-",
        "token-efficient-tools-", "fine-grained-tool-streaming-", "context-1m-", "context-management-", "claude-code-", "tool-examples-",
        "advanced-tool-use-", "effort-", "structured-outputs-",
    ]
    static func filter(_ header: String?) -> [String] {
        (header ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { name in
            name.utf8.count <= 64 && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f } && stems.contains(where: name.hasPrefix)
        }
    }
}
