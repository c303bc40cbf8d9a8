import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Takes deliveries off the inbound queue, one at a time per conversation, and sees each through to its settlement.
///
/// A delivery stays unacknowledged, and is extended, for as long as its run lives: a crash anywhere brings it back.
public struct Dispatcher: Service {
    /// Conversations handled at once on this node; those that wait for a slot count too, running ones are limited by the compute.
    public static let room = 1_000
    let queue: any MessageQueue
    let driver: RunDriver
    let deadLetters: DeadLetterBook
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await QueueConsumer(queue: queue, name: "inbound", room: Self.room, time: time, logger: logger).run { try await see($0) }
    }

    private func see(_ delivery: QueueDelivery) async throws {
        switch InboundPayload.read(delivery.body) {
        case .message(let payload):
            try await LogContext.with(["botId": payload.botId.rawValue, "messageId": payload.messageId.rawValue]) {
                try await driver.message(payload, delivery: delivery)
            }
        case .task(let payload):
            try await LogContext.with(["botId": payload.botId.rawValue, "taskId": payload.taskId.rawValue]) { try await driver.task(payload, delivery: delivery) }
        case nil:
            // A body that can never be read would block its conversation for twenty receives.
            try await deadLetters.bury(delivery, from: .inbound, kind: "unreadable", reason: "The message could not be read.")
        }
    }
}

extension InboundPayload {
    /// Reads a body by its type; nil for an unknown type or bad fields. Unknown fields are ignored (rolling upgrades).
    static func read(_ body: String) -> InboundPayload? {
        guard let value = try? JSON.value(Data(body.utf8)), let type = value["type"]?.string else { return nil }
        switch type {
        case "inbound_message": return (try? JSON.decode(InboundMessagePayload.self, from: body)).map(InboundPayload.message)
        case "scheduled_task": return (try? JSON.decode(ScheduledTaskPayload.self, from: body)).map(InboundPayload.task)
        default: return nil
        }
    }
}
