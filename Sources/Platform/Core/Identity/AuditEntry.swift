import Foundation

/// One line of the audit trail (SEC-123), written in the same transaction as the change that it tells of. Append-only.
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

    public static let platform = "platform"
    public static let system = "system"

    public init(userId: String, actorId: String, action: String, target: String? = nil, requestId: String? = nil, at now: Date) {
        id = ULID.make(at: now)
        self.userId = userId; timestamp = now; self.actorId = actorId; self.action = action; self.target = target; self.requestId = requestId
    }

    public static let table = Tables.audit
    public var key: RecordKey { RecordKey(Self.table, userId, "\(Timestamp.text(timestamp))#\(id)") }
    public var recordExpiry: Date? { timestamp + 400 * 86_400 }
}
