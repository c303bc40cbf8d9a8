import Foundation
import Platform

/// Model endpoints of the platform: written by administrators, read by everyone without keys.
public struct ProviderService: Sendable {
    public struct TestResult: Sendable {
        public var ok: Bool
        public var latency: Duration
        public var detail: String?
        public init(ok: Bool, latency: Duration, detail: String? = nil) { self.ok = ok; self.latency = latency; self.detail = detail }
    }
    /// Makes one small model call; the assembly gives it, because model wires live in the gateway.
    public typealias Probe = @Sendable (Provider, Secret?, _ model: String) async -> TestResult

    private let records: any RecordStore
    private let secrets: any SecretStore
    private let stage: String
    private let egress: EgressGuard
    private let probe: Probe
    private let notices: ManagementNotices
    private let time: any TimeSource

    public init(
        records: any RecordStore, secrets: any SecretStore, stage: String, egress: EgressGuard, probe: @escaping Probe,
        notices: ManagementNotices = ManagementNotices(), time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.secrets = secrets; self.stage = stage; self.egress = egress
        self.probe = probe; self.notices = notices; self.time = time
    }

    /// By name; there are few.
    public func list() async throws -> [Provider] {
        try await records.all(Provider.self, RecordQuery(Tables.providers, partition: "platform", limit: 200))
            .sorted { ($0.providerName, $0.providerId) < ($1.providerName, $1.providerId) }
    }

    public func get(_ id: ProviderID) async throws -> Provider {
        guard let provider = try await records.get(Provider.self, Provider.key(id)) else { throw ManagementError.notFound }
        return provider
    }

    /// From validated fields of ProviderBody, the key apart.
    public func create(_ fields: Document, apiKey: Secret?, by: By) async throws -> Provider {
        let now = time.now()
        guard let name = fields["providerName"]?.string, let kind = fields["providerType"]?.string.flatMap(Provider.Kind.init)
        else { throw ManagementError.invalid("providerType", "A provider needs a name and a type.") }
        let blank = Provider(providerId: ProviderID(ULID.make(at: now)), name: name, type: kind, modelIds: [], at: now)
        var provider = try merged(fields, into: blank, at: now)
        try check(provider, apiKey: apiKey)
        provider.hasApiKey = apiKey != nil
        if let apiKey { try await secrets.put(secretName(provider.providerId), apiKey) }
        do {
            try await store(provider, replacing: nil, by.entry("provider.created", trail: AuditEntry.platform, target: provider.providerId.rawValue, at: now))
        } catch {
            if apiKey != nil { try await secrets.delete(secretName(provider.providerId)) }
            throw error
        }
        await notices.providerChanged(provider.providerId)
        return provider
    }

    /// - Parameter apiKey: nil = unchanged, `.some(nil)` = remove.
    public func update(_ old: Provider, _ fields: Document, apiKey: Secret??, by: By) async throws -> Provider {
        var provider = try merged(fields, into: old, at: time.now())
        if provider.baseUrl != old.baseUrl, old.hasApiKey, apiKey == nil {
            // A stored key must not travel to an address that its giver did not name (SEC-50).
            throw ManagementError.invalid("apiKey", "Send the key again when the base URL changes.")
        }
        switch apiKey {
        case .none: break
        case .some(.none): provider.hasApiKey = false
        case .some(.some): provider.hasApiKey = true
        }
        try check(provider, apiKey: apiKey ?? nil)
        let removed = Set(old.modelIds).subtracting(provider.modelIds)
        if !removed.isEmpty, try await bots(of: old.providerId).contains(where: { $0.modelId.map(removed.contains) ?? false }) {
            throw ManagementError.inUse("A bot uses a model that would be removed.")
        }
        let kept = try await secrets.get(secretName(old.providerId))
        if case .some(.some(let key)) = apiKey { try await secrets.put(secretName(old.providerId), key) }
        do {
            let action = if case .some = apiKey { "provider.credentials-changed" } else { "provider.changed" }
            try await store(provider, replacing: old, by.entry(action, trail: AuditEntry.platform, target: provider.providerId.rawValue, at: provider.updatedAt))
        } catch {
            if case .some(.some) = apiKey {
                if let kept { try await secrets.put(secretName(old.providerId), kept) } else { try await secrets.delete(secretName(old.providerId)) }
            }
            throw error
        }
        if case .some(.none) = apiKey { try await secrets.delete(secretName(old.providerId)) }
        await notices.providerChanged(provider.providerId)
        return provider
    }

    public func delete(_ provider: Provider, by: By) async throws {
        guard try await bots(of: provider.providerId).isEmpty else { throw ManagementError.inUse("A bot uses this provider.") }
        guard !provider.isDefault else { throw ManagementError.inUse("This is the default provider. Make another one the default first.") }
        do {
            try await AuditTrail(records: records).transact(
                [.delete(provider.key, if: .recordExists), .delete(UniqueName.provider(provider.providerName))],
                by.entry("provider.deleted", trail: AuditEntry.platform, target: provider.providerId.rawValue, at: time.now()))
        } catch RecordStoreError.conditionFailed { throw ManagementError.notFound }
        try await secrets.delete(secretName(provider.providerId))
        await notices.providerChanged(provider.providerId)
    }

