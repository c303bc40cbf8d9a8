import Foundation

/// Fires tasks by sending a `scheduled_task` message to the inbound queue: never early, at most 60 s late, once.
public protocol Scheduler: Sendable {
    /// Creates or replaces the schedule of a task. Throws ``ScheduleError`` for what it cannot express.
    func put(_ schedule: TaskSchedule) async throws
    func remove(_ botId: BotID, _ taskId: TaskID) async throws
    func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws
    func probe() async throws
}

/// When a task fires, and the message it fires with.
public struct TaskSchedule: Sendable, Hashable, Codable {
    public var botId: BotID
    public var taskId: TaskID
    public var userId: UserID
    public var groupJid: GroupJID
    public var when: Recurrence
    public var timezone: String
    public var enabled: Bool
    public init(botId: BotID, taskId: TaskID, userId: UserID, groupJid: GroupJID, when: Recurrence, timezone: String, enabled: Bool = true) {
        self.botId = botId; self.taskId = taskId; self.userId = userId; self.groupJid = groupJid
        self.when = when; self.timezone = timezone; self.enabled = enabled
    }
}

/// The three kinds of schedules, as their owner wrote them.
public enum Recurrence: Sendable, Hashable, Codable {
    /// Five fields (standard) or six (EventBridge).
    case cron(String)
    /// Milliseconds, a multiple of 60 000, counted from `anchor`.
    case interval(milliseconds: Int, anchor: Date)
    /// A local time without offset: `2026-03-01T09:00:00`.
    case once(String)
}

public struct ScheduleError: Error, Sendable, CustomStringConvertible {
    /// A sentence for the user.
    public var reason: String
    public init(_ reason: String) { self.reason = reason }
    public var description: String { reason }
}
