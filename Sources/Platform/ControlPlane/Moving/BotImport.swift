import Foundation
import Platform

/// Takes a bot from elsewhere in, under a user of this installation.
///
/// The bot keeps its id unless this installation knows that id already, alive or deleted: ids are never used twice (SEC-126).
/// Its own record comes last, in one write with its owner's count, so that half an import is no bot.
public struct BotImport: Sendable {
    public struct Plan: Sendable {
        public var user: User
        public var botId: BotID
        public var sourceUser: UserID
        public var sourceBot: BotID
    }
    public struct Outcome: Sendable {
        public var records = 0
        /// Sentences about what did not come along as it was.
        public var remarks: [String] = []
        public init() {}
    }

    let records: any RecordStore
    let secrets: any SecretStore
    let tasks: TaskService
    let stage: String
    let time: any TimeSource
    public init(records: any RecordStore, secrets: any SecretStore, scheduler: any Scheduler, stage: String, time: any TimeSource = SystemTime()) {
        self.records = records; self.secrets = secrets; self.stage = stage; self.time = time
        tasks = TaskService(records: records, scheduler: scheduler, time: time)
    }

    /// - Throws: ``ManagementError`` when there is no such user, or they may have no further bot.
    public func plan(email: String, sourceUser: UserID, sourceBot: BotID) async throws -> Plan {
        let found = try await records.query(User.self, RecordQuery(Tables.users, index: Tables.emailIndex, partition: email.lowercased(), limit: 2)).items
        guard let user = found.first(where: { $0.status == .active }) else { throw ManagementError.invalid("user", "There is no active user with the e-mail \(email).") }
        guard user.botCount < user.quota.maxBots else { throw ManagementError.invalidState("\(email) may have \(user.quota.maxBots) bots and has them already.") }
        let known = try await records.query(Bot.self, RecordQuery(Tables.bots, index: Tables.botIdIndex, partition: sourceBot.rawValue, limit: 1)).items
        let buried = try await records.get(RecordKey(Tables.tombstones, sourceBot.rawValue, "tombstone"))
        let keeps = known.isEmpty && buried == nil && ULID.isWellFormed(sourceBot.rawValue)
        return Plan(user: user, botId: keeps ? sourceBot : BotID(ULID.make(at: time.now())), sourceUser: sourceUser, sourceBot: sourceBot)
    }

    /// - Parameters:
    ///   - line: the next record; nil after the last.
    ///   - credentials: of channels, by the key of the channel's record in the source.
    public func run(_ plan: Plan, credentials: [String: Secret], line: () async throws -> String?) async throws -> Outcome {
        var outcome = Outcome()
        var bot: Bot?
        while let text = try await line() {
            guard let fields = (try? JSON.value(Data(text.utf8)))?.object, let name = fields["table"]?.string,
                let table = Tables.all.first(where: { $0.name == name }), let partition = fields["partition"]?.string, let sort = fields["sort"]?.string,
                let document = fields["document"]?.object
            else { throw ManagementError.invalidState("The backup holds a record that this version does not know.") }
            let key = RecordKey(table, plan.moved(partition), plan.moved(sort))
            let moved = plan.moved(.object(document)).object ?? [:]
            let record = StoredRecord(key: key, document: moved, expiresAt: fields["expiresAt"]?.int.map { Date(timeIntervalSince1970: Double($0)) })
            outcome.records += 1
            switch table {
            case Tables.bots: bot = try await takeBot(record, &outcome)
            case Tables.channels: try await take(channel: Channel(record: record), source: sort, plan, credentials, &outcome)
            case Tables.messages: try await take(message: Message(record: record), expiresAt: record.expiresAt)
            case Tables.sessions: try await take(session: record)
            case Tables.tasks: try await take(task: ScheduledTask(record: record))
            default: try await records.put(key, moved, expiresAt: record.expiresAt)
            }
        }
        guard var bot, bot.botId == plan.botId else { throw ManagementError.invalidState("The backup holds no bot.") }
        bot.userId = plan.user.userId
        do {
            try await records.transact([
                try bot.putting(if: .recordAbsent),
                .update(plan.user.key, [.add("botCount", 1)], if: .and([.equals("status", "active"), .lessThan("botCount", .path("quota.maxBots"))])),
            ])
        } catch RecordStoreError.conditionFailed { throw ManagementError.invalidState("The user may have no further bot.") }
        for task in try await records.all(ScheduledTask.self, RecordQuery(Tables.tasks, partition: bot.botId.rawValue, limit: 200)) where task.status == .active {
            do { try await tasks.scheduler.put(tasks.schedule(task)) } catch let error as ScheduleError {
                outcome.remarks.append("A task does not fire here: \(error.reason)")
            }
        }
        return outcome
    }

