import Channels
import Foundation
import Platform

/// A bot's channels: verified with the vendor before anything is stored, undone in reverse when a later step fails (CHANNELS.md §1.8).
public struct ChannelService: Sendable {
    /// A new or changed channel, and what its owner has to do or to note down once.
    public struct Connected: Sendable {
        public var channel: Channel
        public var setupInstructions: [String]
        public init(channel: Channel, setupInstructions: [String]) { self.channel = channel; self.setupInstructions = setupInstructions }
    }
    public struct TestResult: Sendable {
        public var ok: Bool
        public var checkedAt: Date
        public var detail: String?
    }

    private let records: any RecordStore
    private let secrets: any SecretStore
    private let registry: ChannelRegistry
    private let publicBaseURL: URL
    private let stage: String
    private let notices: ManagementNotices
    private let time: any TimeSource

    public init(
        records: any RecordStore, secrets: any SecretStore, registry: ChannelRegistry, publicBaseURL: URL, stage: String,
        notices: ManagementNotices = ManagementNotices(), time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.secrets = secrets; self.registry = registry; self.publicBaseURL = publicBaseURL
        self.stage = stage; self.notices = notices; self.time = time
    }

    /// The types that can be connected here; web chat always.
    public var types: [ChannelType] { ChannelType.allCases.filter { $0 == .web || registry[$0] != nil } }

    /// By type; at most one each.
    public func list(_ bot: BotID) async throws -> [Channel] {
        try await records.all(Channel.self, RecordQuery(Tables.channels, partition: bot.rawValue, limit: 100))
    }

    /// Of many bots, in two reads: their unique names lead to the records.
    public func list(of bots: [BotID]) async throws -> [BotID: [Channel]] {
        let names = bots.flatMap { bot in ChannelType.allCases.map { (bot, $0, UniqueName.channel(bot, $0)) } }
        let owners = try await records.batchGet(names.map(\.2))
        let keys = names.compactMap { bot, type, name in owners[name]?.document["channelId"]?.string.map { Channel.key(bot, type, ChannelID($0)) } }
        let found = try await records.batchGet(keys)
        return Dictionary(grouping: try keys.compactMap { try found[$0].map(Channel.init(record:)) }, by: \.botId)
            .mapValues { $0.sorted { $0.channelType.rawValue < $1.channelType.rawValue } }
    }

    public func get(_ bot: BotID, _ type: ChannelType) async throws -> Channel {
        let page = try await records.query(Channel.self, RecordQuery(Tables.channels, partition: bot.rawValue, sort: .prefix("\(type.rawValue)#"), limit: 1))
        guard let channel = page.items.first else { throw ManagementError.notFound }
        return channel
    }

    /// Where the vendor delivers, for channels that receive by webhook.
    public func webhookURL(_ channel: Channel) -> String? {
        guard channel.connectionMode == .webhook else { return nil }
        return publicBaseURL.absoluteString.trimmingSuffix("/") + "/webhook/\(channel.channelType.rawValue)/\(channel.botId.rawValue)"
    }

    /// Verifies, then secret, record (with its unique names and the bot's first activation) and registration, in this order.
    public func connect(_ bot: Bot, _ type: ChannelType, credentials: [String: Secret], config: Document, by: By) async throws -> Connected {
        if try await exists(bot.botId, type) { throw Self.alreadyConnected }
        let account = try await verified(bot.botId, type, credentials: credentials, config: config)
        let now = time.now()
        var channel = Channel(
            botId: bot.botId, userId: bot.userId, channelType: type, channelId: ChannelID(ULID.make(at: now)), mode: account.mode,
            accountId: account.accountId, accountName: account.accountName, at: now)
        channel.status = account.status
        channel.config = account.config
        channel.healthStatus = account.status == .connected ? .healthy : .unknown
        channel.lastHealthCheck = now
        if !account.credentials.isEmpty { channel.credentialSecretName = secretName(channel) }

        if let name = channel.credentialSecretName { try await secrets.put(name, Self.sealed(account.credentials)) }
        do {
            try await store(channel, of: bot, by.entry("channel.connected", trail: bot.userId, target: Self.place(channel), at: now))
            do {
                try await register(channel, account.credentials)
            } catch {
                // The trail cannot forget that it was there for a moment, so it says that it went again.
                try await remove(channel, of: bot, by.entry("channel.connect-undone", trail: bot.userId, target: Self.place(channel), at: time.now()))
                throw error
            }
        } catch {
            if let name = channel.credentialSecretName { try await secrets.delete(name) }
            throw error
        }
        await notices.channelChanged(bot.botId, type)
        if bot.status == .created { await notices.botChanged(bot) }
        return Connected(channel: channel, setupInstructions: account.setupInstructions)
    }

    /// Web chat is connected by the first message, which also activates a new bot. Returns the bot as it is then.
    public func ensureWebChat(of bot: Bot, by: By) async throws -> Bot {
        if bot.status != .created, try await exists(bot.botId, .web) { return bot }
        var active = bot
        do {
            _ = try await connect(bot, .web, credentials: [:], config: [:], by: by)
        } catch ManagementError.alreadyExists {
            if bot.status == .created { try await activate(bot) }
        }
        if active.status == .created { active.status = .active }
        return active
    }

