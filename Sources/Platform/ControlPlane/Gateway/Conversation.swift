import Foundation
import Platform

/// What an agent reads of its own conversation: the messages that wait behind its run, and the stored ones.
extension AgentGateway {
    public struct WaitingMessage: Codable, Sendable {
        public var messageId: MessageID
        public var timestamp: Date
        public var sender: String
        public var senderName: String
        public var text: String
        public var attachments: [AttachmentView]
    }

    public struct AttachmentView: Codable, Sendable {
        public var type: Attachment.Kind
        /// Absent while the file is still at the vendor's, or was not taken.
        public var key: ObjectKey?
        public var fileName: String
        public var mimeType: String
        public var size: Int?
        init(_ attachment: Attachment) {
            type = attachment.type; key = attachment.objectKey; fileName = attachment.fileName; mimeType = attachment.mimeType; size = attachment.size
        }
    }

    /// `Message` of API.md §3.1.
    public struct StoredMessage: Codable, Sendable {
        public var botId: BotID
        public var groupJid: GroupJID
        public var messageId: MessageID
        public var timestamp: Date
        public var sender: String
        public var senderName: String
        public var content: String
        public var isFromMe: Bool
        public var isBotMessage: Bool
        public var channelType: ChannelType
        public var attachments: [AttachmentView]?
        public var invocationId: InvocationID?
        public var editedAt: Date?
        public var state: Message.State
        init(_ message: Message) {
            botId = message.botId; groupJid = message.groupJid; messageId = message.messageId; timestamp = message.timestamp
            sender = message.sender; senderName = message.senderName; content = message.content
            isFromMe = message.isFromMe; isBotMessage = message.isBotMessage; channelType = message.channelType
            attachments = message.attachments.isEmpty ? nil : message.attachments.map(AttachmentView.init)
            invocationId = message.invocationId; editedAt = message.editedAt; state = message.state
        }
    }

    /// Messages may carry times a little before that of the one which the run answers: people's clocks and vendors differ.
    private static let slack: TimeInterval = 600

    /// `GET /inbox`: messages of this conversation that wait behind the run, oldest first; none unless the bot steers.
    public func inbox(_ run: AuthorizedRun) async throws -> [WaitingMessage] {
        guard try run.bot().duringRun == .steer else { return [] }
        return try await queued(run).map {
            WaitingMessage(
                messageId: $0.messageId, timestamp: $0.timestamp, sender: $0.sender, senderName: $0.senderName, text: $0.content,
                attachments: $0.attachments.map(AttachmentView.init))
        }
    }

    /// At most 100: what waits longer is answered by runs of its own.
    private func queued(_ run: AuthorizedRun) async throws -> [Message] {
        let from = (run.run.messageTimestamp ?? run.run.startedAt) - Self.slack
        var query = RecordQuery(
            Message.table, partition: run.key.partition, sort: .atLeast(Timestamp.text(from)), filter: .equals("state", "queued"), limit: 100)
        var found: [Message] = []
        repeat {
            let page = try await records.query(Message.self, query)
            found += page.items
            query.cursor = page.cursor
        } while query.cursor != nil && found.count < 100
        let mine = Set([run.run.messageId].compactMap { $0 } + run.run.alsoAnswers.map(\.messageId))
        return found.filter { message in !mine.contains(message.messageId) && run.session.stoppedBefore.map { message.timestamp > $0 } != false }
    }

    /// The messages that a final reply says it answers too: each must wait behind this run.
    func waiting(_ ids: [MessageID], _ run: AuthorizedRun) async throws -> [MessageRef] {
        guard !ids.isEmpty else { return [] }
        guard try run.bot().duringRun == .steer else {
            throw GatewayError.invalid("alsoAnswers", "alsoAnswers is only for bots that take messages during a run.")
        }
        let waiting = Dictionary(try await queued(run).map { ($0.messageId, $0.timestamp) }) { first, _ in first }
        return ids.compactMap { id in
            guard let timestamp = waiting[id] else {
                // Edited away, stopped or deleted meanwhile: nothing to settle. A foreign id is the same to us.
                return nil
            }
            return MessageRef(messageId: id, timestamp: timestamp)
        }
    }

    /// How many messages one page of history looks through at most.
    private static let scanned = 1000

    /// `GET /history`: stored messages of this conversation, newest first. `query` is a substring, compared without case.
    /// A page may be short, even empty, and still carry a cursor.
    public func history(_ run: AuthorizedRun, query text: String?, before: String?, limit: Int, cursor: String?) async throws -> (
        items: [StoredMessage], cursor: String?
    ) {
        try await requireTool("search_history", run)
        guard (text?.unicodeScalars.count ?? 0) <= 200 else { throw GatewayError.invalid("query.query", "query must have at most 200 characters.") }
        var upTo: String?
        if let before {
            guard let date = Timestamp.date(before) else {
                throw GatewayError.invalid("query.before", "before must be a timestamp such as 2026-01-31T08:15:30.123Z.")
            }
            upTo = Timestamp.text(date)
        }
        if let cursor {
            guard let data = Digest.fromBase64URL(cursor), let key = String(validating: data, as: UTF8.self), key.count > 24, key.contains("#") else {
                throw GatewayError.invalidCursor
            }
            upTo = min(upTo ?? key, key)
        }
        var found: [StoredMessage] = [], examined = 0, last: String?
        while found.count < limit, examined < Self.scanned {
            let wanted = text == nil ? limit : 200
            let page = try await records.query(
                RecordQuery(
                    Message.table, partition: run.key.partition, sort: upTo.map { .lessThan($0) } ?? .all, descending: true, limit: wanted))
            for record in page.records {
                examined += 1
                last = record.key.sort
                let message = try Message(record: record)
                if let text, message.content.range(of: text, options: [.caseInsensitive, .diacriticInsensitive]) == nil { continue }
                found.append(StoredMessage(message))
                if found.count == limit { break }
            }
            if page.cursor == nil, found.count < limit || last == page.records.last?.key.sort { last = nil; break }
            upTo = last
        }
        return (found, last.map { Digest.base64URL(Data($0.utf8)) })
    }
}
