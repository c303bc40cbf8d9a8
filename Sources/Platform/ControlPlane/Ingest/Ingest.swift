import Channels
import Foundation
import Logging
import Platform

/// Where messages come in, from whatever channel: verified, normalised, stored once, queued, and only then acknowledged.
///
/// The order is the promise: persist, then enqueue, then answer. A repeat finds the stored message and, while it is not settled,
/// enqueues it again (the queue drops the duplicate), so a crash between the two steps is healed by the provider's retry.
public struct Ingest: InboundSink {
    let records: any RecordStore
    let inbound: any MessageQueue
    let directory: Directory
    let groups: GroupRegistry
    let channels: ChannelRegistry
    let events: EventLog
    let answers: PlatformAnswers
    let side: SideDoor
    let loops: LoopGuard
    let time: any TimeSource
    let logger: Logger
    var observer: Observer = { _ in }

    // MARK: Webhooks

    /// Verifies a webhook over its raw bytes before anything acts on it, and takes in what it brings.
    public func webhook(type: ChannelType, botId: BotID, request: WebhookRequest) async throws(IngestError) -> WebhookAnswer {
        let parsed: ParsedWebhook, channel: ConnectedChannel
        do {
            guard let adapter = channels[type], try await directory.bot(botId) != nil, let found = try await directory.channel(botId, type),
                found.channel.connectionMode == .webhook
            else { throw IngestError.notFound }
            channel = found
            let event = try adapter.verify(request, for: channel, at: time.now())
            parsed = try adapter.parse(event, for: channel)
        } catch let error as IngestError { throw error } catch WebhookRefusal.secretMissing {
            await markUnverifiable(botId, type)
            throw .unverified
        } catch WebhookRefusal.unverified { throw .unverified } catch WebhookRefusal.malformed { throw .malformed } catch {
            throw .unavailable("\(error)")
        }
        do {
            for event in parsed.events { try await accept(event, from: channel) }
            if parsed.provesConnection, channel.channel.status == .pendingWebhook { try await markConnected(channel.channel) }
        } catch { throw .unavailable("\(error)") }
        return parsed.answer
    }

    private func markUnverifiable(_ botId: BotID, _ type: ChannelType) async {
        guard let channel = try? await directory.channel(botId, type)?.channel else { return }
        do {
            try await records.update(
                channel.key, [.set("status", "error"), .set("statusDetail", "The channel's signing secret is missing; enter the credentials again.")],
                if: .notEquals("status", "error"))
            directory.forget(channel: type, of: botId)
        } catch RecordStoreError.conditionFailed {
            // It says so already.
        } catch { logger.warning("channel state not written", metadata: ["bot": "\(botId)", "error": "\(error)"]) }
    }

    private func markConnected(_ channel: Channel) async throws {
        try await records.update(channel.key, [.set("status", "connected")])
        directory.forget(channel: channel.channelType, of: channel.botId)
    }

    // MARK: Events

    /// Takes one event durably; throws when it could not, so that the vendor repeats it.
    public func accept(_ event: InboundEvent, from channel: ConnectedChannel) async throws {
        guard let bot = try await directory.bot(channel.channel.botId) else { return }
        guard try await directory.isActive(bot.userId) else {
            // Taken off the vendor's hands and dropped: a suspended user's bots hear nothing (SEC-17).
            logger.debug("event of a suspended user's bot dropped", metadata: ["bot": "\(bot.botId)"])
            return
        }
        try await LogContext.with(["botId": bot.botId.rawValue, "channel": channel.channel.channelType.rawValue]) { try await take(event, from: channel, of: bot) }
    }

    private func take(_ event: InboundEvent, from channel: ConnectedChannel, of bot: Bot) async throws {
        switch event {
        case .message(let message): try await accept(message, of: bot, from: channel)
        case .edited(let group, let id, let text): try await edit(SessionKey(botId: bot.botId, groupJid: group), id, text)
        case .deleted(let group, let id): try await delete(SessionKey(botId: bot.botId, groupJid: group), id)
        case .membership(let group, let change): try await groups.membership(SessionKey(botId: bot.botId, groupJid: group), change)
        case .ignored(let reason): logger.debug("event ignored", metadata: ["bot": "\(bot.botId)", "reason": "\(reason)"])
        }
    }

    private func accept(_ inbound: InboundMessage, of bot: Bot, from channel: ConnectedChannel) async throws {
        let since = time.now()
        guard !inbound.isFromSelf else { return observer(.dropped(channel.channel.channelType, .ownEcho)) }
        let session = SessionKey(botId: bot.botId, groupJid: inbound.groupJid)
        guard let group = try await groups.ensure(inbound, of: bot, channel: channel.channel.channelType) else {
            observer(.dropped(channel.channel.channelType, .groupQuota))
            observer(.quotaRejected(.groups))
            try await refuseGroup(inbound, bot, channel)
            return
        }
        let decision = decideTrigger(inbound, bot: bot, group: group)
        if decision == .ignore { return observer(.dropped(channel.channel.channelType, .ignored)) }
        var message = Message(
            botId: bot.botId, groupJid: inbound.groupJid, messageId: inbound.messageId, timestamp: inbound.timestamp, sender: inbound.senderId,
            senderName: inbound.senderName, content: cut(inbound.text), isBotMessage: false, channelType: channel.channel.channelType,
            isGroup: inbound.isGroup, state: .queued)
        message.attachments = Array(inbound.attachments.prefix(10))
        message.quoted = inbound.quoted
        message.replyContext = inbound.replyContext
        message.albumId = inbound.albumId
        var runs = false
        if case .run = decision { runs = true }
        let addressed = !inbound.isGroup || inbound.mentionsBot || inbound.repliesToBot
        var command = addressed && runs ? SlashCommand.parse(inbound.text) : nil
        // Telegram's greeting is one in private chats only.
        if command?.kind == .start, inbound.isGroup { command = nil }
        if command != nil { message.isCommand = true }
        if runs, command == nil, inbound.isGroup {
            let verdict = loops.admit(session, at: time.now())
            runs = verdict == .run
            if !runs { observer(.dropped(channel.channel.channelType, .loop)) }
            if verdict == .tripped { try await sayLoop(message, bot) }
        }
        if !runs {
            message.state = .context
            guard channel.channel.config["storeContext"]?.bool != false else { return }
        }
        if let command, command.actsAtOnce {
            try await side.act(command, message, bot)
            return
        }
        try await store(message, of: bot, since: since)
    }