    private func activate(_ bot: Bot) async throws {
        do {
            try await records.update(bot.key, [.set("status", "active"), .add("revision", 1)], if: .equals("status", "created"))
            await notices.botChanged(bot)
        } catch RecordStoreError.conditionFailed {
            // Another message, or its owner, was first.
        }
    }

    /// Merge update; credentials are a complete set of the same vendor account. Verified and registered like a new channel.
    public func update(_ bot: Bot, _ old: Channel, credentials: [String: Secret]?, config: Document?, by: By) async throws -> Connected {
        let type = old.channelType
        let stored = try await opened(old)
        var wanted = old.config
        for (name, value) in config ?? [:] { wanted[name] = value == .null ? nil : value }
        // What we generated ourselves (webhook secret) is made anew by the adapter.
        let given = credentials ?? stored.filter { !Self.generated.contains($0.key) }
        let account = try await verified(bot.botId, type, credentials: given, config: wanted)
        guard account.accountId == old.accountId else {
            throw ManagementError.invalidState("These credentials belong to another account. Remove the channel and connect the new account.")
        }
        var channel = old
        channel.status = account.status; channel.statusDetail = nil
        channel.connectionMode = account.mode
        channel.accountName = account.accountName
        channel.config = account.config
        channel.healthStatus = .unknown; channel.consecutiveFailures = 0; channel.userNotifiedAt = nil
        channel.lastHealthCheck = Date(timeIntervalSince1970: 0)
        channel.revision += 1
        channel.updatedAt = time.now()

        if let name = channel.credentialSecretName { try await secrets.put(name, Self.sealed(account.credentials)) }
        do {
            do {
                try await AuditTrail(records: records).transact(
                    [channel.putting(if: .equals("revision", .value(.int(old.revision))))],
                    by.entry(credentials == nil ? "channel.changed" : "channel.credentials-changed", trail: bot.userId, target: Self.place(channel), at: channel.updatedAt))
            } catch RecordStoreError.conditionFailed {
                throw ManagementError.invalidState("The channel is being changed by someone else. Please try again.")
            }
            do {
                try await register(channel, account.credentials)
            } catch {
                var back = old
                back.revision = channel.revision + 1
                try await AuditTrail(records: records).transact(
                    [back.putting(if: .equals("revision", .value(.int(channel.revision))))],
                    by.entry("channel.change-undone", trail: bot.userId, target: Self.place(channel), at: time.now()))
                throw error
            }
        } catch {
            if let name = old.credentialSecretName { try await secrets.put(name, Self.sealed(stored)) }
            throw error
        }
        await notices.channelChanged(bot.botId, type)
        return Connected(channel: channel, setupInstructions: account.setupInstructions)
    }

    /// Asks the vendor now and books the result as the health loop does: a refusal counts, silence does not.
    public func test(_ channel: Channel) async throws -> TestResult {
        let now = time.now()
        let check: ChannelCheck
        if let adapter = registry[channel.channelType] {
            check = await adapter.check(ConnectedChannel(channel: channel, credentials: try await opened(channel)))
        } else {
            check = ChannelCheck(.healthy)
        }
        var changes: [Change] = [.set("lastHealthCheck", .string(Timestamp.text(now)))]
        switch check.result {
        case .healthy:
            changes += [.set("healthStatus", "healthy"), .set("consecutiveFailures", 0), .remove("userNotifiedAt"), .remove("statusDetail")]
            if channel.status == .error || channel.status == .disconnected { changes.append(.set("status", "connected")) }
        case .refused:
            changes += [.add("consecutiveFailures", 1)]
            if channel.consecutiveFailures + 1 >= 3 { changes.append(.set("healthStatus", "unhealthy")) }
            if let detail = check.detail { changes.append(.set("statusDetail", .string(detail))) }
        case .unknown: break
        }
        do {
            try await records.update(channel.key, changes, if: .recordExists)
        } catch RecordStoreError.conditionFailed {
            throw ManagementError.notFound
        }
        let detail = check.detail ?? (check.result == .unknown ? "The messaging service could not be reached." : nil)
        return TestResult(ok: check.result == .healthy, checkedAt: now, detail: detail)
    }

    /// The vendor's webhook best effort; secret and record always.
    public func delete(_ channel: Channel, of bot: Bot, by: By) async throws {
        try await delete(channel, of: bot, by.entry("channel.disconnected", trail: bot.userId, target: Self.place(channel), at: time.now()))
    }

    private func delete(_ channel: Channel, of bot: Bot, _ entry: AuditEntry?) async throws {
        if let adapter = registry[channel.channelType], let credentials = try? await opened(channel) {
            await adapter.disconnect(ConnectedChannel(channel: channel, credentials: credentials))
        }
        try await remove(channel, of: bot, entry)
        if let name = channel.credentialSecretName { try await secrets.delete(name) }
        await notices.channelChanged(bot.botId, channel.channelType)
    }

