import Foundation
import Platform

/// Makes the providers that a fresh installation starts with.
public enum ProviderBootstrap {
    /// Model ids offered with a key from the environment, best all-rounder first
    /// (the list in the `anthropic` SDK 2.12.0 on PyPI; its 4.5 Sonnet ends on 2026-11-30).
    public static let defaultModels = ["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"]
    /// Id of the provider that the environment describes.
    public static let environmentProviderID = ProviderID("anthropic")

    /// Makes sure that the demo provider exists and, when no provider was ever made, that there is a default: the endpoint that
    /// `ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`, `ANTHROPIC_BASE_URL` and `ANTHROPIC_MODEL` describe, else the demo.
    ///
    /// Repeatable. The environment is read at the first start only: afterwards the records are what counts.
    public static func ensure(
        records: any RecordStore, secrets: any SecretStore, stage: String, environment: [String: String], time: any TimeSource = SystemTime()
    ) async throws {
        let known = try await records.all(Provider.self, RecordQuery(Provider.table, partition: "platform"))
        let now = time.now()
        let key = environment["ANTHROPIC_API_KEY"].flatMap { $0.isEmpty ? nil : $0 }
        let token = environment["ANTHROPIC_AUTH_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        let base = environment["ANTHROPIC_BASE_URL"].flatMap { $0.isEmpty ? nil : $0 }
        var hasDefault = known.contains(where: \.isDefault)
        if known.isEmpty, key != nil || token != nil || base != nil {
            var models = defaultModels
            if let model = environment["ANTHROPIC_MODEL"], !model.isEmpty { models = [model] + models.filter { $0 != model } }
            var provider = Provider(providerId: environmentProviderID, name: "Anthropic", type: .anthropicCompatible, modelIds: models, at: now)
            provider.baseUrl = base ?? "https://api.anthropic.com"
            provider.authType = key != nil ? .apiKey : .bearer
            provider.hasApiKey = key != nil || token != nil
            provider.isDefault = true
            // The secret first: a record that promises a key must find it.
            if let secret = key ?? token { try await secrets.put(ProviderResolution.secretName(stage: stage, provider.providerId), Secret(secret)) }
            hasDefault = try await putIfAbsent(provider, records)
        }
        if !known.contains(where: { $0.providerId == Provider.demoID }) {
            var demo = Provider(providerId: Provider.demoID, name: "Demo", type: .demo, modelIds: [DemoModel.id], at: now)
            demo.isDefault = !hasDefault
            _ = try await putIfAbsent(demo, records)
        }
    }

    /// True also when another node has just made the same one.
    private static func putIfAbsent(_ provider: Provider, _ records: any RecordStore) async throws -> Bool {
        do {
            try await records.put(provider, if: .recordAbsent)
        } catch RecordStoreError.conditionFailed {}
        return true
    }
}
