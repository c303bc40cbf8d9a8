/// Where things lie in the object store (ARCHITECTURE.md §6): written here once, for stores, mounts and policies.
public struct ObjectLayout: Sendable, Hashable {
    public let userId: UserID
    public let botId: BotID
    public init(userId: UserID, botId: BotID) { self.userId = userId; self.botId = botId }

    public var botRoot: String { "\(userId.rawValue)/\(botId.rawValue)/" }
    public var sharedRoot: String { "\(userId.rawValue)/shared/" }
    public var sharedMemory: String { sharedRoot + "CLAUDE.md" }
    public var botMemory: String { botRoot + "CLAUDE.md" }
    public var learnings: String { botRoot + "learnings/" }
    public func workspace(_ group: GroupJID) -> String { botRoot + "workspace/\(group.keySegment)/" }
    public func groupMemory(_ group: GroupJID) -> String { workspace(group) + "CLAUDE.md" }
    public func sessions(_ group: GroupJID) -> String { botRoot + "sessions/\(group.keySegment)/" }
    /// Earlier contents of memory; never part of a bot's files, of a mount or of a grant.
    public var sharedVersions: String { "\(userId.rawValue)/versions/shared/" }
    public var botVersions: String { botRoot + "versions/bot/" }
    public func groupVersions(_ group: GroupJID) -> String { botRoot + "versions/group-\(group.keySegment)/" }
    public func attachments(_ group: GroupJID) -> String { botRoot + "attachments/\(group.keySegment)/" }
    public func attachments(_ group: GroupJID, _ message: MessageID) -> String { attachments(group) + "\(ObjectKey.segment(message.rawValue))/" }
}
