import Channels
import Foundation
import Platform
import Synchronization

/// Bots, channels and providers as ingest, dispatch and delivery look them up: kept for at most 60 s and forgotten on a write
/// on this node, so that a cache makes a thing late, never wrong. Quota, slots and sessions are never cached.
public final class Directory: Sendable {
    private struct Kept<Item: Sendable>: Sendable { var item: Item?; var until: Date }
    private struct ChannelKey: Hashable { var bot: BotID; var type: ChannelType }
    private struct State {
        var bots: [BotID: Kept<Bot>] = [:]
        var channels: [ChannelKey: Kept<ConnectedChannel>] = [:]
        var owners: [UserID: Kept<Bool>] = [:]
        var providers: [Provider]?
        var providersUntil = Date.distantPast
    }
    public static let freshness = Duration.seconds(60)
    private static let capacity = 10_000

    private let records: any RecordStore
    private let secrets: any SecretStore
    private let time: any TimeSource
    private let state = Mutex(State())

    public init(records: any RecordStore, secrets: any SecretStore, time: any TimeSource) {
        self.records = records; self.secrets = secrets; self.time = time
    }

    /// A bot by its id, deleted ones included as `nil`.
    public func bot(_ id: BotID) async throws -> Bot? {
        let now = time.now()
        if let kept = state.withLock({ $0.bots[id] }), kept.until > now { return kept.item }
        var found = try await records.query(Bot.self, RecordQuery(Tables.bots, index: Tables.botIdIndex, partition: id.rawValue, limit: 1)).items.first
        if found?.status == .deleted { found = nil }
        let kept = Kept(item: found, until: now + Self.freshness.seconds)
        state.withLock {
            if $0.bots.count >= Self.capacity { $0.bots.removeAll(keepingCapacity: true) }
            $0.bots[id] = kept
        }
        return found
    }

    /// Whether a user may be served: neither suspended nor deleted.
    public func isActive(_ user: UserID) async throws -> Bool {
        let now = time.now()
        if let kept = state.withLock({ $0.owners[user] }), kept.until > now { return kept.item ?? false }
        let active = try await records.get(User.self, User.key(user))?.status == .active
        state.withLock {
            if $0.owners.count >= Self.capacity { $0.owners.removeAll(keepingCapacity: true) }
            $0.owners[user] = Kept(item: active, until: now + Self.freshness.seconds)
        }
        return active
    }

    /// The bot's channel of a type with its opened credentials.
    public func channel(_ bot: BotID, _ type: ChannelType) async throws -> ConnectedChannel? {
        let now = time.now(), key = ChannelKey(bot: bot, type: type)
        if let kept = state.withLock({ $0.channels[key] }), kept.until > now { return kept.item }
        let record = try await records.query(
            Channel.self, RecordQuery(Tables.channels, partition: bot.rawValue, sort: .prefix("\(type.rawValue)#"), limit: 1)).items.first
        var found: ConnectedChannel?
        if let record { found = try await open(record) }
        let kept = Kept(item: found, until: now + Self.freshness.seconds)
        state.withLock {
            if $0.channels.count >= Self.capacity { $0.channels.removeAll(keepingCapacity: true) }
            $0.channels[key] = kept
        }
        return found
    }

    /// Reads the credentials that belong to a channel record.
    public func open(_ channel: Channel) async throws -> ConnectedChannel {
        guard let name = channel.credentialSecretName, let secret = try await secrets.get(name) else {
            return ConnectedChannel(channel: channel, credentials: [:])
        }
        let values = try JSON.decode([String: String].self, from: secret.reveal())
        return ConnectedChannel(channel: channel, credentials: values.mapValues { Secret($0) })
    }

    /// The provider that serves a bot, and its model; nil when the bot names one that is gone and there is no default.
    public func model(for bot: Bot) async throws -> (provider: Provider, model: String)? {
        let providers = try await allProviders()
        if let id = bot.providerId, let provider = providers.first(where: { $0.providerId == id }) {
            guard let model = bot.modelId ?? provider.modelIds.first else { return nil }
            return (provider, model)
        }
        guard bot.providerId == nil, let provider = providers.first(where: \.isDefault), let model = provider.modelIds.first else { return nil }
        return (provider, model)
    }

    private func allProviders() async throws -> [Provider] {
        let now = time.now()
        if let kept = state.withLock({ $0.providersUntil > now ? $0.providers : nil }) { return kept }
        let found = try await records.all(Provider.self, RecordQuery(Tables.providers, partition: "platform", limit: 200))
        state.withLock { $0.providers = found; $0.providersUntil = now + Self.freshness.seconds }
        return found
    }

    /// To be called after every write to the record, on the node that wrote it.
    public func forget(bot: BotID) { state.withLock { $0.bots[bot] = nil } }
    public func forget(user: UserID) { state.withLock { $0.owners[user] = nil } }
    public func forget(channel type: ChannelType, of bot: BotID) { state.withLock { $0.channels[ChannelKey(bot: bot, type: type)] = nil } }
    public func forgetProviders() { state.withLock { $0.providers = nil } }
}
