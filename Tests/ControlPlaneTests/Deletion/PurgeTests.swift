import Channels
import Foundation
import Logging
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite("Purge of what was deleted", .paced)
struct PurgeTests {
    /// Two users with full bots, of which one is to go.
    private struct Estate {
        let time = ManualTime()
        let faults: Faults
        let ports: Ports
        let bots: BotService
        let users: UserDeletion
        let schedules = KeptSchedules()
        let gone = User(userId: UserID("GONE-USER"), email: "gone@example.test", plan: .pro, at: Date(timeIntervalSince1970: 1_760_000_000))
        let stays = User(userId: UserID("OTHER-USER"), email: "stays@example.test", plan: .pro, at: Date(timeIntervalSince1970: 1_760_000_000))
        var goneBots: [Bot] = []
        var otherBot: Bot

        init(retention: Duration) async throws {
            let faults = Faults()
            self.faults = faults
            let records = InMemoryRecordStore(time: time)
            ports = Ports(
                records: FaultyRecords(inner: records, faults: faults), objects: FaultyObjects(inner: InMemoryObjectStore(time: time), faults: faults),
                inbound: InMemoryMessageQueue(time: time), replies: InMemoryMessageQueue(time: time),
                secrets: try await EncryptedSecretStore.open(FaultyRecords(inner: records, faults: faults), keys: try MasterKeys([MasterKey(bytes: MasterKey.random())]), time: time),
                scheduler: schedules, live: InMemoryLiveEvents(), time: time)
            let channels = ChannelService(
                records: ports.records, secrets: ports.secrets, registry: ChannelRegistry([]), publicBaseURL: URL(string: "http://127.0.0.1")!, stage: "test", time: time)
            bots = BotService(records: ports.records, scheduler: schedules, channels: channels, time: time, purgeAfter: retention)
            users = UserDeletion(records: ports.records, bots: bots, purgeAfter: retention, time: time)
            for user in [gone, stays] {
                try await ports.records.put(user)
                try await ports.records.put(RecordKey(Tables.uniques, "email/\(user.email)", "unique"), ["userId": .string(user.userId.rawValue)])
            }
            for name in ["one", "two"] {
                let bot = try await bots.create(for: gone.userId, ["name": .string(name)])
                try await Self.furnish(bot, ports, channels, schedules)
                goneBots.append(bot)
            }
            otherBot = try await bots.create(for: stays.userId, ["name": "kept"])
            try await Self.furnish(otherBot, ports, channels, schedules)
            for user in [gone, stays] {
                let rules = ProxyRuleService(records: ports.records, secrets: ports.secrets, egress: EgressGuard(resolver: NoNames()), stage: "test", time: time)
                _ = try await rules.create(
                    user.userId, ["name": "n", "prefix": "/p", "target": "https://api.example.com", "authType": "bearer"], value: Secret("v"), by: .system)
                try await ports.records.put(
                    RecordKey(Tables.refreshTokens, "token-of-\(user.userId)", "token"),
                    ["userId": .string(user.userId.rawValue), "createdAt": .string(Timestamp.text(time.now()))], expiresAt: time.now() + 86_400 * 90)
                try await ports.objects.put(try ObjectKey(checking: ObjectLayout(userId: user.userId, botId: BotID("-")).sharedMemory), Data("x".utf8))
                try await ports.objects.put(try ObjectKey(checking: ObjectLayout(userId: user.userId, botId: BotID("-")).sharedVersions + "v.md"), Data("x".utf8))
            }
        }

