import Foundation
import Platform

/// Bots of a tenant: creation under quota, merge updates, state changes, deletion.
///
/// Field types and lengths are checked at the door; what needs records (quota, provider, state) is checked here.
public struct BotService: Sendable {
    private let records: any RecordStore
    let scheduler: any Scheduler
    let channels: ChannelService
    private let engines: Set<Bot.Engine>
    let notices: ManagementNotices
    private let time: any TimeSource
    private let purgeAfter: Duration

    /// - Parameter purgeAfter: how long the data of a deleted bot stays (`retention.deletedDays`).
    public init(
        records: any RecordStore, scheduler: any Scheduler, channels: ChannelService, engines: Set<Bot.Engine> = [.native],
        notices: ManagementNotices = ManagementNotices(), time: any TimeSource = SystemTime(), purgeAfter: Duration = .seconds(30 * 86_400)
    ) {
        self.records = records; self.scheduler = scheduler; self.channels = channels; self.engines = engines
        self.notices = notices; self.time = time; self.purgeAfter = purgeAfter
    }

    /// Newest first; deleted ones never.
    public func list(_ user: UserID, status: Bot.Status? = nil, limit: Int, cursor: String?) async throws -> (items: [Bot], cursor: String?) {
        let filter: Condition = status.map { .equals("status", .value(.string($0.rawValue))) } ?? .notEquals("status", "deleted")
        return try await records.query(
            Bot.self, RecordQuery(Tables.bots, partition: user.rawValue, filter: filter, descending: true, limit: limit, cursor: cursor))
    }

    /// - Throws: ``ManagementError/notFound`` also for another tenant's bot.
    public func get(_ user: UserID, _ id: BotID) async throws -> Bot {
        guard ULID.isWellFormed(id.rawValue), let bot = try await records.get(Bot.self, Bot.key(user, id)), bot.status != .deleted
        else { throw ManagementError.notFound }
        return bot
    }

    /// Creates a bot from validated fields of `BotBody`; bot and the user's counter are one write, so the quota holds (SEC-107).
    public func create(for user: UserID, _ fields: Document) async throws -> Bot {
        let now = time.now()
        guard let name = fields["name"]?.string else { throw ManagementError.invalid("name", "A name is needed.") }
        let blank = Bot(botId: BotID(ULID.make(at: now)), userId: user, name: name, at: now)
        let bot = try await merged(fields, into: blank, at: now)
        do {
            try await records.transact([
                .update(User.key(user), [.add("botCount", 1)], if: .lessThan("botCount", .path("quota.maxBots"))),
                try bot.putting(if: .recordAbsent),
            ])
        } catch RecordStoreError.conditionFailed(index: 0, _) {
            throw ManagementError.quotaExceeded("Your plan allows no more bots. Delete one, or ask for a larger plan.")
        }
        await notices.botChanged(bot)
        return bot
    }

    /// Merges validated changes: absent = unchanged, null = the default. Only changed attributes are written, under the record's
    /// revision, because counters of the same record move meanwhile. What decides about an agent's reach is audited with the change.
    public func update(_ bot: Bot, _ changes: Document, by: By) async throws -> Bot {
        var current = bot
        for _ in 0..<8 {
            let now = time.now()
            if let wanted = changes["status"]?.string.flatMap(Bot.Status.init) { try Self.checkMove(from: current.status, to: wanted) }
            let wanted = try await merged(changes, into: current, at: now)
            let before = try current.document(), after = try wanted.document()
            let ours: Set<String> = ["revision", "groupCount", "taskCount", "updatedAt"]
            var writes: [Change] = []
            for name in Set(before.keys).union(after.keys).subtracting(ours) where before[name] != after[name] {
                writes.append(after[name].map { .set(Path(elements: [.name(name)]), $0) } ?? .remove(Path(elements: [.name(name)])))
            }
            writes += [.set("updatedAt", .string(Timestamp.text(now))), .add("revision", 1)]
            do {
                let unchanged: Condition = .and([.equals("revision", .value(.int(current.revision))), .notEquals("status", "deleted")])
                let stored: Bot
                if Self.policies.contains(where: { before[$0] != after[$0] }) {
                    try await AuditTrail(records: records).transact(
                        [.update(bot.key, writes, if: unchanged)], by.entry("bot.policy-changed", trail: bot.userId, target: bot.botId.rawValue, at: now))
                    stored = try await get(bot.userId, bot.botId)
                } else {
                    stored = try Bot(record: await records.update(bot.key, writes, if: unchanged))
                }
                await notices.botChanged(stored)
                return stored
            } catch RecordStoreError.conditionFailed(_, let record) {
                guard let record else { throw ManagementError.notFound }
                current = try Bot(record: record)
                if current.status == .deleted { throw ManagementError.notFound }
            }
        }
        throw ManagementError.invalidState("The bot is being changed by someone else. Please try again.")
    }

