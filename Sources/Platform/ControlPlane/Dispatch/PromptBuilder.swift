import Foundation
import Platform

/// What changes each turn, as the agent reads it: the time, and messages as escaped data with their real senders (SEC-38).
struct PromptBuilder: Sendable {
    /// How many unanswered group messages are given as context.
    static let contextMessages = 30
    let records: any RecordStore

    func group(_ session: SessionKey) async throws -> Group? { try await records.get(Group.self, Group.key(session)) }

    func prompt(for parts: [Message], bot: Bot, at now: Date) async throws -> String {
        var lines = [Self.context(bot.timezone, now)]
        var messages: [Message] = []
        if parts[0].isGroup { messages += try await recent(before: parts[0]) }
        messages += parts
        let asked = Set(parts.map(\.messageId))
        lines.append("<messages>")
        lines += messages.map { Self.element($0, timezone: bot.timezone, answers: asked.contains($0.messageId)) }
        lines.append("</messages>")
        return Self.bounded(lines.joined(separator: "\n"))
    }

    func prompt(for task: ScheduledTask, _ payload: ScheduledTaskPayload, bot: Bot, at now: Date) -> String {
        var attributes = "id=\"\(XMLText.escape(task.taskId.rawValue))\" scheduled_for=\"\(Self.local(payload.scheduledFor, bot.timezone))\""
        if payload.missed == true { attributes += " missed=\"true\"" }
        return Self.bounded("\(Self.context(bot.timezone, now))\n<scheduled_task \(attributes)>\(XMLText.escape(task.prompt))</scheduled_task>")
    }

    /// Group messages since the bot last spoke, oldest first.
    private func recent(before message: Message) async throws -> [Message] {
        let page = try await records.query(
            Message.self,
            RecordQuery(
                Tables.messages, partition: message.session.partition, sort: .lessThan(message.key.sort), descending: true, limit: Self.contextMessages))
        return Array(page.items.prefix { !$0.isBotMessage }.filter { $0.state == .context && !$0.content.isEmpty }.reversed())
    }

    private static func context(_ timezone: String, _ now: Date) -> String {
        "<context timezone=\"\(XMLText.escape(timezone))\" now=\"\(local(now, timezone))\"/>"
    }

    private static func element(_ message: Message, timezone: String, answers: Bool) -> String {
        var attributes = "id=\"\(XMLText.escape(message.messageId.rawValue))\" sender=\"\(XMLText.escape(message.senderName))\" time=\"\(local(message.timestamp, timezone))\""
        if !answers { attributes += " context=\"true\"" }
        if message.editedAt != nil { attributes += " edited=\"true\"" }
        var body = XMLText.escape(message.content)
        if let quote = message.quoted {
            body = "<quote sender=\"\(XMLText.escape(quote.sender))\">\(XMLText.escape(String(quote.text.prefix(1000))))</quote>\n" + body
        }
        for file in message.attachments {
            var note = "<attachment name=\"\(XMLText.escape(file.fileName))\" type=\"\(XMLText.escape(file.mimeType))\""
            if let key = file.objectKey, let path = workspacePath(key, message) { note += " path=\"\(XMLText.escape(path))\"" }
            if let reason = file.skipped { note += " skipped=\"\(XMLText.escape(reason))\"" }
            body += "\n\(note)/>"
        }
        return "<message \(attributes)>\(body)</message>"
    }

    /// Attachments of a conversation are mounted at `/workspace/attachments`.
    private static func workspacePath(_ key: ObjectKey, _ message: Message) -> String? {
        guard let range = key.text.range(of: "/attachments/\(message.groupJid.keySegment)/") else { return nil }
        return "/workspace/attachments/" + key.text[range.upperBound...]
    }

    /// Local time without offset; the context element names the zone.
    static func local(_ date: Date, _ timezone: String) -> String {
        let offset = TimeZone(identifier: timezone)?.secondsFromGMT(for: date) ?? 0
        return String(Timestamp.text(date + Double(offset)).prefix(19))
    }

    private static func bounded(_ text: String) -> String { text.unicodeScalars.count <= 200_000 ? text : String(text.prefix(199_000)) + "\n[… cut]" }
}