    /// Of a deleted bot: its own entry in the audit trail speaks for them.
    func deleteAll(of bot: Bot) async throws {
        for channel in try await list(bot.botId) { try await delete(channel, of: bot, nil) }
    }

    /// What a bot's channels hold secrets under.
    func secretPrefix(of bot: BotID) -> String { "\(stage)/\(bot.rawValue)/" }
    private static func place(_ channel: Channel) -> String { "\(channel.botId.rawValue)/\(channel.channelType.rawValue)" }

    // MARK: Steps

    private static let generated: Set<String> = ["webhookSecret", "secretToken"]
    private static let alreadyConnected = ManagementError.alreadyExists("This bot has a channel of that type already.")

    private func exists(_ bot: BotID, _ type: ChannelType) async throws -> Bool {
        do { _ = try await get(bot, type); return true } catch ManagementError.notFound { return false }
    }

    private func verified(_ bot: BotID, _ type: ChannelType, credentials: [String: Secret], config: Document) async throws -> VendorAccount {
        guard let adapter = registry[type] else {
            guard type == .web else { throw ManagementError.invalid("channelType", "This deployment does not connect \(type.rawValue).") }
            // Built in: nothing to verify, one "account" per bot.
            return VendorAccount(accountId: bot.rawValue, accountName: "", mode: .builtin, credentials: [:], config: config, setupInstructions: [])
        }
        do {
            return try await adapter.connect(ChannelDraft(botId: bot, credentials: credentials, config: config, publicBaseURL: publicBaseURL))
        } catch let error as ChannelSetupError {
            throw Self.mapped(error)
        }
    }

    private func register(_ channel: Channel, _ credentials: [String: Secret]) async throws {
        guard let adapter = registry[channel.channelType] else { return }
        do {
            try await adapter.register(ConnectedChannel(channel: channel, credentials: credentials))
        } catch let error as ChannelSetupError {
            throw Self.mapped(error)
        }
    }

    private static func mapped(_ error: ChannelSetupError) -> ManagementError {
        switch error {
        case .invalid(let field, let message): .invalid(field, message)
        case .rejected(let sentence): .credentialsRejected(sentence)
        case .unsupported(let sentence): .invalidState(sentence)
        case .unreachable(let sentence): .upstreamFailed(sentence)
        }
    }

    private func store(_ channel: Channel, of bot: Bot, _ entry: AuditEntry) async throws {
        let owner: Document = ["botId": .string(bot.botId.rawValue), "channelId": .string(channel.channelId.rawValue)]
        let activation: RecordWrite = bot.status == .created
            ? .update(bot.key, [.set("status", "active"), .add("revision", 1)], if: .oneOf("status", ["created", "active", "paused"]))
            : .check(bot.key, if: .and([.recordExists, .notEquals("status", "deleted")]))
        do {
            try await AuditTrail(records: records).transact([
                .put(UniqueName.channel(bot.botId, channel.channelType), owner, if: .recordAbsent),
                .put(UniqueName.vendorAccount(channel.channelType, channel.accountId), owner, if: .recordAbsent),
                try channel.putting(if: .recordAbsent),
                activation,
            ], entry)
        } catch RecordStoreError.conditionFailed(let index, _) {
            switch index {
            case 0: throw Self.alreadyConnected
            case 1: throw ManagementError.inUse("This account is connected to another bot already. Remove it there first.")
            default: throw ManagementError.notFound
            }
        }
    }

    private func remove(_ channel: Channel, of bot: Bot, _ entry: AuditEntry?) async throws {
        let writes: [RecordWrite] = [
            .delete(channel.key),
            // How far its poller had read.
            .delete(RecordKey(Tables.leases, "gateway/\(channel.channelType.rawValue)/\(channel.channelId.rawValue)", "state")),
            .delete(UniqueName.channel(bot.botId, channel.channelType), if: .or([.recordAbsent, .equals("channelId", .value(.string(channel.channelId.rawValue)))])),
            .delete(UniqueName.vendorAccount(channel.channelType, channel.accountId), if: .or([.recordAbsent, .equals("channelId", .value(.string(channel.channelId.rawValue)))])),
        ]
        if let entry { try await AuditTrail(records: records).transact(writes, entry) } else { try await records.transact(writes) }
    }

    private func secretName(_ channel: Channel) -> SecretName {
        SecretName("\(stage)/\(channel.botId.rawValue)/\(channel.channelType.rawValue)/\(channel.channelId.rawValue)")
    }

    private func opened(_ channel: Channel) async throws -> [String: Secret] {
        guard let name = channel.credentialSecretName, let secret = try await secrets.get(name) else { return [:] }
        return try JSON.decode([String: String].self, from: secret.reveal()).mapValues { Secret($0) }
    }

    /// Credentials as one secret: a JSON object of strings.
    static func sealed(_ credentials: [String: Secret]) throws -> Secret { Secret(try JSON.text(credentials.mapValues { $0.reveal() })) }
}

extension String {
    func trimmingSuffix(_ suffix: String) -> String { hasSuffix(suffix) ? String(dropLast(suffix.count)) : self }
}
