import Foundation

/// A message that could not be handled: kept for an operator to read about, send again or delete. Its text stays in `body`,
/// which no route shows.
public struct DeadLetter: Entity {
    public enum Queue: String, Codable, Sendable { case inbound, replies }
    public var id: String
    public var queue: Queue
    public var kind: String
    public var userId: UserID?
    public var botId: BotID?
    public var groupJid: GroupJID?
    public var reason: String
    public var receiveCount: Int
    public var firstSeenAt: Date
    public var deadAt: Date
    public var body: String
    public var group: String
    public var deduplicationID: String

    public init(id: String, queue: Queue, kind: String, reason: String, delivery: QueueDelivery, at now: Date) {
        self.id = id; self.queue = queue; self.kind = kind; self.reason = reason
        receiveCount = delivery.receiveCount
        firstSeenAt = delivery.sentAt
        deadAt = now
        body = delivery.body; group = delivery.group; deduplicationID = delivery.deduplicationID
    }
    public static let table = Tables.deadLetters
    public static func key(_ id: String) -> RecordKey { RecordKey(table, "platform", id) }
    public var key: RecordKey { Self.key(id) }
    public var recordExpiry: Date? { deadAt + 14 * 86_400 }
}
