import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Erases what belonged to deleted bots and users once their retention has passed (SEC-125), and finishes deletions that a crash
/// interrupted.
///
/// Every step may be repeated and the tombstone changes last, so a crash anywhere only means doing some of it again. A quarter of an
/// hour after the first time everything is looked through once more, for what was written late by somebody who did not know yet.
/// What stays: the tombstone, and the audit trail with its own 400 days.
public struct Purge: Service {
    /// Longer than any cache of bots, and than a grant lives on after its run.
    static let secondLook: TimeInterval = 900
    private static let interval = Duration.seconds(600)

    private let ports: Ports
    private let bots: BotService
    private let users: UserDeletion
    private let stage: String
    private let logger: Logger
    private let wakes: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation
    private var records: any RecordStore { ports.records }

    public init(ports: Ports, bots: BotService, users: UserDeletion, stage: String, logger: Logger) {
        self.ports = ports; self.bots = bots; self.users = users; self.stage = stage; self.logger = logger
        (wakes, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Something was deleted: with a retention of nothing it is due.
    public func wake() { wakeUp.yield() }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await attempt { try await resume() }
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        wakeUp.yield()
                        do { try await ports.time.sleep(for: Self.interval) } catch { return }
                    }
                }
                for await _ in wakes { await attempt { try await pass() } }
                group.cancelAll()
            }
        }
    }

    private func attempt(_ work: () async throws -> Void) async {
        do { try await work() } catch is CancellationError {} catch {
            logger.error("deleted data not purged; it will be tried again", metadata: ["error": "\(error)"])
        }
    }

    /// Finishes what a crash left of deletions.
    func resume() async throws {
        for tombstone in try await tombstones(.pending, .all) {
            switch tombstone.kind {
            case .user: if try await isDeleted(tombstone) { try await users.deleteBots(of: tombstone.userId, by: .system) }
            case .bot:
                guard let bot = try await records.get(Bot.self, Bot.key(tombstone.userId, BotID(tombstone.id))), bot.status == .deleted else { continue }
                try await bots.dismantle(bot)
            }
        }
    }

    /// Purges everything that is due now.
    func pass() async throws {
        let due = RecordQuery.SortRange.atMost(Timestamp.text(ports.time.now()))
        for state in [Tombstone.State.pending, .purged] {
            let found = try await tombstones(state, due)
            guard !found.isEmpty else { continue }
            // Users first: their bots go with them, whatever their own date says.
            var bots = found.filter { $0.kind == .bot }
            var users: [Tombstone] = []
            for tombstone in found where tombstone.kind == .user {
                guard try await isDeleted(tombstone) else { continue }
                try await self.users.deleteBots(of: tombstone.userId, by: .system)
                users.append(tombstone)
                for record in try await allBots(of: tombstone.userId) where !bots.contains(where: { $0.id == record.id }) { bots.append(record) }
            }
            let loose = try await looseEnds(of: Set(bots.map(\.id) + users.map(\.id)))
            for bot in bots {
                try await purge(bot: BotID(bot.id), of: bot.userId, loose)
                try await advance(bot, from: bot.state)
            }
            for user in users {
                try await purge(user: user.userId)
                try await advance(user, from: state)
            }
        }
    }

    // MARK: Tombstones

    private func tombstones(_ state: Tombstone.State, _ range: RecordQuery.SortRange) async throws -> [Tombstone] {
        var query = RecordQuery(Tables.tombstones, index: Tables.purgeIndex, partition: state.rawValue, sort: range, limit: 200)
        var found: [Tombstone] = []
        repeat {
            let page = try await records.query(query)
            for record in page.records {
                guard let kind = record.document["kind"]?.string.flatMap(Tombstone.Kind.init), let purgeAt = record.document["purgeAt"]?.string.flatMap(Timestamp.date)
                else { continue }
                let owner = kind == .user ? record.key.partition : record.document["userId"]?.string ?? ""
                var tombstone = Tombstone(
                    kind, record.key.partition, userId: UserID(owner), at: record.document["deletedAt"]?.string.flatMap(Timestamp.date) ?? purgeAt, purgeAt: purgeAt)
                tombstone.state = state
                found.append(tombstone)
            }
            query.cursor = page.cursor
        } while query.cursor != nil
        return found
    }

    /// A user's tombstone is written before the account ends. One whose account lives on is what a refused deletion left.
    private func isDeleted(_ tombstone: Tombstone) async throws -> Bool {
        guard let user = try await records.get(User.self, User.key(tombstone.userId)), user.status != .deleted else { return true }
        if let at = tombstone.deletedAt, ports.time.now().timeIntervalSince(at) > 3600 { try await records.delete(tombstone.key) }
        return false
    }

    private func allBots(of user: UserID) async throws -> [Tombstone] {
        try await records.all(Bot.self, RecordQuery(Tables.bots, partition: user.rawValue, limit: 200)).map {
            Tombstone(.bot, $0.botId.rawValue, userId: user, at: ports.time.now(), purgeAt: ports.time.now())
        }
    }

    private func advance(_ tombstone: Tombstone, from state: Tombstone.State) async throws {
        let next: [Change] = state == .pending
            ? [.set("state", .string(Tombstone.State.purged.rawValue)), .set("purgeAt", .string(Timestamp.text(ports.time.now() + Self.secondLook)))]
            : [.set("state", .string(Tombstone.State.done.rawValue))]
        do { try await records.update(tombstone.key, next, if: .equals("state", .value(.string(state.rawValue)))) } catch RecordStoreError.conditionFailed {
            // Another node was first.
        }
        logger.info("deleted data purged", metadata: ["kind": "\(tombstone.kind)", "id": "\(tombstone.id)", "state": "\(state)"])
    }

    // MARK: Data

    /// Records whose keys begin with an id or hold one, where no index leads to them: conversations without a group record, and
    /// short-lived notes. Both tables are small beside the messages.
    private struct LooseEnds: Sendable { var sessions: [String: [String]] = [:]; var notes: [String: [RecordKey]] = [:] }

    private func looseEnds(of ids: Set<String>) async throws -> LooseEnds {
        var loose = LooseEnds()
        try await walk(Tables.sessions) { record in
            guard let session = SessionKey(partition: record.key.partition), ids.contains(session.botId.rawValue) else { return }
            loose.sessions[session.botId.rawValue, default: []].append(record.key.partition)
        }
        try await walk(Tables.leases) { record in
            for id in ids where record.key.partition.contains(id) { loose.notes[id, default: []].append(record.key) }
        }
        return loose
    }

    private func walk(_ table: Table, _ body: (StoredRecord) -> Void) async throws {
        var cursor: String?
        repeat {
            let page = try await records.scan(table, limit: 500, cursor: cursor)
            page.records.forEach(body)
            cursor = page.cursor
        } while cursor != nil
    }

    private func purge(bot id: BotID, of user: UserID, _ loose: LooseEnds) async throws {
        if let bot = try await records.get(Bot.self, Bot.key(user, id)) { try await bots.dismantle(bot) }
        try await ports.secrets.deleteAll(prefix: "\(stage)/\(id.rawValue)/")
        for task in try await records.all(ScheduledTask.self, RecordQuery(Tables.tasks, partition: id.rawValue, limit: 200)) {
            try await ports.scheduler.remove(id, task.taskId)
        }
        try await delete(RecordQuery(Tables.tasks, partition: id.rawValue))
        let groups = try await records.all(Group.self, RecordQuery(Tables.groups, partition: id.rawValue, limit: 200)).map(\.session.partition)
        for partition in Set(groups + (loose.sessions[id.rawValue] ?? [])) {
            try await delete(RecordQuery(Tables.messages, partition: partition))
            try await delete(RecordQuery(Tables.sessions, partition: partition))
        }
        // After their messages: they are the way to them.
        try await delete(RecordQuery(Tables.groups, partition: id.rawValue))
        for table in [Tables.events, Tables.denials, Tables.failures] { try await delete(RecordQuery(table, partition: id.rawValue)) }
        try await delete(RecordQuery(Tables.deadLetters, index: Tables.deadLetterBotIndex, partition: id.rawValue))
        for key in loose.notes[id.rawValue] ?? [] { try await records.delete(key) }
        try await ports.objects.deleteAll(ObjectLayout(userId: user, botId: id).botRoot)
        try await foldUsage(of: id, user)
        // Stored answers of repeated requests.
        try await delete(
            RecordQuery(Tables.idempotency, partition: user.rawValue, filter: .or([.contains("body", .value(.string(id.rawValue))), .contains("location", .value(.string(id.rawValue)))])))
        try await records.delete(Bot.key(user, id))
    }

    private func purge(user: UserID) async throws {
        try await ports.secrets.deleteAll(prefix: "\(stage)/\(user.rawValue)/")
        for rule in try await records.all(ProxyRule.self, RecordQuery(Tables.proxyRules, partition: user.rawValue, limit: 200)) {
            try await records.transact([.delete(rule.key), .delete(UniqueName.proxyPrefix(user, rule.prefix))])
        }
        try await ports.objects.deleteAll("\(user.rawValue)/")
        for table in [Tables.usage, Tables.idempotency] { try await delete(RecordQuery(table, partition: user.rawValue)) }
        try await delete(RecordQuery(Tables.refreshTokens, index: Tables.tokenUserIndex, partition: user.rawValue))
        try await records.delete(User.key(user))
    }

    /// The owner's sums stay right: what the bot used is booked under no bot any more.
    private func foldUsage(of bot: BotID, _ user: UserID) async throws {
        var query = RecordQuery(Tables.usage, partition: user.rawValue, limit: 500)
        repeat {
            let page = try await records.query(query)
            for record in page.records {
                let parts = record.key.sort.split(separator: "#", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
                guard parts.count == 3, parts[1] == bot.rawValue else { continue }
                let sums = record.document.compactMap { name, value in value.int.map { Change.add(Path(elements: [.name(name)]), $0) } }
                do {
                    try await records.transact([
                        .update(RecordKey(Tables.usage, user.rawValue, "\(parts[0])#deleted#\(parts[2])"), sums, orCreate: true, expiresAt: record.expiresAt),
                        .delete(record.key, if: .recordExists),
                    ])
                } catch RecordStoreError.conditionFailed {
                    // Folded by another node.
                }
            }
            query.cursor = page.cursor
        } while query.cursor != nil
    }

    private func delete(_ query: RecordQuery) async throws {
        var query = query
        query.limit = 200
        repeat {
            let page = try await records.query(query)
            for start in stride(from: 0, to: page.records.count, by: RecordLimits.maxWrites) {
                try await records.transact(page.records[start..<min(start + RecordLimits.maxWrites, page.records.count)].map { .delete($0.key) })
            }
            query.cursor = page.cursor
        } while query.cursor != nil
    }
}
