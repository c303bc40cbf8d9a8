import Foundation
import Platform

/// Turns Telegram's updates into our events (the tables of CHANNELS.md §2). Pure.
struct TelegramInbound {
    /// GroupAnonymousBot: the account behind which a group's anonymous admins write.
    private static let anonymousAdmin = 1_087_968_824
    private static let maxQuote = 1000
    let channel: Channel

    private var username: String { channel.accountName.hasPrefix("@") ? String(channel.accountName.dropFirst()) : channel.accountName }

    func events(_ update: TelegramUpdate) -> [InboundEvent] {
        if let message = update.message { return events(message) }
        if let message = update.editedMessage { return [edit(message)] }
        if let change = update.myChatMember { return [membership(change)] }
        return [.ignored(reason: "an update of a kind that was not asked for")]
    }

    private func events(_ message: TelegramMessage) -> [InboundEvent] {
        if let new = message.migrateToChatId { return [.membership(jid(message.chat.id), .migrated(to: jid(new)))] }
        if let old = message.migrateFromChatId { return [.membership(jid(old), .migrated(to: jid(message.chat.id)))] }
        guard message.chat.type == "private" || message.chat.isGroup else { return [.ignored(reason: "a post of a channel")] }
        guard message.from != nil || message.senderChat != nil else { return [.ignored(reason: "a message without a sender")] }
        let attachments = TelegramAttachments.of(message)
        let spoken = words(message)
        let text = [spoken.text, formLine(message)].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "\n")
        if text.isEmpty, attachments.isEmpty, !spoken.mentionsBot { return [.ignored(reason: "a service message or empty")] }

        let sender = sender(message)
        var inbound = InboundMessage(
            messageId: id(message.messageId), groupJid: jid(message), chatName: message.chat.name, senderId: sender.id, senderName: sender.name, text: text,
            isGroup: message.chat.isGroup, timestamp: Date(timeIntervalSince1970: Double(message.date)))
        inbound.isFromSelf = message.from.map { String($0.id) } == channel.accountId
        inbound.isFromBot = message.isAutomaticForward == true || message.from?.isBot == true && message.from?.id != Self.anonymousAdmin
        inbound.mentionsBot = spoken.mentionsBot
        inbound.isForAnotherBot = spoken.isForAnotherBot
        inbound.attachments = attachments
        if let replied = message.replyToMessage, !isTopicRoot(replied, of: message) { inbound.repliesToBot = replied.from.map { String($0.id) } == channel.accountId }
        inbound.quoted = quote(message)
        inbound.albumId = message.mediaGroupId
        inbound.replyContext = TelegramReplyContext(messageId: message.messageId, threadId: threadId(message)).value
        return [.message(inbound)]
    }

    private func edit(_ message: TelegramMessage) -> InboundEvent {
        guard message.chat.type == "private" || message.chat.isGroup else { return .ignored(reason: "an edited post of a channel") }
        let text = [words(message).text, formLine(message)].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "\n")
        return .edited(jid(message), id(message.messageId), text: text)
    }

    private func membership(_ change: TelegramMemberChange) -> InboundEvent {
        guard change.chat.type != "channel" else { return .ignored(reason: "membership of a channel") }
        let isIn: Bool
        switch change.newChatMember.status {
        case "member", "administrator", "creator": isIn = true
        case "restricted": isIn = change.newChatMember.isMember ?? true
        case "left", "kicked": isIn = false
        default: return .ignored(reason: "an unknown membership")
        }
        return .membership(jid(change.chat.id), isIn ? .joined : change.chat.isGroup ? .left : .blocked)
    }

    // MARK: parts

    private func words(_ message: TelegramMessage) -> TelegramText {
        let entities = message.text != nil ? message.entities : message.captionEntities
        return TelegramText(message.text ?? message.caption ?? "", entities: entities ?? [], botId: channel.accountId, username: username)
    }

    private func jid(_ chat: Int) -> GroupJID { GroupJID("tg:\(chat)") }
    private func id(_ message: Int) -> MessageID { MessageID("tg-\(message)") }
    private func jid(_ message: TelegramMessage) -> GroupJID {
        guard channel.config["sessionPerThread"]?.bool == true, let thread = threadId(message) else { return jid(message.chat.id) }
        return GroupJID("tg:\(message.chat.id):\(thread)")
    }
    /// Only real topics: in ordinary groups the field numbers chains of replies, and the General topic has none.
    private func threadId(_ message: TelegramMessage) -> Int? { message.isTopicMessage == true ? message.messageThreadId : nil }

    private func sender(_ message: TelegramMessage) -> (id: String, name: String) {
        if let chat = message.senderChat { return (String(chat.id), chat.name) }
        let user = message.from
        return (user.map { String($0.id) } ?? "", user.map { $0.name.isEmpty ? $0.username ?? "" : $0.name } ?? "")
    }

    /// Every first message of a topic formally replies to the topic's creation, which may be the bot's own.
    private func isTopicRoot(_ replied: TelegramReplied, of message: TelegramMessage) -> Bool {
        replied.forumTopicCreated != nil || message.isTopicMessage == true && replied.messageId == message.messageThreadId
    }

    private func quote(_ message: TelegramMessage) -> Quote? {
        let replied = message.replyToMessage.flatMap { isTopicRoot($0, of: message) ? nil : $0 }
        guard let text = message.quote?.text ?? replied?.text ?? replied?.caption, !text.isEmpty else { return nil }
        let origin = message.externalReply?.origin
        let sender = replied?.senderChat?.name ?? replied?.from?.name ?? origin?.senderUser?.name ?? origin?.senderUserName ?? origin?.senderChat?.name ?? origin?.chat?.name
        return Quote(sender: sender ?? "", text: String(text.prefix(Self.maxQuote)))
    }

    /// What has no text of its own, as one bracketed line.
    private func formLine(_ message: TelegramMessage) -> String? {
        func line(_ text: String) -> String {
            let flat = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x2028 || $0.value == 0x2029 ? " " : Character($0) }
            return "[" + String(String(flat).prefix(1000)) + "]"
        }
        if let venue = message.venue { return line("venue: \(venue.title), \(venue.address) (\(venue.location.latitude), \(venue.location.longitude))") }
        if let place = message.location { return line("location: \(place.latitude), \(place.longitude)") }
        if let contact = message.contact {
            return line("contact: \([contact.firstName, contact.lastName].compactMap { $0 }.joined(separator: " ")), \(contact.phoneNumber)")
        }
        if let poll = message.poll { return line("poll: \(poll.question) — \(poll.options.map(\.text).joined(separator: " / "))") }
        if let dice = message.dice { return line("dice: \(dice.emoji) \(dice.value)") }
        if let sticker = message.sticker, sticker.isAnimated == true || sticker.isVideo == true { return line("sticker: \(sticker.emoji ?? "animated")") }
        if message.story != nil { return "[a story, which bots cannot see]" }
        if message.game != nil { return "[a game]" }
        if message.paidMedia != nil { return "[paid media, which bots cannot see]" }
        if message.checklist != nil { return "[a checklist]" }
        return nil
    }
}

