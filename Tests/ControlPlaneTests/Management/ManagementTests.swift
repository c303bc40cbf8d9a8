import Channels
import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Management", .paced)
struct ManagementTests {
    private struct Schedules: Scheduler {
        func put(_ schedule: TaskSchedule) async throws {}
        func remove(_ botId: BotID, _ taskId: TaskID) async throws {}
        func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {}
        func probe() async throws {}
    }
    private let records = InMemoryRecordStore()
    private let secrets = InMemorySecretStore()
    private let user = UserID("U1")

    private func bots(maxBots: Int = 5) async throws -> BotService {
        var owner = User(userId: user, email: "o@example.com", at: Date())
        owner.quota.maxBots = maxBots
        try await records.put(owner)
        let channels = ChannelService(
            records: records, secrets: secrets, registry: ChannelRegistry([]), publicBaseURL: URL(string: "http://127.0.0.1")!, stage: "test")
        return BotService(records: records, scheduler: Schedules(), channels: channels)
    }
    private var providers: ProviderService {
        ProviderService(records: records, secrets: secrets, stage: "test", egress: EgressGuard(allowsLocalProviders: true), probe: { _, _, _ in .init(ok: true, latency: .zero) })
    }

    @Test("SEC-107 of many creates at quota − 1 exactly one succeeds")
    func SEC_107_quota() async throws {
        let service = try await bots(maxBots: 3)
        for name in ["a", "b"] { _ = try await service.create(for: user, ["name": .string(name)]) }
        let made = await withTaskGroup(of: Bool.self) { group in
            for index in 0..<20 {
                group.addTask {
                    do { _ = try await service.create(for: user, ["name": .string("n\(index)")]); return true } catch { return false }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(made == 1)
        await #expect(throws: ManagementError.self) { try await service.create(for: user, ["name": "x"]) }
    }

    @Test("an update keeps what others count in the same record")
    func counters() async throws {
        let service = try await bots()
        let bot = try await service.create(for: user, ["name": "Rosa"])
        try await records.update(bot.key, [.add("groupCount", 3)])
        let after = try await service.update(bot, ["name": "Ada"], by: .system)
        #expect(after.groupCount == 3 && after.name == "Ada" && after.triggerPattern == "@Ada" && after.revision == 1)
        let both = try await service.update(bot, ["description": "stale copy, still merged"], by: .system)
        #expect(both.name == "Ada" && both.description == "stale copy, still merged")
    }

    @Test("SEC-18 a bot's provider and model must exist")
    func SEC_18_references() async throws {
        let service = try await bots()
        let provider = try await providers.create(["providerName": "P", "providerType": "demo", "modelIds": .array(["m"])], apiKey: nil, by: .system)
        await #expect(throws: ManagementError.invalid("providerId", "There is no such provider.")) {
            try await service.create(for: user, ["name": "x", "providerId": "nope"])
        }
        await #expect(throws: ManagementError.self) { try await service.create(for: user, ["name": "x", "modelId": "m"]) }
        await #expect(throws: ManagementError.self) {
            try await service.create(for: user, ["name": "x", "providerId": .string(provider.providerId.rawValue), "modelId": "other"])
        }
        let bot = try await service.create(for: user, ["name": "x", "providerId": .string(provider.providerId.rawValue), "modelId": "m"])
        await #expect(throws: ManagementError.inUse("A bot uses this provider.")) { try await providers.delete(provider, by: .system) }
        try await service.delete(bot, by: .system)
        try await providers.delete(provider, by: .system)
    }

    @Test("two writes of the default provider at once leave one default")
    func defaults() async throws {
        let service = providers
        try await withThrowingTaskGroup(of: Void.self) { group in
            for index in 0..<6 {
                group.addTask {
                    _ = try await service.create(
                        ["providerName": .string("P\(index)"), "providerType": "demo", "modelIds": .array(["m"]), "isDefault": true], apiKey: nil, by: .system)
                }
            }
            try await group.waitForAll()
        }
        #expect(try await service.list().filter(\.isDefault).count == 1)
    }

    @Test("SEC-50 a stored key does not travel to a new base URL, and metadata addresses are refused")
    func SEC_50_baseURL() async throws {
        let fields: Document = [
            "providerName": "P", "providerType": "anthropic-compatible-api", "modelIds": .array(["m"]), "baseUrl": "https://models.example.com",
        ]
        let provider = try await providers.create(fields, apiKey: Secret("sk-1"), by: .system)
        await #expect(throws: ManagementError.self) { try await providers.update(provider, ["baseUrl": "https://evil.example"], apiKey: nil, by: .system) }
        let moved = try await providers.update(provider, ["baseUrl": "https://other.example"], apiKey: .some(Secret("sk-2")), by: .system)
        #expect(try await secrets.get(SecretName("test/providers/\(moved.providerId)"))?.reveal() == "sk-2")
        let bare = try await providers.update(moved, ["providerName": "Q"], apiKey: .some(nil), by: .system)
        #expect(!bare.hasApiKey)
        #expect(try await secrets.list(prefix: "test/providers").isEmpty)
        for url in ["http://169.254.169.254/", "http://models.example.com", "ftp://x", "https://u:p@x.example", "https://metadata.google.internal"] {
            var bad = fields
            bad["providerName"] = .string(url)
            bad["baseUrl"] = .string(url)
            await #expect(throws: ManagementError.self) { try await providers.create(bad, apiKey: nil, by: .system) }
        }
    }
}
