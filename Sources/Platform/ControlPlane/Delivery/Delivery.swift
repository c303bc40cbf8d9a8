import Channels
import Foundation
import Logging
import Platform

/// One reply's way to its channel: rendered, sent chunk by chunk with what was sent on record, stored, and, where it is a final
/// one, settled. Every step may be repeated after a crash.
public struct Delivery: Sendable {
    let records: any RecordStore
    let objects: any ObjectStore
    let channels: ChannelRegistry
    let directory: Directory
    let events: EventLog
    let settlement: Settlement
    let deadLetters: DeadLetterBook
    let health: any ChannelAlarm
    let time: any TimeSource
    let logger: Logger

    func deliver(_ reply: ReplyPayload, _ item: QueueDelivery) async throws {
        guard let bot = try await directory.bot(reply.botId) else {
            // Deleted meanwhile: nobody may hear from it any more, and nothing more is written than the end of its run.
            if case .run(let invocation) = reply.settles { try await settlement.settle(reply.session, invocation: invocation, .stopped) }
            return
        }
        guard bot.userId == reply.userId else {
            try await deadLetters.bury(item, from: .replies, kind: "forged", reason: "The reply names an owner that the bot does not have.")
            return
        }
        let session = try await records.get(Session.self, Session.key(reply.session))
        var run: Run?
        if case .run(let invocation) = reply.settles {
            guard let current = session?.run, current.invocationId == invocation else { return }
            run = current
            if current.stopped && current.final == nil {
                try await settlement.settle(reply.session, invocation: invocation, .stopped)
                return
            }
        } else {
            if let invocation = reply.invocationId, let current = session?.run, current.invocationId == invocation, current.stopped { return }
            if try await MessageLookup(records: records).message(reply.messageId, in: reply.session) != nil { return }
        }
        let outcome: Settlement.Outcome = run?.final?.errorCode.map { .failed($0) } ?? .answered
        if reply.text.isEmpty && reply.file == nil {
            try await conclude(reply, nil, outcome)
            return
        }
        var message = Message(
            botId: reply.botId, groupJid: reply.groupJid, messageId: reply.messageId, timestamp: time.now(), sender: reply.botId.rawValue,
            senderName: bot.name, content: reply.file.map { $0.caption ?? "" } ?? reply.text, isBotMessage: true, channelType: reply.channelType,
            isGroup: false, state: .sent)
        message.invocationId = reply.invocationId
        if let file = reply.file {
            message.attachments = [Attachment(
                index: 0, type: Attachment.Kind(mimeType: file.mimeType), fileName: file.fileName, mimeType: file.mimeType, size: file.size, objectKey: file.objectKey)]
        }
        if reply.channelType == .web {
            try await conclude(reply, message, outcome)
            return
        }
        do {
            var prepared: Settlement.Prepared?
            if case .run(let invocation) = reply.settles {
                prepared = try await settlement.prepare(reply.session, invocation: invocation, outcome, reply: message)
                // Settled since we looked.
                if prepared == nil { return }
            }
            try await send(reply, session?.delivery, item)
            try await conclude(reply, message, outcome, prepared)
        } catch let loss as Undeliverable {
            message.state = .failed
            message.failure = .channelFailed
            try await giveUp(reply, message, item, loss.reason)
        }
    }

    /// Stores the bot's message and ends what the reply ends, in one write.
    private func conclude(
        _ reply: ReplyPayload, _ message: Message?, _ outcome: Settlement.Outcome, _ prepared: Settlement.Prepared? = nil
    ) async throws {
        switch reply.settles {
        case .run(let invocation):
            try await settlement.settle(reply.session, invocation: invocation, outcome, reply: message, prepared: prepared)
            await acknowledgeOnChannel(reply)
        case .messages(let references, let failure):
            let ended: Settlement.Outcome = outcome == .stopped ? .stopped : failure.map { .failed($0) } ?? outcome
            try await store(reply, message, ending: references, as: ended)
        case .nothing: try await store(reply, message, ending: [], as: outcome)
        }
    }