/// What a reply needs to know of the message it answers.
struct TelegramReplyContext: Sendable, Hashable {
    var messageId: Int?
    var threadId: Int?

    init(messageId: Int?, threadId: Int?) { self.messageId = messageId; self.threadId = threadId }
    init(_ value: Value?) { messageId = value?["messageId"]?.int; threadId = value?["threadId"]?.int }
    var value: Value {
        var fields = Document()
        fields["messageId"] = messageId.map { .int($0) }
        fields["threadId"] = threadId.map { .int($0) }
        return .object(fields)
    }
}

/// The files of a message, by reference.
enum TelegramAttachments {
    static func of(_ message: TelegramMessage) -> [Attachment] {
        var out = [Attachment]()
        func add(_ kind: Attachment.Kind, _ id: String, _ name: String?, _ fallback: String, _ type: String, _ size: Int?) {
            let shown = FileName.shown(name.flatMap { $0.isEmpty ? nil : $0 } ?? fallback)
            out.append(Attachment(index: out.count, type: kind, fileName: shown, mimeType: type, size: size, providerRef: id))
        }
        if let photo = message.photo?.max(by: { area($0) < area($1) }) { add(.image, photo.fileId, nil, "photo.jpg", "image/jpeg", photo.fileSize) }
        if let file = message.animation { add(.video, file.fileId, file.fileName, "animation.mp4", file.mimeType ?? "video/mp4", file.fileSize) }
        // An animation is repeated as a document for old clients.
        if message.animation == nil, let file = message.document {
            let type = file.mimeType ?? "application/octet-stream"
            add(kind(type), file.fileId, file.fileName, "document", type, file.fileSize)
        }
        if let file = message.audio { add(.audio, file.fileId, file.fileName ?? file.title.map { $0 + ".mp3" }, "audio.mp3", file.mimeType ?? "audio/mpeg", file.fileSize) }
        if let file = message.voice { add(.audio, file.fileId, nil, "voice.ogg", file.mimeType ?? "audio/ogg", file.fileSize) }
        if let file = message.video { add(.video, file.fileId, file.fileName, "video.mp4", file.mimeType ?? "video/mp4", file.fileSize) }
        if let file = message.videoNote { add(.video, file.fileId, nil, "video-note.mp4", "video/mp4", file.fileSize) }
        if let sticker = message.sticker, sticker.isAnimated != true, sticker.isVideo != true {
            add(.image, sticker.fileId, nil, "sticker.webp", "image/webp", sticker.fileSize)
        }
        return out
    }

    private static func area(_ file: TelegramFile) -> Int { (file.width ?? 0).multipliedReportingOverflow(by: file.height ?? 0).partialValue }
    private static func kind(_ type: String) -> Attachment.Kind {
        type.hasPrefix("image/") ? .image : type.hasPrefix("audio/") ? .audio : type.hasPrefix("video/") ? .video : .document
    }
}
