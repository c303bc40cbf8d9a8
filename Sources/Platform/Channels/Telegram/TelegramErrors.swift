import Platform

/// What Telegram's answers mean for a send (CHANNELS.md §2): the code first, then the description without regard to case.
enum TelegramErrors {
    static func sendFailure(_ failure: TelegramFailure) -> SendFailure {
        switch failure {
        case .transport(.notConnected): .retry(after: nil, maybeDelivered: false)
        case .transport(.cancelled), .transport(.interrupted), .transport(.timedOut), .transport(.tooLarge), .unreadable: .retry(after: nil, maybeDelivered: true)
        case .refused(let code, let description, let retryAfter, let migrateTo): sendFailure(code, description, retryAfter, migrateTo)
        }
    }

    private static let gone: [(fragment: String, reason: String)] = [
        ("chat not found", "Telegram does not know this chat any more."),
        ("not enough rights", "The bot has no right to write in this chat."),
        ("have no rights to send", "The bot has no right to write in this chat."),
        ("chat_write_forbidden", "The bot has no right to write in this chat."),
        ("topic_closed", "The topic is closed."),
        ("blocked by the user", "The user blocked the bot."),
        ("kicked", "The bot was removed from the chat."),
        ("deactivated", "The user's account is deactivated."),
        ("not a member", "The bot is not a member of the chat."),
        ("can't initiate conversation", "The user has not started the bot yet."),
    ]

    private static func sendFailure(_ code: Int, _ description: String, _ retryAfter: Double?, _ migrateTo: Int?) -> SendFailure {
        let text = description.lowercased()
        switch code {
        case 429: return .retry(after: Duration(seconds: min(max(retryAfter ?? 1, 0), 86_400)), maybeDelivered: false)
        case 401, 404: return .channelBroken(reason: "Telegram does not accept the bot token any more.")
        case 409, 500...: return .retry(after: nil, maybeDelivered: false)
        case 300..<400: return .channelBroken(reason: "The Telegram API address answers with a redirect, which is not followed.")
        default: break
        }
        if let migrateTo { return .moved(to: GroupJID("tg:\(migrateTo)")) }
        if let entry = gone.first(where: { text.contains($0.fragment) }) { return .conversationGone(reason: entry.reason) }
        if code == 403 { return .conversationGone(reason: "Telegram does not let the bot write there.") }
        if text.contains("can't parse entities") || text.contains("unsupported start tag") { return .badFormat }
        if text.contains("message is too long") || text.contains("message_too_long") || text.contains("caption is too long") { return .tooLong }
        if isReplyTargetGone(text) { return .replyTargetGone }
        return .rejected(reason: "Telegram refused the message (\(code)): \(shown(description))")
    }

    private static func isReplyTargetGone(_ text: String) -> Bool {
        text.contains("message to be replied not found") || text.contains("replied message not found") || text.contains("reply message not found")
    }

    static func isThreadGone(_ failure: TelegramFailure) -> Bool { describes(failure, "message thread not found") }
    static func isNotModified(_ failure: TelegramFailure) -> Bool { describes(failure, "message is not modified") }
    /// Telegram would not take the bytes as a photo; as a document it will.
    static func isPhotoRefused(_ failure: TelegramFailure) -> Bool {
        guard case .refused(400, let description, _, nil) = failure else { return false }
        let text = description.lowercased()
        return text.contains("photo_") || text.contains("image_process_failed") || text.contains("wrong type of the web page content")
    }
    private static func describes(_ failure: TelegramFailure, _ fragment: String) -> Bool {
        guard case .refused(400, let description, _, _) = failure else { return false }
        return description.lowercased().contains(fragment)
    }

    /// A vendor's words on one short line.
    static func shown(_ description: String) -> String {
        String(String(String.UnicodeScalarView(description.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f })).prefix(160))
    }
}