    private func store(_ reply: ReplyPayload, _ message: Message?, ending references: [MessageRef], as outcome: Settlement.Outcome) async throws {
        let now = time.now()
        var writes = try await Settlement.stateWrites(references, in: reply.session, outcome, invocation: nil, records: records, at: now)
        if let message { writes.append(try message.putting()) }
        if try await records.get(Session.self, Session.key(reply.session))?.delivery?.messageId == reply.messageId {
            writes.append(.update(Session.key(reply.session), [.remove("delivery")]))
        }
        var entries: [EventLog.Entry] = []
        if ChatEvents.watches(reply.groupJid) {
            if let message { entries.append(try ChatEvents.message(message)) }
            if !references.isEmpty { entries.append(ChatEvents.status(reply.groupJid, outcome.chatState, nil, at: now)) }
        }
        try await events.append(entries, to: reply.botId, with: writes)
    }

    // MARK: Sending

    private struct Undeliverable: Error { var reason: String }

    private func send(_ reply: ReplyPayload, _ progress: DeliveryProgress?, _ item: QueueDelivery) async throws {
        guard let adapter = channels[reply.channelType], let channel = try await directory.channel(reply.botId, reply.channelType) else {
            throw Undeliverable(reason: "The bot is not connected to this channel any more.")
        }
        let group = try await records.get(Group.self, Group.key(reply.session))
            ?? Group(
                botId: reply.botId, groupJid: reply.groupJid, userId: reply.userId, name: "", channelType: reply.channelType, isGroup: false, at: time.now())
        var target = ReplyTarget(
            channel: channel, groupJid: group.migratedTo ?? reply.groupJid, isGroup: group.isGroup, replyContext: reply.replyContext, isFirstChunk: true)
        var sent = progress?.messageId == reply.messageId ? progress?.sent ?? [] : []
        if let file = reply.file {
            guard sent.isEmpty else { return }
            guard let content = try await objects.bytes(file.objectKey, limit: adapter.capabilities.maxFileBytes) else {
                throw Undeliverable(reason: "The file to send does not exist any more.")
            }
            let outbound = OutboundFile(name: file.fileName, mimeType: file.mimeType, caption: file.caption, content: content)
            let id = try await attempt(reply, &target, item) { target throws(SendFailure) in
                try await adapter.sendFile(outbound, to: target, key: "\(reply.messageId)-0")
            }
            try await note(reply, sent: [id])
            return
        }
        let chunks = adapter.render(reply.text, for: group)
        for (index, chunk) in chunks.enumerated() where index >= sent.count {
            target.isFirstChunk = index == 0
            let id = try await sendChunk(chunk, index, reply, &target, item, adapter)
            sent.append(id)
            // Before the next chunk: a crash here repeats at most this one.
            if index + 1 < chunks.count || reply.settles.isNothing { try await note(reply, sent: sent) }
        }
    }

    private func sendChunk(
        _ chunk: Chunk, _ index: Int, _ reply: ReplyPayload, _ target: inout ReplyTarget, _ item: QueueDelivery, _ adapter: any ChannelAdapter
    ) async throws -> String {
        let key = "\(reply.messageId)-\(index)"
        if let file = chunk.file {
            let outbound = OutboundFile(name: file.name, mimeType: "text/markdown", caption: nil, content: file.content)
            return try await attempt(reply, &target, item) { target throws(SendFailure) in try await adapter.sendFile(outbound, to: target, key: key) }
        }
        do {
            return try await attempt(reply, &target, item) { target throws(SendFailure) in try await adapter.send(chunk, to: target, key: key) }
        } catch SendFailure.badFormat {
            logger.notice("chunk sent as plain text", metadata: ["bot": "\(reply.botId)", "channel": "\(reply.channelType)"])
            return try await attempt(reply, &target, item) { target throws(SendFailure) in try await adapter.send(chunk.unformatted, to: target, key: key) }
        } catch SendFailure.tooLong {
            // The vendor counts otherwise than we do. The pieces stand for this one chunk: the last one's id is what is recorded.
            var last = ""
            for (number, piece) in adapter.resplit(chunk).enumerated() {
                last = try await attempt(reply, &target, item) { target throws(SendFailure) in
                    try await adapter.send(piece, to: target, key: "\(key)-\(number)")
                }
            }
            return last
        }
    }