        private static func furnish(_ bot: Bot, _ ports: Ports, _ channels: ChannelService, _ schedules: KeptSchedules) async throws {
            let records = ports.records, now = ports.time.now(), user = bot.userId, layout = ObjectLayout(userId: user, botId: bot.botId)
            _ = try await channels.connect(bot, .web, credentials: [:], config: [:], by: .system)
            try await ports.secrets.put(SecretName("test/\(bot.botId)/telegram/c1"), Secret("s"))
            for name in ["main", "second"] {
                let session = SessionKey(botId: bot.botId, groupJid: GroupJID("web:\(name)"))
                try await records.put(Group(botId: bot.botId, groupJid: session.groupJid, userId: user, name: name, channelType: .web, isGroup: false, at: now))
                try await records.put(Session(session: session, userId: user))
                for index in 0..<30 { try await message(records, session, index, at: now) }
                let task = ScheduledTask(
                    botId: bot.botId, taskId: TaskID(ULID.make()), userId: user, groupJid: session.groupJid, prompt: "p", scheduleType: .interval, scheduleValue: "60000",
                    timezone: "UTC", contextMode: .isolated, at: now)
                try await records.put(task)
                try await schedules.put(TaskSchedule(
                    botId: bot.botId, taskId: task.taskId, userId: user, groupJid: session.groupJid, when: .interval(milliseconds: 60_000, anchor: now), timezone: "UTC"))
                for key in [layout.groupMemory(session.groupJid), layout.sessions(session.groupJid) + "t.jsonl", layout.groupVersions(session.groupJid) + "v.md"] {
                    try await ports.objects.put(try ObjectKey(checking: key), Data("x".utf8))
                }
            }
            // A conversation past the quota has messages and no record of its own.
            let stray = SessionKey(botId: bot.botId, groupJid: GroupJID("tg:99"))
            try await records.put(Session(session: stray, userId: user))
            try await message(records, stray, 0, at: now)
            for key in [layout.botMemory, layout.botVersions + "v.md", layout.learnings + "a.md", layout.botRoot + "records/big"] {
                try await ports.objects.put(try ObjectKey(checking: key), Data("x".utf8))
            }
            let later = now + 86_400 * 30
            for table in [Tables.events, Tables.denials, Tables.failures] {
                try await records.put(RecordKey(table, bot.botId.rawValue, "\(Timestamp.text(now))#x"), ["id": "x"], expiresAt: later)
            }
            try await records.put(RecordKey(Tables.events, bot.botId.rawValue, "counter"), ["next": 3])
            try await records.put(RecordKey(Tables.leases, "said/quota/\(stray.partition)/2026-01-01", "lease"), ["saidAt": "x"], expiresAt: later)
            try await records.put(
                RecordKey(Tables.idempotency, user.rawValue, "h-\(bot.botId)"), ["body": .string(#"{"botId":"\#(bot.botId)"}"#), "state": "done"], expiresAt: later)
            var letter = DeadLetter(
                id: ULID.make(), queue: .inbound, kind: "x", reason: "r",
                delivery: QueueDelivery(body: "\(bot.botId)", group: stray.partition, deduplicationID: "d", receipt: QueueReceipt("x"), receiveCount: 1, sentAt: now), at: now)
            letter.botId = bot.botId
            letter.userId = user
            try await records.put(letter)
            var used = TokenUsage()
            used.inputTokens = 10
            used.outputTokens = 5
            try await records.transact(UsageRows.booking(used, user: user, bot: bot.botId, model: "m#1", at: now))
        }

        private static func message(_ records: any RecordStore, _ session: SessionKey, _ index: Int, at now: Date) async throws {
            try await records.put(Message(
                botId: session.botId, groupJid: session.groupJid, messageId: MessageID("m-\(index)"), timestamp: now + Double(index), sender: "s", senderName: "S", content: "c",
                isBotMessage: false, channelType: .web, isGroup: false, state: .answered))
        }

        func purge() -> Purge {
            var logger = Logger(label: "test")
            logger.logLevel = .critical
            return Purge(ports: ports, bots: bots, users: users, stage: "test", logger: logger)
        }

        /// Everything in every store that names one of the ids; tombstones and the audit trail may.
        func traces(of ids: [String]) async throws -> [String] {
            func names(_ text: String) -> Bool { ids.contains { text.contains($0) } }
            var found: [String] = []
            for table in Tables.all where table != Tables.tombstones && table != Tables.audit {
                var cursor: String?
                repeat {
                    let page = try await ports.records.scan(table, limit: 100, cursor: cursor)
                    for record in page.records {
                        let text = try JSON.text(Value.object(record.document))
                        if names(record.key.partition) || names(record.key.sort) || names(text) { found.append("\(table.name)/\(record.key.partition)/\(record.key.sort)") }
                    }
                    cursor = page.cursor
                } while cursor != nil
            }
            for case .object(let info) in try await ports.objects.list("", delimiter: nil, limit: 10_000, cursor: nil).entries where names(info.key.text) { found.append(info.key.text) }
            found += try await ports.secrets.list(prefix: "").map(\.rawValue).filter(names)
            found += schedules.all.map { "\($0.botId)/\($0.taskId)" }.filter(names)
            return found
        }
    }

    @Test("SEC-125 a deleted bot's data is there until its retention has passed, then nothing of it is left, and its neighbours are whole")
    func SEC_125_bot() async throws {
        let estate = try await Estate(retention: .seconds(30 * 86_400))
        let bot = estate.goneBots[0], id = bot.botId.rawValue
        let others = try await estate.traces(of: [estate.otherBot.botId.rawValue, estate.goneBots[1].botId.rawValue]).count
        try await estate.bots.delete(bot, by: By(estate.gone.userId))
        try await estate.purge().pass()
        #expect(try await estate.ports.records.get(bot.key) != nil)
        estate.time.advance(by: .seconds(30 * 86_400 - 1))
        try await estate.purge().pass()
        #expect(try await estate.ports.records.get(bot.key) != nil)
        estate.time.advance(by: .seconds(2))
        try await estate.purge().pass()
        #expect(try await estate.traces(of: [id]) == [])
        // A month on, what expires by itself is gone everywhere; what does not is still with its owners.
        #expect(try await estate.traces(of: [estate.otherBot.botId.rawValue, estate.goneBots[1].botId.rawValue]).count > others / 2)
        let month = try await UsageReport.load(estate.gone.userId, month: "2025-10", from: estate.ports.records)
        #expect(month.total.counted == 30 && month.bots["deleted"]?.tokens == 15 && month.models["m#1"] == 30, "the owner's sums stay right")
    }

    @Test("SEC-125 a crash before any write of the purge only means that the rest comes later", arguments: [false, true])
    func SEC_125_crashes(_ wholeUser: Bool) async throws {
        var step = 0, crashes = 0
        while true {
            let estate = try await Estate(retention: .zero)
            let ids = wholeUser ? [estate.gone.userId.rawValue] + estate.goneBots.map(\.botId.rawValue) : [estate.goneBots[0].botId.rawValue]
            if wholeUser {
                try await estate.users.delete(estate.gone.userId, by: .system) {
                    try await estate.ports.records.update(User.key(estate.gone.userId), [.set("status", "deleted")])
                    try await estate.ports.records.delete(RecordKey(Tables.uniques, "email/\(estate.gone.email)", "unique"))
                }
            } else {
                try await estate.bots.delete(estate.goneBots[0], by: .system)
            }
            estate.faults.failAfter(step)
            var crashed = false
            do { try await estate.purge().pass() } catch { crashed = true }
            estate.faults.heal()
            try await estate.purge().resume()
            try await estate.purge().pass()
            #expect(try await estate.traces(of: ids) == [], "after a crash at write \(step)")
            #expect(try await estate.traces(of: [estate.otherBot.botId.rawValue]).count > 60)
            guard crashed else { break }
            crashes += 1
            // Every early write, then samples: the long middle is one batch like the other.
            step += step < 20 ? 1 : 7
        }
        #expect(crashes > 15)
    }

    @Test("SEC-125 a crash within the deletion itself is finished at the next start, before its time has come")
    func SEC_125_resume() async throws {
        for step in 0..<40 {
            let estate = try await Estate(retention: .seconds(86_400))
            estate.faults.failAfter(step)
            var account = false
            do {
                try await estate.users.delete(estate.gone.userId, by: .system) {
                    try await estate.ports.records.update(User.key(estate.gone.userId), [.set("status", "deleted")])
                    account = true
                }
            } catch {}
            estate.faults.heal()
            try await estate.purge().resume()
            let deleted = try await estate.ports.records.get(User.self, User.key(estate.gone.userId))?.status == .deleted
            #expect(deleted == account)
            for bot in estate.goneBots {
                let stored = try #require(try await estate.ports.records.get(Bot.self, bot.key))
                #expect((stored.status == .deleted) == deleted, "step \(step)")
                if deleted {
                    #expect(try await estate.bots.channels.list(bot.botId).isEmpty)
                    #expect(estate.schedules.all.filter { $0.botId == bot.botId }.isEmpty)
                }
            }
        }
    }

    @Test("SEC-126 what was written late is found by the second look, and the tombstone stays")
    func SEC_126_secondLook() async throws {
        let estate = try await Estate(retention: .zero)
        let bot = estate.goneBots[0]
        try await estate.bots.delete(bot, by: .system)
        try await estate.purge().pass()
        let late = SessionKey(botId: bot.botId, groupJid: GroupJID("web:late"))
        try await estate.ports.records.put(Session(session: late, userId: bot.userId))
        try await estate.ports.objects.put(try ObjectKey(checking: ObjectLayout(userId: bot.userId, botId: bot.botId).botRoot + "late.txt"), Data("x".utf8))
        try await estate.purge().pass()
        #expect(try await estate.traces(of: [bot.botId.rawValue]).count == 2)
        estate.time.advance(by: .seconds(901))
        try await estate.purge().pass()
        #expect(try await estate.traces(of: [bot.botId.rawValue]) == [])
        #expect(try await estate.ports.records.get(Tombstone.key(bot.botId.rawValue))?.document["state"]?.string == "done")
    }

    @Test("a refused deletion of a user leaves nothing behind")
    func refused() async throws {
        struct No: Error {}
        let estate = try await Estate(retention: .zero)
        await #expect(throws: No.self) { try await estate.users.delete(estate.gone.userId, by: .system) { throw No() } }
        #expect(try await estate.ports.records.get(Tombstone.key(estate.gone.userId.rawValue)) == nil)
        try await estate.purge().pass()
        #expect(try await estate.bots.list(estate.gone.userId, limit: 10, cursor: nil).items.count == 2)
    }
}

private struct NoNames: HostResolver { func addresses(of host: String) async throws -> [String] { [] } }

private final class KeptSchedules: Scheduler {
    private let schedules = Mutex<[String: TaskSchedule]>([:])
    var all: [TaskSchedule] { schedules.withLock { Array($0.values) } }
    func put(_ schedule: TaskSchedule) async throws { schedules.withLock { $0["\(schedule.botId)/\(schedule.taskId)"] = schedule } }
    func remove(_ botId: BotID, _ taskId: TaskID) async throws { schedules.withLock { $0["\(botId)/\(taskId)"] = nil } }
    func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {}
    func probe() async throws {}
}

/// Lets so many writes through and then none, like a process that was killed.
final class Faults: Sendable {
    struct Crash: Error {}
    private let left = Mutex<Int?>(nil)
    func failAfter(_ writes: Int) { left.withLock { $0 = writes } }
    func heal() { left.withLock { $0 = nil } }
    func write() throws {
        try left.withLock { left in
            guard let now = left else { return }
            if now == 0 { throw Crash() }
            left = now - 1
        }
    }
}

struct FaultyRecords: RecordStore {
    let inner: InMemoryRecordStore
    let faults: Faults
    func get(_ key: RecordKey) async throws -> StoredRecord? { try await inner.get(key) }
    func batchGet(_ keys: [RecordKey]) async throws -> [RecordKey: StoredRecord] { try await inner.batchGet(keys) }
    @discardableResult
    func write(_ write: RecordWrite, returning: ReturnedRecord) async throws -> StoredRecord? {
        try faults.write()
        return try await inner.write(write, returning: returning)
    }
    func transact(_ writes: [RecordWrite], token: String?) async throws {
        try faults.write()
        try await inner.transact(writes, token: token)
    }
    func query(_ query: RecordQuery) async throws -> RecordPage { try await inner.query(query) }
    func scan(_ table: Table, limit: Int, cursor: String?) async throws -> RecordPage { try await inner.scan(table, limit: limit, cursor: cursor) }
    func prepare(_ tables: [Table]) async throws {}
    func probe() async throws {}
}

struct FaultyObjects: ObjectStore {
    let inner: InMemoryObjectStore
    let faults: Faults
    func head(_ key: ObjectKey) async throws -> ObjectInfo? { try await inner.head(key) }
    func get(_ key: ObjectKey, range: Range<Int>?) async throws -> ObjectContent? { try await inner.get(key, range: range) }
    @discardableResult
    func put(_ key: ObjectKey, _ body: ByteStream, contentType: String?, if condition: ObjectCondition?) async throws -> ObjectInfo {
        try faults.write()
        return try await inner.put(key, body, contentType: contentType, if: condition)
    }
    func delete(_ key: ObjectKey, if condition: ObjectCondition?) async throws {
        try faults.write()
        try await inner.delete(key, if: condition)
    }
    func deleteAll(_ prefix: String) async throws {
        try faults.write()
        try await inner.deleteAll(prefix)
    }
    func list(_ prefix: String, delimiter: String?, limit: Int, cursor: String?) async throws -> ObjectPage {
        try await inner.list(prefix, delimiter: delimiter, limit: limit, cursor: cursor)
    }
    func signedURL(_ key: ObjectKey, method: SignedMethod, expiresIn: Duration) async throws -> URL? { nil }
    func localDirectory(_ prefix: String) async throws -> URL? { nil }
    func localFile(_ key: ObjectKey) async throws -> URL? { nil }
    func probe() async throws {}
}
