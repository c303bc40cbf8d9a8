import Foundation
import Logging
import Platform

/// What a start on restored data does before anybody is served.
///
/// A backup is a moment of the past, and what happened after it is unknown here: people may have been deleted, sessions ended,
/// messages answered, reminders sent. So
/// - deletions that are known from later are carried out again (SEC-128), and every signed-in session ends;
/// - what was under way on a messaging channel is not sent a second time: such messages are stopped and kept as dead letters
///   with the reason, for an operator to send again. Web chat goes on by itself: its answers are nowhere but in this data;
/// - tasks of those channels that were due since the backup are passed over.
///
/// Where the source is known to have stopped before the backup (a move), everything goes on as after a crash: ``Mode/resume``.
///
/// Repeatable: the mark goes last.
public struct Restoration: Sendable {
    public enum Mode: String, Sendable { case hold, resume }
    public struct Outcome: Sendable, Equatable {
        public var deletions = 0
        public var held = 0
        public var skippedTasks = 0
        public init() {}
    }
    public static let heldReason = "It was under way when the backup was made that this data was restored from. Whether it was handled after that is not known here: send it again if it was not."

    private let plane: ControlPlane
    private let bots: BotService
    private let tasks: TaskService
    private let deleteUser: @Sendable (UserID) async throws -> Void
    private let logger: Logger
    private var records: any RecordStore { plane.foundation.ports.records }
    private var time: any TimeSource { plane.foundation.ports.time }

    /// - Parameter deleteUser: ends a user's account; an unknown or deleted one is fine.
    public init(
        plane: ControlPlane, bots: BotService, tasks: TaskService, logger: Logger, deleteUser: @escaping @Sendable (UserID) async throws -> Void
    ) {
        self.plane = plane; self.bots = bots; self.tasks = tasks; self.logger = logger; self.deleteUser = deleteUser
    }

    private static let markKey = RecordKey(Tables.settings, "platform", "restored")

    /// Notes in restored data what its next start has to do.
    public static func mark(_ records: any RecordStore, mode: Mode, deletions: [Deletion], takenAt: Date?, at now: Date) async throws {
        for deletion in deletions {
            var document: Document = [
                "state": .string(Deletion.replayState), "kind": .string(deletion.kind.rawValue), "purgeAt": .string(Timestamp.text(deletion.purgeAt)),
            ]
            if let user = deletion.userId { document["userId"] = .string(user) }
            do {
                try await records.put(RecordKey(Tables.tombstones, deletion.id, "tombstone"), document, if: .recordAbsent)
            } catch RecordStoreError.conditionFailed {
                // The restored data knows of it.
            }
        }
        var mark: Document = ["mode": .string(mode.rawValue), "restoredAt": .string(Timestamp.text(now))]
        if let takenAt { mark["takenAt"] = .string(Timestamp.text(takenAt)) }
        try await records.put(markKey, mark)
    }

    /// - Returns: nil when this data was not restored since its last start.
    public func run() async throws -> Outcome? {
        guard let mark = try await records.get(Self.markKey) else { return nil }
        var outcome = Outcome()
        outcome.deletions = try await replayDeletions()
        try await endSessions()
        if mark.document["mode"]?.string != Mode.resume.rawValue {
            outcome.held = try await holdInbound() + holdReplies()
            outcome.skippedTasks = try await skipTasks()
        }
        try await records.delete(Self.markKey)
        logger.notice("restored data taken up", metadata: [
            "mode": .string(mark.document["mode"]?.string ?? "?"), "deletions": "\(outcome.deletions)", "held": "\(outcome.held)", "skippedTasks": "\(outcome.skippedTasks)",
        ])
        return outcome
    }

    // MARK: Deletions

    private func replayDeletions() async throws -> Int {
        var count = 0
        while true {
            let page = try await records.query(RecordQuery(Tables.tombstones, index: Tables.purgeIndex, partition: Deletion.replayState, limit: 100))
            if page.records.isEmpty { return count }
            for record in page.records {
                let id = record.key.partition
                switch record.document["kind"]?.string.flatMap(Deletion.Kind.init) {
                case .bot: if try await deleteBot(BotID(id)) { count += 1 }
                case .user:
                    for bot in try await records.all(Bot.self, RecordQuery(Tables.bots, partition: id, filter: .notEquals("status", "deleted"), limit: 100)) {
                        try await bots.delete(bot, by: .system)
                    }
                    if let user = try await records.get(User.self, User.key(UserID(id))), user.status != .deleted {
                        try await deleteUser(user.userId)
                        count += 1
                    }
                case nil: break
                }
                // The data goes when it was to go, not as many days later as the restore came late.
                var document = record.document
                document["state"] = "pending"
                try await records.put(record.key, document)
            }
        }
    }