    /// One send with its waits and retries. `.badFormat` and `.tooLong` are the caller's; what is final becomes ``Undeliverable``.
    private func attempt(
        _ reply: ReplyPayload, _ target: inout ReplyTarget, _ item: QueueDelivery, _ send: (ReplyTarget) async throws(SendFailure) -> String
    ) async throws -> String {
        var failures = 0, unanswered = 0
        while true {
            do {
                return try await send(target)
            } catch {
                switch error {
                case .retry(let after?, _):
                    guard after <= .seconds(3600) else { throw ReleaseDelivery(delay: after) }
                    try await time.sleep(for: after)
                case .retry(nil, let maybeDelivered):
                    failures += 1
                    if maybeDelivered { unanswered += 1 }
                    // Without an idempotency key a send that may have arrived is repeated once, not five times.
                    if failures >= 5 || unanswered > 1 { throw ReleaseDelivery(delay: .seconds(60)) }
                    try await time.sleep(for: Duration(seconds: Double.random(in: 0.5...1) * pow(2, Double(failures - 1))))
                case .badFormat, .tooLong:
                    failures += 1
                    if failures >= 3 { throw Undeliverable(reason: "The channel refuses the text in every form.") }
                    throw error
                case .replyTargetGone:
                    failures += 1
                    guard target.isFirstChunk, failures < 3 else { throw Undeliverable(reason: "What the reply answers is gone.") }
                    target.isFirstChunk = false
                    target.replyContext = nil
                case .moved(let group):
                    failures += 1
                    guard failures < 3 else { throw Undeliverable(reason: "The conversation moved again and again.") }
                    try await records.update(Group.key(reply.session), [.set("migratedTo", .string(group.rawValue))])
                    target.groupJid = group
                case .conversationGone(let reason):
                    do { try await records.update(Group.key(reply.session), [.set("disconnected", true)]) } catch RecordStoreError.conditionFailed {
                        // The conversation has no record any more.
                    }
                    throw Undeliverable(reason: reason)
                case .channelBroken(let reason):
                    await health.broken(target.channel.channel, reason: reason)
                    failures += 1
                    if failures >= 3 { throw Undeliverable(reason: reason) }
                    try await time.sleep(for: .seconds(1))
                    if let fresh = try await directory.channel(reply.botId, reply.channelType) { target.channel = fresh }
                case .rejected(let reason): throw Undeliverable(reason: reason)
                }
            }
        }
    }

    private func note(_ reply: ReplyPayload, sent: [String]) async throws {
        let value = Value.object(try DocumentCoder.encode(DeliveryProgress(messageId: reply.messageId, sent: sent)))
        do {
            try await records.update(Session.key(reply.session), [.set("delivery", value)])
        } catch RecordStoreError.conditionFailed {
            var session = Session(session: reply.session, userId: reply.userId)
            session.delivery = DeliveryProgress(messageId: reply.messageId, sent: sent)
            try await records.put(session, if: .recordAbsent)
        }
    }

    /// A reply that cannot be delivered is kept as a dead letter; its run is settled all the same.
    private func giveUp(_ reply: ReplyPayload, _ message: Message, _ item: QueueDelivery, _ reason: String) async throws {
        logger.warning("reply undeliverable", metadata: ["bot": "\(reply.botId)", "channel": "\(reply.channelType)", "reason": "\(reason)"])
        try await deadLetters.bury(item, from: .replies, kind: reply.type.rawValue, reason: reason)
        try await conclude(reply, message, .failed(.channelFailed))
    }

    private func acknowledgeOnChannel(_ reply: ReplyPayload) async {
        guard let adapter = channels[reply.channelType], adapter.capabilities.acknowledges,
            let channel = try? await directory.channel(reply.botId, reply.channelType)
        else { return }
        await adapter.setActivity(
            .finished,
            target: ReplyTarget(channel: channel, groupJid: reply.groupJid, isGroup: false, replyContext: reply.replyContext, isFirstChunk: true))
    }
}

extension ReplyPayload.Settles {
    var isNothing: Bool { if case .nothing = self { true } else { false } }
}

/// Told when a vendor refuses a channel's credentials while sending.
public protocol ChannelAlarm: Sendable {
    func broken(_ channel: Channel, reason: String) async
}
