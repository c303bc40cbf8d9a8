import Channels
import Foundation
import Platform

/// What a web chat message was stored as.
public struct ChatReceipt: Sendable {
    public var messageId: MessageID
    public var groupJid: GroupJID
    public var conversationId: String
    public var timestamp: Date
}

public enum ChatError: Error, Sendable {
    case paused
    /// A sentence with the reason.
    case quota(String)
    /// Index of the attachment whose file does not exist or is too large.
    case missingFile(Int)
    case unavailable(String)
}

extension Ingest {
    /// Takes a message of the bot's owner in web chat: stored, echoed to the watching pages and queued in one step.
    ///
    /// With an idempotency key the message id is derived from it, so that a repeat finds the first message.
    public func chat(
        user: UserID, bot: Bot, content: String, conversationId: String, attachments: [ObjectKey], objects: any ObjectStore, idempotencyKey: String?
    ) async throws(ChatError) -> ChatReceipt {
        do {
            return try await take(user, bot, content, conversationId, attachments, objects, idempotencyKey)
        } catch let error as ChatError { throw error } catch { throw .unavailable("\(error)") }
    }

    private func take(
        _ user: UserID, _ bot: Bot, _ content: String, _ conversationId: String, _ attachments: [ObjectKey], _ objects: any ObjectStore, _ key: String?
    ) async throws -> ChatReceipt {
        let jid = GroupJID("web:\(conversationId)")
        let session = SessionKey(botId: bot.botId, groupJid: jid)
        var now = time.now()
        // Timestamps are part of keys and have milliseconds.
        now = Timestamp.date(Timestamp.text(now)) ?? now
        let id: MessageID
        if let key {
            id = MessageID("chat-" + Digest.sha256Hex("\(user)\n\(bot.botId)\n\(jid)\n\(key)").prefix(26))
            if let known = try await find(session, id) {
                try await store(known, of: bot)
                return ChatReceipt(messageId: id, groupJid: jid, conversationId: conversationId, timestamp: known.timestamp)
            }
        } else {
            id = MessageID(ULID.make(at: now))
        }
        guard bot.status != .paused else { throw ChatError.paused }
        var group = Group(botId: bot.botId, groupJid: jid, userId: user, name: conversationId, channelType: .web, isGroup: false, at: now)
        group.lastMessageAt = now
        guard try await groups.ensure(group, of: bot) != nil else {
            throw ChatError.quota("This bot already has as many conversations as your plan allows.")
        }
        if let owner = try await records.get(User.self, User.key(user)), owner.usageMonth == Timestamp.month(now) {
            let reserved = owner.slots.values.filter { $0.month == owner.usageMonth }.reduce(0) { $0 + $1.reserved }
            if owner.usageTokens - reserved >= owner.quota.maxMonthlyTokens {
                throw ChatError.quota("The token quota of this month is used up; it resets on \(Timestamp.day(Timestamp.nextMonth(now))).")
            }
        }
        var message = Message(
            botId: bot.botId, groupJid: jid, messageId: id, timestamp: now, sender: user.rawValue, senderName: "Owner", content: content,
            isBotMessage: false, channelType: .web, isGroup: false, state: .queued)
        if let owner = try await records.get(User.self, User.key(user)) { message.senderName = owner.displayName }
        message.attachments = try await copy(attachments, to: message, objects: objects, layout: ObjectLayout(userId: user, botId: bot.botId))
        if let command = SlashCommand.parse(content) {
            message.isCommand = true
            if command.actsAtOnce {
                try await side.act(command, message, bot)
                return ChatReceipt(messageId: id, groupJid: jid, conversationId: conversationId, timestamp: now)
            }
        }
        try await store(message, of: bot)
        return ChatReceipt(messageId: id, groupJid: jid, conversationId: conversationId, timestamp: now)
    }

    /// Copies files of the bot to the message's own attachments, so that a later change of them does not change the message.
    private func copy(_ files: [ObjectKey], to message: Message, objects: any ObjectStore, layout: ObjectLayout) async throws -> [Attachment] {
        var copies: [Attachment] = []
        for (index, file) in files.enumerated() {
            let source = try ObjectKey(checking: layout.botRoot + file.text)
            guard let content = try await objects.get(source, range: nil), content.info.size <= 20 << 20 else { throw ChatError.missingFile(index) }
            let name = FileName.shown(file.name)
            let key = try ObjectKey(checking: layout.attachments(message.groupJid, message.messageId) + "\(index)-\(FileName.keySafe(name))")
            let info = try await objects.put(key, content.body, contentType: content.info.contentType, if: nil)
            let type = content.info.contentType ?? "application/octet-stream"
            copies.append(Attachment(index: index, type: Attachment.Kind(mimeType: type), fileName: name, mimeType: type, size: info.size, objectKey: key))
        }
        return copies
    }
}
