import Foundation

/// One line of the audit trail (SEC-123). Written only by ``AuditTrail``, in the same transaction as the change that it tells of.
public struct AuditEntry: Entity {
    public var id: String
    /// Whose trail it is: a tenant, or `platform` (`AuditEntry.platform`).
    public var userId: String
    public var timestamp: Date
    /// Who did it: a user id, or `system`.
    public var actorId: String
    /// `user.login`, `user.login-failed`, `user.created`, …
    public var action: String
    /// What it was done to: an id, never a secret or an address.
    public var target: String?
    public var requestId: String?
    /// Place in the trail, from 1 without gaps; 0 = not written yet.
    public internal(set) var sequence = 0
    /// ``link`` of the entry before; empty for the first.
    public internal(set) var previous = ""
    /// When that entry was written: tells an expired predecessor from a removed one.
    public internal(set) var previousAt: Date?

    public static let platform = "platform"
    public static let system = "system"
    public static let retention: TimeInterval = 400 * 86_400

    public init(userId: String, actorId: String, action: String, target: String? = nil, requestId: String? = nil, at now: Date) {
        id = ULID.make(at: now)
        self.userId = userId; timestamp = now; self.actorId = actorId; self.action = action; self.target = target; self.requestId = requestId
    }

    public static let table = Tables.audit
    public var key: RecordKey { RecordKey(Self.table, userId, "\(Timestamp.text(timestamp))#\(id)") }
    public var recordExpiry: Date? { timestamp + Self.retention }

    /// What the next entry keeps of this one: a digest of every field, each with its length so that none can borrow from its neighbour.
    public var link: String {
        let fields = [String(sequence), previous, previousAt.map { Timestamp.text($0) } ?? "-", id, userId, Timestamp.text(timestamp), actorId, action, target ?? "-", requestId ?? "-"]
        return Digest.sha256Hex(fields.map { "\($0.utf8.count):\($0)" }.joined())
    }
}
