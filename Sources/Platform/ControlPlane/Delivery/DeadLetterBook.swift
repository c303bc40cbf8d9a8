import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Messages that could not be handled, as records: listed, sent again or deleted by an operator. The same on every backend,
/// because the queues' own dead-letter queues are drained into it.
public struct DeadLetterBook: Sendable {
    let records: any RecordStore
    let inbound: any MessageQueue
    let replies: any MessageQueue
    let time: any TimeSource
    var observer: Observer = { _ in }

    public init(records: any RecordStore, inbound: any MessageQueue, replies: any MessageQueue, time: any TimeSource) {
        self.records = records; self.inbound = inbound; self.replies = replies; self.time = time
    }

    /// Keeps a delivery that will not be handled; the caller acknowledges it afterwards. Repeatable: the id is derived.
    @discardableResult
    func bury(_ delivery: QueueDelivery, from queue: DeadLetter.Queue, kind: String, reason: String) async throws -> DeadLetter {
        let id = ULID.make(at: delivery.sentAt, entropy: Digest.sha256("\(queue.rawValue)\n\(delivery.deduplicationID)"))
        var letter = DeadLetter(id: id, queue: queue, kind: kind, reason: reason, delivery: delivery, at: time.now())
        if let body = try? JSON.value(Data(delivery.body.utf8)) {
            letter.userId = body["userId"]?.string.map { UserID($0) }
            letter.botId = body["botId"]?.string.map { BotID($0) }
            letter.groupJid = body["groupJid"]?.string.map { GroupJID($0) }
        }
        // Of what was deleted nothing is kept, not even that.
        if let bot = letter.botId, try await Tombstone.exists(bot.rawValue, in: records) { return letter }
        try await records.put(letter)
        observer(.dead(queue))
        return letter
    }

    /// Newest first, without bodies.
    public func list(queue: DeadLetter.Queue?, limit: Int, cursor: String?) async throws -> (items: [DeadLetter], cursor: String?) {
        try await records.query(
            DeadLetter.self,
            RecordQuery(
                Tables.deadLetters, partition: "platform", filter: queue.map { .equals("queue", .value(.string($0.rawValue))) }, descending: true,
                limit: limit, cursor: cursor))
    }

    /// Sends a letter again under its own keys, its message `queued` again; it is still answered at most once. False = no such letter.
    public func redrive(_ id: String, by: By) async throws -> Bool {
        guard let letter = try await records.get(DeadLetter.self, DeadLetter.key(id)) else { return false }
        let attempt = Int(time.now().timeIntervalSince1970)
        switch letter.queue {
        case .inbound:
            if case .message(let payload) = InboundPayload.read(letter.body) {
                let key = Message.key(payload.session, payload.timestamp, payload.messageId)
                do {
                    try await records.update(key, [.set("state", "queued"), .remove("failure")], if: .notEquals("state", "answered"))
                } catch RecordStoreError.conditionFailed {
                    // Answered meanwhile, or purged: the redelivery will find that out too.
                }
            }
            try await inbound.send(letter.body, group: letter.group, deduplicationID: "\(letter.deduplicationID)#redrive-\(attempt)")
        case .replies:
            var body = letter.body
            if var reply = try? JSON.decode(ReplyPayload.self, from: letter.body) {
                // Its run was settled when the reply was given up; what is left is to bring the text.
                if case .run = reply.settles { reply.settles = .nothing }
                let stored = try await MessageLookup(records: records).message(reply.messageId, in: reply.session)
                if let stored, stored.state == .failed { try await records.delete(stored.key) }
                body = try JSON.text(reply)
            }
            try await replies.send(body, group: letter.group, deduplicationID: "\(letter.deduplicationID)#redrive-\(attempt)")
        }
        return try await forget(id, by.entry("dead-letter.redriven", trail: AuditEntry.platform, target: id, at: time.now()))
    }

    /// False = no such letter.
    public func delete(_ id: String, by: By) async throws -> Bool {
        try await forget(id, by.entry("dead-letter.deleted", trail: AuditEntry.platform, target: id, at: time.now()))
    }

    private func forget(_ id: String, _ entry: AuditEntry) async throws -> Bool {
        do {
            try await AuditTrail(records: records).transact([.delete(DeadLetter.key(id), if: .recordExists)], entry)
            return true
        } catch RecordStoreError.conditionFailed { return false }
    }
}

/// Empties the queues' own dead-letter queues: settles the message as failed, tells the user, keeps a record.
public struct DeadLetterDrain: Service {
    let book: DeadLetterBook
    let records: any RecordStore
    let answers: PlatformAnswers
    let settlement: Settlement
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for (queue, name) in [(book.inbound.deadLetters, DeadLetter.Queue.inbound), (book.replies.deadLetters, .replies)] {
                    guard let queue else { continue }
                    group.addTask { await drain(queue, name) }
                }
            }
        }
    }

    private func drain(_ queue: any MessageQueue, _ name: DeadLetter.Queue) async {
        while !Task.isCancelled {
            do {
                for delivery in try await queue.receive(max: 10, wait: .seconds(20), visibility: .seconds(60)) {
                    try await take(delivery, name)
                    try await queue.acknowledge(delivery.receipt)
                }
            } catch is CancellationError {
                return
            } catch {
                logger.error("dead-letter queue not drained", metadata: ["queue": "\(name)", "error": "\(error)"])
                try? await time.sleep(for: .seconds(5))
            }
        }
    }

    private func take(_ delivery: QueueDelivery, _ name: DeadLetter.Queue) async throws {
        logger.error("message is dead", metadata: ["queue": "\(name)", "receives": "\(delivery.receiveCount)"])
        try await book.bury(delivery, from: name, kind: name == .inbound ? "inbound_message" : "reply", reason: "It failed \(QueueLimits.maxReceives) times.")
        switch name {
        case .inbound:
            guard case .message(let payload) = InboundPayload.read(delivery.body),
                let message = try await records.get(Message.self, Message.key(payload.session, payload.timestamp, payload.messageId)), !message.state.isSettled
            else { return }
            try await answers.answer(message, userId: payload.userId, FailureCode.agentFailed.sentence, code: "dead", failure: .agentFailed)
        case .replies:
            guard let reply = try? JSON.decode(ReplyPayload.self, from: delivery.body), case .run(let invocation) = reply.settles else { return }
            try await settlement.settle(reply.session, invocation: invocation, .failed(.channelFailed))
        }
    }
}
