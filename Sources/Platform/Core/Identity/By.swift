import Foundation

/// Who makes a change and under which request: handed from the door down to the service that writes the audit entry.
///
/// ```swift
/// try await bots.delete(bot, by: By(call.user, requestId: call.requestId))
/// ```
public struct By: Sendable, Hashable {
    /// nil = the platform itself.
    public var userId: UserID?
    public var requestId: String?
    public init(_ userId: UserID?, requestId: String? = nil) { self.userId = userId; self.requestId = requestId }

    /// The platform itself: resumed deletions and the like.
    public static let system = By(nil)

    /// An entry of `owner`'s trail (a user id or ``AuditEntry/platform``) that names this actor.
    public func entry(_ action: String, trail owner: String, target: String?, at now: Date) -> AuditEntry {
        AuditEntry(userId: owner, actorId: userId?.rawValue ?? AuditEntry.system, action: action, target: target, requestId: requestId, at: now)
    }
    public func entry(_ action: String, trail owner: UserID, target: String?, at now: Date) -> AuditEntry {
        entry(action, trail: owner.rawValue, target: target, at: now)
    }
}