    /// Stores a message and queues it if it is to be answered. Also queues one that was stored before and is not settled.
    /// - Parameter since: when it came in; nil = now.
    func store(_ message: Message, of bot: Bot, since: Date? = nil) async throws {
        var message = message
        let now = time.now()
        message.trace = [TraceStep(.ingest, name: message.channelType.rawValue, at: since ?? now, durationMs: TraceStep.milliseconds(since ?? now, now))]
        do {
            // Kept for 90 days from now, however old the vendor says it is: an expired record would be lost at once.
            let put = RecordWrite.put(
                message.key, try message.document(), expiresAt: max(time.now(), message.timestamp) + Message.retention.seconds, if: .recordAbsent)
            if ChatEvents.watches(message.groupJid) {
                try await events.append(
                    [ChatEvents.message(message), ChatEvents.status(message.groupJid, "queued", nil, at: time.now())], to: bot.botId, with: [put])
            } else {
                try await records.write(put, returning: .nothing)
            }
        } catch RecordStoreError.conditionFailed(_, let current) {
            guard let current else { throw RecordStoreError.unavailable("a message changed while it was stored") }
            let stored = try Message(record: current)
            guard !stored.state.isSettled else { return }
            message = stored
        }
        guard message.state == .queued || message.state == .running else { return }
        let payload = InboundMessagePayload(message: message, userId: bot.userId)
        try await inbound.send(
            JSON.text(payload), group: message.session.partition,
            deduplicationID: InboundMessagePayload.deduplicationID(message.session, message.messageId, albumId: message.albumId))
    }

    /// 32 000 characters are kept of an inbound text (API.md §6.2).
    private func cut(_ text: String) -> String {
        text.unicodeScalars.count <= 32_000 ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(31_980))) + "\n[… text cut]"
    }

    private func refuseGroup(_ inbound: InboundMessage, _ bot: Bot, _ channel: ConnectedChannel) async throws {
        logger.notice("group quota reached", metadata: ["bot": "\(bot.botId)"])
        let session = SessionKey(botId: bot.botId, groupJid: inbound.groupJid)
        guard !inbound.isFromBot, !inbound.isGroup || inbound.mentionsBot || inbound.repliesToBot,
            try await answers.firstToday("group-quota/\(session.partition)")
        else { return }
        try await answers.send(
            "This bot already talks in as many conversations as its plan allows, so it cannot answer here.",
            key: "\(session.partition)#group-quota#\(Timestamp.day(time.now()))", to: session, userId: bot.userId, channel: channel.channel.channelType,
            replyContext: inbound.replyContext, at: inbound.timestamp)
    }

    private func sayLoop(_ message: Message, _ bot: Bot) async throws {
        try await answers.answer(
            message, userId: bot.userId, "That was more than 30 messages in a minute, so I pause here for a minute.", code: "loop", settles: false)
    }

    // MARK: Edits and deletions

    /// Replaces a stored message's text (the old one is kept) without a new run; a queued message is read as edited.
    private func edit(_ session: SessionKey, _ id: MessageID, _ text: String) async throws {
        guard let stored = try await find(session, id), !stored.isBotMessage, stored.content != text else { return }
        try await records.update(
            stored.key,
            [.append("edits", [.string(stored.content)]), .set("content", .string(cut(text))), .set("editedAt", .string(Timestamp.text(time.now())))])
    }

    private func delete(_ session: SessionKey, _ id: MessageID) async throws {
        guard let stored = try await find(session, id), !stored.isBotMessage else { return }
        var changes: [Change] = [.set("content", ""), .set("attachments", .array([])), .remove("edits"), .remove("quoted")]
        if stored.state == .queued { changes.append(.set("state", "stopped")) }
        try await records.update(stored.key, changes)
    }

    func find(_ session: SessionKey, _ id: MessageID) async throws -> Message? { try await MessageLookup(records: records).message(id, in: session) }
}

/// Why a webhook was not taken, as the HTTP layer answers it.
public enum IngestError: Error, Sendable {
    case notFound
    case unverified
    case malformed
    /// Ours to mend: 503, so that the vendor repeats it. The text is for the log.
    case unavailable(String)
}

/// Finds a message by its vendor's id.
struct MessageLookup: Sendable {
    let records: any RecordStore

    func message(_ id: MessageID, in session: SessionKey) async throws -> Message? {
        let page = try await records.query(
            RecordQuery(
                Tables.messages, index: Tables.messageIdIndex, partition: session.partition, sort: .between(id.rawValue, id.rawValue), limit: 1))
        guard let key = page.records.first?.key else { return nil }
        return try await records.get(Message.self, key)
    }
}
