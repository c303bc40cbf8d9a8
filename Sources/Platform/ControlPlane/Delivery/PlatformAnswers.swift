import Foundation
import Platform

/// Answers that the platform gives itself: commands, refusals, notices. They cost no tokens, have no invocation, and go the
/// reply queue's way like everything a person gets to read.
struct PlatformAnswers: Sendable {
    let replies: any MessageQueue
    let records: any RecordStore
    let time: any TimeSource

    /// Queues `text` as the answer to a message and lets its delivery settle it. Repeatable: the reply's id is derived from the
    /// message and `code`, and Delivery looks it up before it sends.
    func answer(_ message: Message, userId: UserID, _ text: String, code: String, failure: FailureCode? = nil, settles: Bool = true) async throws {
        let key = "\(InboundMessagePayload.deduplicationID(message.session, message.messageId))#\(code)"
        try await send(
            text, key: key, to: message.session, userId: userId, channel: message.channelType, replyContext: message.replyContext, at: message.timestamp,
            settles: settles ? .messages([MessageRef(messageId: message.messageId, timestamp: message.timestamp)], failure: failure) : .nothing)
    }

    /// Queues a notice that settles nothing.
    func send(
        _ text: String, key: String, to session: SessionKey, userId: UserID, channel: ChannelType, replyContext: Value?, at date: Date,
        settles: ReplyPayload.Settles = .nothing
    ) async throws {
        let id = MessageID(ULID.make(at: date, entropy: Digest.sha256(key)))
        let payload = ReplyPayload(
            session: session, userId: userId, at: time.now(), channelType: channel, messageId: id, text: text, replyContext: replyContext, settles: settles)
        try await replies.send(JSON.text(payload), group: session.partition, deduplicationID: Digest.sha256Hex(key))
    }

    /// Whether this is the first time today that `what` is to be said; the answer is remembered.
    func firstToday(_ what: String) async throws -> Bool {
        let now = time.now()
        do {
            try await records.put(
                RecordKey(Tables.leases, "said/\(what)/\(Timestamp.day(now))", "lease"), ["saidAt": .string(Timestamp.text(now))],
                expiresAt: now + 2 * 86_400, if: .recordAbsent)
            return true
        } catch RecordStoreError.conditionFailed { return false }
    }
}
