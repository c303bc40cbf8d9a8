import Foundation

/// A FIFO queue with groups: within a group strictly in order and one in flight, across groups parallel.
///
/// An unacknowledged delivery comes back after its visibility time, a released one after its delay, both with
/// `receiveCount` raised. Past 20 receives a message moves to the dead-letter queue. Waiting is done with
/// ``extend(_:by:)`` (at most 12 h in flight); ``release(_:after:)`` is for shutdown and failures.
public protocol MessageQueue: Sendable {
    /// Accepts a message durably. A `deduplicationID` seen within five minutes, in whatever group, is accepted and dropped.
    /// - Throws: ``MessageQueueError/tooLarge`` over 256 KiB.
    func send(_ body: String, group: String, deduplicationID: String) async throws
    /// Waits up to `wait` for deliveries; wakes on a send without polling. Returns early when cancelled.
    func receive(max: Int, wait: Duration, visibility: Duration) async throws -> [QueueDelivery]
    /// Ends the message. Repeating it is harmless.
    /// - Throws: ``MessageQueueError/staleReceipt`` when the message was received again since.
    func acknowledge(_ receipt: QueueReceipt) async throws
    /// Makes the delivery invisible for `duration` from now on.
    /// - Throws: ``MessageQueueError/staleReceipt``, also when the message is gone.
    func extend(_ receipt: QueueReceipt, by duration: Duration) async throws
    /// Gives the delivery back, to be received again after `delay`.
    func release(_ receipt: QueueReceipt, after delay: Duration) async throws
    /// Approximate.
    func depth() async throws -> QueueDepth
    /// The queue of the same kind where messages end after 20 receives; nil on a dead-letter queue itself.
    var deadLetters: (any MessageQueue)? { get }
}

/// Identifies one receipt of one message; any node may use it, also after a restart. A receipt is stale once the
/// message was received again.
public struct QueueReceipt: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }

public struct QueueDelivery: Sendable {
    public var body: String
    public var group: String
    public var deduplicationID: String
    public var receipt: QueueReceipt
    /// 1 on the first receive.
    public var receiveCount: Int
    public var sentAt: Date
    public init(body: String, group: String, deduplicationID: String, receipt: QueueReceipt, receiveCount: Int, sentAt: Date) {
        self.body = body; self.group = group; self.deduplicationID = deduplicationID
        self.receipt = receipt; self.receiveCount = receiveCount; self.sentAt = sentAt
    }
}

public struct QueueDepth: Sendable, Hashable {
    public var waiting: Int
    public var inFlight: Int
    public var oldest: Date?
    public init(waiting: Int, inFlight: Int, oldest: Date?) { self.waiting = waiting; self.inFlight = inFlight; self.oldest = oldest }
}

public enum MessageQueueError: Error, Sendable {
    case staleReceipt
    case tooLarge
    case unavailable(String)
}

public enum QueueLimits {
    public static let maxReceives = 20
    public static let maxBodyBytes = 256 * 1024
    public static let deduplicationWindow = Duration.seconds(300)
    /// How long one receive may keep a message, extensions included (the limit of SQS).
    public static let maxInFlight = Duration.seconds(12 * 3600)
}
