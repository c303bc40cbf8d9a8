import Foundation
import Platform

/// Makes the providers that a fresh installation starts with.
public enum ProviderBootstrap {
    /// Model ids offered with a key from the environment, best all-rounder first
    /// (the list in the `anthropic` SDK 2.12.0 on PyPI; its 4.5 Sonnet ends on 2026-11-30).
    public static let defaultModels = ["claude-sonnet-5-5", "claude-opus-5-5", "claude-haiku-5-5"]
    /// Id of the provider that `LOCAL_MODEL_URL` describes.
    public static let localProviderID = ProviderID("local")
    /// The model that `scripts/local-model.py` serves.
    public static let localModel = "gemma-3-270m"
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
        if let url = environment["LOCAL_MODEL_URL"], !url.isEmpty {
            hasDefault = try await ensureLocal(url, known, records, at: now) || hasDefault
        }
        if !known.contains(where: { $0.providerId == Provider.demoID }) {
            var demo = Provider(providerId: Provider.demoID, name: "Demo", type: .demo, modelIds: [DemoModel.id], at: now)
            demo.isDefault = !hasDefault
            _ = try await putIfAbsent(demo, records)
        }
    }

    /// The provider of the model that was started with this process (`make run MODEL=local`): its address follows at every start; it is
    /// the default from its first start on, unless somebody chose another than the demo.
    /// - Returns: whether it is the default.
    private static func ensureLocal(_ url: String, _ known: [Provider], _ records: any RecordStore, at now: Date) async throws -> Bool {
        if let old = known.first(where: { $0.providerId == localProviderID }) {
            if old.baseUrl != url {
                try await records.update(old.key, [.set("baseUrl", .string(url)), .set("updatedAt", .string(Timestamp.text(now)))], if: .recordExists)
            }
            return old.isDefault
        }
        var local = Provider(providerId: localProviderID, name: "Local model", type: .openAICompatible, modelIds: [localModel], at: now)
        local.baseUrl = url
        // It makes one answer at a time; who waits here hears of it sooner.
        local.maxConcurrency = 2
        local.isDefault = known.allSatisfy { !$0.isDefault || $0.providerId == Provider.demoID }
        var writes = [try local.putting(if: .recordAbsent)]
        if local.isDefault, let demo = known.first(where: \.isDefault) { writes.append(.update(demo.key, [.set("isDefault", false)], if: .recordExists)) }
        try await records.transact(writes)
        return local.isDefault
    }

    /// True also when another node has just made the same one.
    private static func putIfAbsent(_ provider: Provider, _ records: any RecordStore) async throws -> Bool {
        do {
            try await records.put(provider, if: .recordAbsent)
        } catch RecordStoreError.conditionFailed {}
        return true
    }
}
