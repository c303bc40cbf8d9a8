import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Takes replies off the reply queue, in order per conversation, and brings each to its channel.
public struct Deliverer: Service {
    let queue: any MessageQueue
    let delivery: Delivery
    let deadLetters: DeadLetterBook
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await QueueConsumer(queue: queue, name: "reply", room: Dispatcher.room, time: time, logger: logger).run { try await bring($0) }
    }

    private func bring(_ item: QueueDelivery) async throws {
        guard let reply = try? JSON.decode(ReplyPayload.self, from: item.body) else {
            try await deadLetters.bury(item, from: .replies, kind: "unreadable", reason: "The reply could not be read.")
            return
        }
        try await LogContext.with([
            "botId": reply.botId.rawValue, "messageId": reply.messageId.rawValue, "invocationId": reply.invocationId?.rawValue,
        ]) { try await delivery.deliver(reply, item) }
    }
}
