import Foundation

/// A model endpoint of the platform.
public struct Provider: Entity {
    public enum Kind: String, Codable, Sendable {
        case anthropicCompatible = "anthropic-compatible-api"
        case bedrock
        case openAICompatible = "openai-compatible-api"
        case demo
    }
    public enum Authentication: String, Codable, Sendable { case apiKey = "api-key", bearer }

    public var providerId: ProviderID
    public var providerName: String
    public var providerType: Kind
    public var baseUrl: String?
    public var region: String?
    public var authType: Authentication?
    public var headers: [String: String]
    public var modelIds: [String]
    public var fallbackModelId: String?
    public var maxConcurrency: Int?
    public var isDefault: Bool
    public var hasApiKey: Bool
    public var createdAt: Date
    public var updatedAt: Date

    public init(providerId: ProviderID, name: String, type: Kind, modelIds: [String], at now: Date) {
        self.providerId = providerId; providerName = name; providerType = type; self.modelIds = modelIds
        headers = [:]
        isDefault = false
        hasApiKey = false
        createdAt = now; updatedAt = now
    }

    /// Its endpoint runs web searches itself (https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool): Anthropic's own does,
    /// others that speak its API need not.
    public var searchesWeb: Bool {
        guard providerType == .anthropicCompatible, let host = baseUrl.flatMap({ URL(string: $0)?.host()?.lowercased() }) else { return false }
        return host == "anthropic.com" || host.hasSuffix(".anthropic.com")
    }

    /// The provider that needs no key and no network.
    public static let demoID = ProviderID("demo")
    public static let table = Tables.providers
    public static func key(_ id: ProviderID) -> RecordKey { RecordKey(table, "platform", id.rawValue) }
    public var key: RecordKey { Self.key(providerId) }
}