    public func test(_ provider: Provider, model: String?) async throws -> TestResult {
        if let model, !provider.modelIds.contains(model) { throw ManagementError.invalid("modelId", "The provider does not offer that model.") }
        guard let model = model ?? provider.modelIds.first else { throw ManagementError.invalidState("The provider has no models.") }
        let key = provider.hasApiKey ? try await secrets.get(secretName(provider.providerId)) : nil
        return await probe(provider, key, model)
    }

    // MARK: Rules

    private func secretName(_ id: ProviderID) -> SecretName { SecretName("\(stage)/providers/\(id.rawValue)") }

    private func bots(of id: ProviderID) async throws -> [Bot] {
        try await records.all(
            Bot.self, RecordQuery(Tables.bots, index: Tables.providerIndex, partition: id.rawValue, filter: .notEquals("status", "deleted"), limit: 200))
    }

    private func merged(_ fields: Document, into provider: Provider, at now: Date) throws -> Provider {
        var document = try provider.document()
        for (name, value) in fields where name != "apiKey" {
            document[name] = value == .null ? (name == "headers" ? .object([:]) : name == "isDefault" ? false : nil) : value
        }
        document["updatedAt"] = .string(Timestamp.text(now))
        return try DocumentCoder.decode(Provider.self, from: document)
    }

    private func check(_ provider: Provider, apiKey: Secret?) throws {
        let compatible = provider.providerType == .anthropicCompatible || provider.providerType == .openAICompatible
        var errors: [FieldProblem] = []
        if compatible {
            if let url = provider.baseUrl { if let reason = refusal(of: url) { errors.append(FieldProblem("baseUrl", reason)) } }
            else { errors.append(FieldProblem("baseUrl", "This type needs a base URL.")) }
        } else {
            if provider.baseUrl != nil { errors.append(FieldProblem("baseUrl", "Only for the compatible types.")) }
            if provider.authType != nil { errors.append(FieldProblem("authType", "Only for the compatible types.")) }
            if !provider.headers.isEmpty { errors.append(FieldProblem("headers", "Only for the compatible types.")) }
            if apiKey != nil { errors.append(FieldProblem("apiKey", "Only for the compatible types.")) }
        }
        if provider.region != nil, provider.providerType != .bedrock { errors.append(FieldProblem("region", "Only for bedrock.")) }
        if let fallback = provider.fallbackModelId, !provider.modelIds.contains(fallback) {
            errors.append(FieldProblem("fallbackModelId", "Must be one of modelIds."))
        }
        if !errors.isEmpty { throw ManagementError.invalid(errors) }
    }

    /// Why a base URL is not acceptable. Names are resolved and checked again at each connection.
    private func refusal(of text: String) -> String? {
        guard let url = WebAddress(text), !url.hasQuery else { return "Not an absolute URL without user, query and fragment." }
        do throws(EgressGuard.Refusal) { try egress.check(url, for: .provider) } catch {
            return switch error {
            case .plainHTTP: "Must be https."
            case .port: "This port cannot be used."
            case .address, .unresolved: "This address cannot be used: link-local and metadata addresses never, private ones only in stage local or by configuration."
            }
        }
        return nil
    }

    /// One transaction: the record, its name, and, for a new default, the old one's flag. The pointer in `settings` orders
    /// concurrent changes of the default, so that exactly one is left.
    private func store(_ provider: Provider, replacing old: Provider?, _ entry: AuditEntry) async throws {
        let pointerKey = RecordKey(Tables.settings, "platform", "defaultProvider")
        for _ in 0..<8 {
            var writes: [RecordWrite] = [try provider.putting(if: old == nil ? .recordAbsent : .recordExists)]
            if old?.providerName.lowercased() != provider.providerName.lowercased() {
                if let old { writes.append(.delete(UniqueName.provider(old.providerName))) }
                writes.append(.put(UniqueName.provider(provider.providerName), ["providerId": .string(provider.providerId.rawValue)], if: .recordAbsent))
            }
            let nameIndex = writes.count - 1
            var pointerIndex: Int?
            if provider.isDefault {
                let pointer = try await records.get(pointerKey)
                for other in try await list() where other.isDefault && other.providerId != provider.providerId {
                    writes.append(.update(other.key, [.set("isDefault", false)], if: .recordExists))
                }
                pointerIndex = writes.count
                let unchanged: Condition = pointer.map { .equals("revision", .value($0.document["revision"] ?? 0)) } ?? .recordAbsent
                writes.append(.update(pointerKey, [.set("providerId", .string(provider.providerId.rawValue)), .add("revision", 1)], orCreate: true, if: unchanged))
            }
            do {
                return try await AuditTrail(records: records).transact(writes, entry)
            } catch RecordStoreError.conditionFailed(let index, _) {
                if index == 0 { throw ManagementError.notFound }
                if let pointerIndex, index >= pointerIndex || index > nameIndex { continue }
                throw ManagementError.alreadyExists("A provider of that name exists already.")
            }
        }
        throw ManagementError.invalidState("Providers are being changed by someone else. Please try again.")
    }
}
