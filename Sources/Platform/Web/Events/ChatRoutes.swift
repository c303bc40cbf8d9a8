import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import Platform

extension API {
    var chatRoutes: [Route] {
        [
            Route(
                .post, "/api/bots/{botId}/chat", "Says something to the bot; it is stored and queued when this answers.", buckets: [.chat],
                body: .json(Shapes.chat, limit: 256 << 10), idempotent: true, answers: [.accepted(Schemas.chatAccepted)], problems: [.quotaExceeded, .invalidState],
                resource: ownBot) { call, bot in
                try await send(call, bot)
            },
            Route(
                .get, "/api/bots/{botId}/chat/events", "Server-Sent Events of the bot's web conversations; resumes after Last-Event-ID.",
                query: [.text("conversationId", "Only this one.", Shapes.conversation)], answers: [.bytes("text/event-stream")], resource: ownBot) { call, bot in try await stream(call, bot) },
        ]
    }

    /// Attachments of a chat message, each.
    private static let maximumAttachmentBytes = 20 << 20

    private func send(_ call: Call, _ bot: Bot) async throws -> Answer {
        let content = call.body["content"]?.string ?? ""
        var keys: [ObjectKey] = []
        for (index, item) in (call.body["attachments"]?.array ?? []).enumerated() {
            let field = "attachments[\(index)].key"
            let relative = item["key"]?.string ?? ""
            _ = try services.files.key(relative, of: bot, field: field)
            do {
                let info = try await services.files.head(bot, relative)
                guard info.size <= Self.maximumAttachmentBytes else { throw Problem.invalid(field, "The file is larger than \(Self.maximumAttachmentBytes) bytes.") }
            } catch ManagementError.notFound {
                throw Problem.invalid(field, "There is no such file.")
            }
            keys.append(try ObjectKey(checking: relative))
        }
        guard !keys.isEmpty || !content.allSatisfy(\.isWhitespace) else { throw Problem.invalid("content", "May not be blank without attachments.") }
        do {
            let active = bot.status == .paused ? bot : try await services.channels.ensureWebChat(of: bot, by: call.by)
            let accepted = try await services.chat.send(
                user: try call.user, bot: active, content: content, conversationId: call.body["conversationId"]?.string ?? "main", attachments: keys,
                idempotencyKey: call.header(.idempotencyKey))
            return .json(.object([
                "messageId": .string(accepted.messageId.rawValue), "groupJid": .string(accepted.groupJid.rawValue),
                "conversationId": .string(accepted.conversationId), "timestamp": .time(accepted.timestamp),
            ]), status: 202)
        } catch let refusal as ChatRefusal {
            switch refusal {
            case .paused: throw Problem(.invalidState, "The bot is paused. Set it active to chat with it.")
            case .quota(let sentence): throw Problem(.quotaExceeded, sentence)
            case .missingFile(let index): throw Problem.invalid("attachments[\(index)].key", "There is no such file.")
            case .unavailable(let cause):
                logger.warning("a chat message was not taken", metadata: ["request": .string(call.requestId), "cause": .string(cause)])
                throw Problem.unavailable()
            }
        }
    }

    private func stream(_ call: Call, _ bot: Bot) async throws -> Answer {
        var conversation: GroupJID?
        if let name = call.text("conversationId") { conversation = GroupJID("web:\(name)") }
        guard let caller = call.caller else { throw Problem.unauthenticated }
        guard let slot = slots.take(caller.userId) else {
            throw Problem(.rateLimited, "At most \(StreamSlots.perUser) event streams may be open at once.", headers: [.retryAfter: "5"])
        }
        let stream = ChatStream(services: services, caller: caller, bot: bot, conversation: conversation, lastEventId: call.header(.lastEventID), logger: logger)
        let request = call.request, hangUp = call.hangUp
        let body = ResponseBody { writer in
            // Keeps the slot until the last byte.
            defer { withExtendedLifetime(slot) {} }
            try await request.body.consumeWithCancellationOnInboundClose { _ in
                try await stream.write(to: &writer, hangUp: hangUp)
            }
            try await writer.finish(nil)
        }
        return Answer(
            headers: [.cacheControl: "no-store", .xAccelBuffering: "no"], content: .stream(length: nil, type: "text/event-stream; charset=utf-8", body))
    }
}