    /// Fields that decide what an agent may reach or change.
    private static let policies = ["toolWhitelist", "egress", "memoryOpenToGroups"]

    /// From this write on the bot's ids answer as unknown; runs end, channels, secrets and schedules go now, data after the retention
    /// time (``Purge``, which also finishes what a crash leaves of this).
    public func delete(_ bot: Bot, by: By) async throws {
        let now = time.now()
        do {
            try await AuditTrail(records: records).transact([
                .update(bot.key, [.set("status", "deleted"), .set("updatedAt", .string(Timestamp.text(now))), .add("revision", 1)],
                    if: .and([.recordExists, .notEquals("status", "deleted")])),
                .update(User.key(bot.userId), [.add("botCount", -1)], if: .greaterThan("botCount", 0)),
                try Tombstone(.bot, bot.botId.rawValue, userId: bot.userId, at: now, purgeAt: now + purgeAfter.seconds).putting(),
            ], by.entry("bot.deleted", trail: bot.userId, target: bot.botId.rawValue, at: now))
        } catch RecordStoreError.conditionFailed(index: 0, _) {
            throw ManagementError.notFound
        }
        try await dismantle(bot)
        await notices.deletionBegan()
    }

    /// What goes at once when a bot was deleted. Repeatable.
    func dismantle(_ bot: Bot) async throws {
        var gone = bot
        gone.status = .deleted
        await notices.botChanged(gone)
        try await channels.deleteAll(of: bot)
        for task in try await records.all(ScheduledTask.self, RecordQuery(Tables.tasks, partition: bot.botId.rawValue, limit: 200)) {
            try await scheduler.remove(bot.botId, task.taskId)
        }
    }

    private static func checkMove(from old: Bot.Status, to new: Bot.Status) throws {
        switch (old, new) {
        case (.created, .active), (.active, .paused), (.paused, .active), (.active, .active), (.paused, .paused): return
        default: throw ManagementError.invalidState("A bot that is \(old.rawValue) cannot become \(new.rawValue).")
        }
    }

    private func merged(_ changes: Document, into bot: Bot, at now: Date) async throws -> Bot {
        let name = changes["name"]?.string ?? bot.name
        let defaults = try Bot(botId: bot.botId, userId: bot.userId, name: name, at: now).document()
        var document = try bot.document()
        // A trigger that was never chosen follows the name.
        if changes["name"] != nil, bot.triggerPattern == "@\(bot.name)" { document["triggerPattern"] = defaults["triggerPattern"] }
        for (field, value) in changes {
            switch value {
            case .null: document[field] = defaults[field]
            case .object(let fields) where field == "containerConfig":
                document[field] = .object((defaults[field]?.object ?? [:]).merging(fields) { _, new in new })
            default: document[field] = value
            }
        }
        // A provider without a model means its first; a new provider does not keep the old one's model.
        if changes["providerId"] != nil, changes["modelId"] == nil { document["modelId"] = nil }
        let wanted = try DocumentCoder.decode(Bot.self, from: document)
        if changes.keys.contains(where: ["providerId", "modelId"].contains) { try await checkModel(of: wanted) }
        // A bot whose engine has gone can still be changed in everything else.
        guard wanted.engine == bot.engine || engines.contains(wanted.engine) else {
            throw ManagementError.invalid("engine", "This server has no claude CLI, which that engine drives; its operator can install one (compute.claudeCLI).")
        }
        return wanted
    }

    private func checkModel(of bot: Bot) async throws {
        guard let id = bot.providerId else {
            if bot.modelId != nil { throw ManagementError.invalid("modelId", "A model needs its provider: send providerId too.") }
            return
        }
        guard let provider = try await records.get(Provider.self, Provider.key(id)) else {
            throw ManagementError.invalid("providerId", "There is no such provider.")
        }
        if let model = bot.modelId, !provider.modelIds.contains(model) {
            throw ManagementError.invalid("modelId", "The provider does not offer that model.")
        }
    }
}
