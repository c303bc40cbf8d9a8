import Foundation

/// A scheduled prompt.
public struct ScheduledTask: Entity {
    public enum ScheduleType: String, Codable, Sendable { case cron, interval, once }
    public enum ContextMode: String, Codable, Sendable { case group, isolated }
    public enum Status: String, Codable, Sendable { case active, paused, completed }
    public enum Outcome: String, Codable, Sendable { case success, error, skipped }

    public var botId: BotID
    public var taskId: TaskID
    public var userId: UserID
    public var groupJid: GroupJID
    public var prompt: String
    public var scheduleType: ScheduleType
    public var scheduleValue: String
    public var timezone: String
    public var contextMode: ContextMode
    public var status: Status
    public var nextRun: Date?
    public var lastRun: Date?
    /// The `scheduledFor` of the last fire that was taken up; a fire not later than this is dropped.
    public var lastFire: Date?
    public var lastStatus: Outcome?
    public var lastResult: String?
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date

    public init(botId: BotID, taskId: TaskID, userId: UserID, groupJid: GroupJID, prompt: String, scheduleType: ScheduleType, scheduleValue: String, timezone: String, contextMode: ContextMode, at now: Date) {
        self.botId = botId; self.taskId = taskId; self.userId = userId; self.groupJid = groupJid; self.prompt = prompt
        self.scheduleType = scheduleType; self.scheduleValue = scheduleValue; self.timezone = timezone; self.contextMode = contextMode
        status = .active
        revision = 0
        createdAt = now; updatedAt = now
    }

    public static let table = Tables.tasks
    public static func key(_ botId: BotID, _ taskId: TaskID) -> RecordKey { RecordKey(table, botId.rawValue, taskId.rawValue) }
    public var key: RecordKey { Self.key(botId, taskId) }
}