    private func deleteBot(_ id: BotID) async throws -> Bool {
        let found = try await records.query(Bot.self, RecordQuery(Tables.bots, index: Tables.botIdIndex, partition: id.rawValue, limit: 1)).items.first
        guard let bot = found, bot.status != .deleted else { return false }
        try await bots.delete(bot, by: .system)
        return true
    }

    /// A session that was ended after the backup, for whatever reason, must not live again.
    private func endSessions() async throws {
        while true {
            let page = try await records.scan(Tables.refreshTokens, limit: 200, cursor: nil)
            if page.records.isEmpty { return }
            for record in page.records { try await records.delete(record.key) }
        }
    }

    // MARK: What was under way

    private static func isExternal(_ group: GroupJID) -> Bool { !group.rawValue.hasPrefix("web:") }

    /// Takes every delivery of a queue whose conversation is on a messaging channel; the others keep their place.
    private func drain(_ queue: any MessageQueue, _ take: (QueueDelivery) async throws -> Bool) async throws -> Int {
        var kept: [QueueReceipt] = [], held = 0
        while true {
            let deliveries = try await queue.receive(max: 10, wait: .zero, visibility: .seconds(3600))
            if deliveries.isEmpty { break }
            for delivery in deliveries {
                let group = delivery.body.utf8.isEmpty ? nil : (try? JSON.value(Data(delivery.body.utf8)))?["groupJid"]?.string.map { GroupJID($0) }
                guard let group, Self.isExternal(group) else {
                    kept.append(delivery.receipt)
                    continue
                }
                if try await take(delivery) { held += 1 }
                try await queue.acknowledge(delivery.receipt)
            }
        }
        for receipt in kept { try await queue.release(receipt, after: .zero) }
        return held
    }

    private func holdInbound() async throws -> Int {
        try await drain(plane.foundation.ports.inbound) { delivery in
            switch InboundPayload.read(delivery.body) {
            case .message(let payload):
                let key = Message.key(payload.session, payload.timestamp, payload.messageId)
                guard let message = try await records.get(Message.self, key), !message.state.isSettled else { return false }
                try await bury(delivery, .inbound, "inbound_message")
                try await stopRun(payload.session)
                try await stop(MessageRef(messageId: payload.messageId, timestamp: payload.timestamp), in: payload.session)
                return true
            case .task(let payload):
                try await stopRun(payload.session)
                try await plane.settlement.tasks.completeFire(
                    payload.botId, payload.taskId, scheduledFor: payload.scheduledFor, outcome: .skipped, result: Self.heldReason)
                return true
            case nil:
                try await bury(delivery, .inbound, "unreadable")
                return true
            }
        }
    }

    private func holdReplies() async throws -> Int {
        try await drain(plane.foundation.ports.replies) { delivery in
            if let reply = try? JSON.decode(ReplyPayload.self, from: delivery.body) {
                if try await MessageLookup(records: records).message(reply.messageId, in: reply.session) != nil { return false }
                try await stopRun(reply.session)
                if case .messages(let references, _) = reply.settles { for reference in references { try await stop(reference, in: reply.session) } }
            }
            try await bury(delivery, .replies, "reply")
            return true
        }
    }

    private func bury(_ delivery: QueueDelivery, _ queue: DeadLetter.Queue, _ kind: String) async throws {
        try await plane.deadLetters.bury(delivery, from: queue, kind: kind, reason: Self.heldReason)
    }

    private func stopRun(_ session: SessionKey) async throws {
        guard let run = try await records.get(Session.self, Session.key(session))?.run else { return }
        try await plane.settlement.settle(session, invocation: run.invocationId, .stopped)
    }

    private func stop(_ reference: MessageRef, in session: SessionKey) async throws {
        let writes = try await Settlement.stateWrites([reference], in: session, .stopped, invocation: nil, records: records, at: time.now())
        if !writes.isEmpty { try await records.transact(writes) }
    }

    private func skipTasks() async throws -> Int {
        let now = time.now()
        var cursor: String?, count = 0
        repeat {
            let page = try await records.scan(Tables.tasks, limit: 200, cursor: cursor)
            for record in page.records {
                let task = try ScheduledTask(record: record)
                guard task.status == .active, Self.isExternal(task.groupJid), let due = task.nextRun, due <= now else { continue }
                try await plane.settlement.tasks.completeFire(
                    task.botId, task.taskId, scheduledFor: due, outcome: .skipped, result: "Passed over: it was due between the backup and its restore.")
                if let after = try await records.get(ScheduledTask.self, task.key), after.status == .active {
                    try await plane.foundation.ports.scheduler.put(tasks.schedule(after))
                } else {
                    try await plane.foundation.ports.scheduler.remove(task.botId, task.taskId)
                }
                count += 1
            }
            cursor = page.cursor
        } while cursor != nil
        return count
    }
}