    private func takeBot(_ record: StoredRecord, _ outcome: inout Outcome) async throws -> Bot {
        var bot = try Bot(record: record)
        if let provider = bot.providerId, try await records.get(Provider.self, Provider.key(provider))?.modelIds.contains(bot.modelId ?? "") != true {
            bot.providerId = nil
            bot.modelId = nil
            outcome.remarks.append("Its model provider does not exist here: it uses the default one.")
        }
        return bot
    }

    private func take(channel: Channel, source: String, _ plan: Plan, _ credentials: [String: Secret], _ outcome: inout Outcome) async throws {
        var channel = channel
        channel.userId = plan.user.userId
        let owner: Document = ["botId": .string(plan.botId.rawValue), "channelId": .string(channel.channelId.rawValue)]
        if channel.connectionMode != .builtin {
            if let secret = credentials[source] {
                let name = SecretName("\(stage)/\(plan.botId.rawValue)/\(channel.channelType.rawValue)/\(channel.channelId.rawValue)")
                try await secrets.put(name, secret)
                channel.credentialSecretName = name
                if channel.connectionMode == .webhook {
                    channel.status = .pendingWebhook
                    channel.statusDetail = "The bot was moved here; save the channel once more, so that its messages come to this address."
                }
            } else {
                channel.credentialSecretName = nil
                channel.status = .disconnected
                channel.statusDetail = "The bot was moved here without its credentials; enter them again."
            }
        }
        do {
            try await records.transact([
                .put(UniqueName.channel(plan.botId, channel.channelType), owner, if: .or([.recordAbsent, .equals("botId", .value(.string(plan.botId.rawValue)))])),
                .put(
                    UniqueName.vendorAccount(channel.channelType, channel.accountId), owner,
                    if: .or([.recordAbsent, .equals("botId", .value(.string(plan.botId.rawValue)))])),
                try channel.putting(),
            ])
        } catch RecordStoreError.conditionFailed {
            if let name = channel.credentialSecretName { try await secrets.delete(name) }
            outcome.remarks.append("Its \(channel.channelType.rawValue) channel stays behind: another bot here has that account.")
        }
    }

    /// What was under way stays with the source.
    private func take(message: Message, expiresAt: Date?) async throws {
        var message = message
        if !message.state.isSettled { message.state = .stopped }
        try await records.put(message.key, message.document(), expiresAt: expiresAt)
    }

    private func take(session record: StoredRecord) async throws {
        var document = record.document
        for field in ["run", "delivery", "taskStatus"] { document[field] = nil }
        try await records.put(record.key, document)
    }

    private func take(task: ScheduledTask) async throws {
        var task = task
        if task.status == .active, let next = task.nextRun, next <= time.now() {
            // Due meanwhile: the source's affair.
            if task.scheduleType == .once { task.status = .completed; task.nextRun = nil } else { task.nextRun = try TaskRules.check(task, at: time.now()) }
        }
        try await records.put(task)
    }
}

extension BotImport.Plan {
    /// A key part or text with the source's ids replaced where they stand as ids: alone, or at the beginning of a key or path.
    func moved(_ text: String) -> String {
        if text == sourceBot.rawValue { return botId.rawValue }
        if text == sourceUser.rawValue { return user.userId.rawValue }
        let (old, new) = ("\(sourceUser.rawValue)/\(sourceBot.rawValue)/", "\(user.userId.rawValue)/\(botId.rawValue)/")
        if text.hasPrefix(old) { return new + text.dropFirst(old.count) }
        if text.hasPrefix(sourceBot.rawValue + "#") { return botId.rawValue + text.dropFirst(sourceBot.rawValue.count) }
        return text
    }
    func moved(_ value: Value) -> Value {
        switch value {
        case .string(let text): .string(moved(text))
        case .array(let items): .array(items.map { moved($0) })
        case .object(let fields): .object(fields.mapValues { moved($0) })
        default: value
        }
    }
}
