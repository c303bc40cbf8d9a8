import Channels
import ControlPlane
import Foundation
import Platform

/// The control plane's ingest, event log and dead-letter book behind the API's doors.
public struct IngestDoors: ChatDoor, WebhookDoor {
    private let ingest: Ingest
    private let objects: any ObjectStore
    public init(ingest: Ingest, objects: any ObjectStore) { self.ingest = ingest; self.objects = objects }

    public func send(
        user: UserID, bot: Bot, content: String, conversationId: String, attachments: [ObjectKey], idempotencyKey: String?
    ) async throws -> ChatAccepted {
        do throws(ChatError) {
            let receipt = try await ingest.chat(
                user: user, bot: bot, content: content, conversationId: conversationId, attachments: attachments, objects: objects,
                idempotencyKey: idempotencyKey)
            return ChatAccepted(
                messageId: receipt.messageId, groupJid: receipt.groupJid, conversationId: receipt.conversationId, timestamp: receipt.timestamp)
        } catch {
            switch error {
            case .paused: throw ChatRefusal.paused
            case .quota(let sentence): throw ChatRefusal.quota(sentence)
            case .missingFile(let index): throw ChatRefusal.missingFile(index: index)
            case .unavailable(let cause): throw ChatRefusal.unavailable(cause: cause)
            }
        }
    }

    public func accept(_ type: ChannelType, _ bot: BotID, _ request: WebhookRequest) async throws -> WebhookAnswer {
        do throws(IngestError) {
            return try await ingest.webhook(type: type, botId: bot, request: request)
        } catch {
            switch error {
            case .notFound: throw WebhookDoorError.notFound
            case .unverified: throw WebhookDoorError.unverified
            case .malformed: throw WebhookDoorError.malformed
            case .unavailable(let cause): throw WebhookDoorError.unavailable(cause: cause)
            }
        }
    }
}

extension EventLog: ChatEventSource {
    public func lastSequence(of bot: BotID) async throws -> Int { try await position(of: bot) }
    public func events(of bot: BotID, after sequence: Int, limit: Int) async throws -> [ChatEvent] {
        try await read(bot, after: sequence, limit: limit).map { ChatEvent(sequence: $0.sequence, name: $0.name, groupJid: $0.groupJid, data: $0.data) }
    }
}

extension DeadLetterBook: DeadLetterAdministration {
    public func list(limit: Int, cursor: String?, queue: DeadLetter.Queue?) async throws -> (items: [DeadLetter], cursor: String?) {
        try await list(queue: queue, limit: limit, cursor: cursor)
    }
}
