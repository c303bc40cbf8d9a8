import Platform

/// A task as its maker describes it; limits: API.md §3.5.
public struct TaskDraft: Sendable {
    /// Ignored where the scope names the conversation.
    public var groupJid: GroupJID?
    public var prompt: String
    public var scheduleType: ScheduledTask.ScheduleType
    public var scheduleValue: String
    /// nil = the bot's.
    public var timezone: String?
    /// nil = isolated.
    public var contextMode: ScheduledTask.ContextMode?
    public init(
        groupJid: GroupJID? = nil, prompt: String, scheduleType: ScheduledTask.ScheduleType, scheduleValue: String, timezone: String? = nil,
        contextMode: ScheduledTask.ContextMode? = nil
    ) {
        self.groupJid = groupJid; self.prompt = prompt; self.scheduleType = scheduleType; self.scheduleValue = scheduleValue
        self.timezone = timezone; self.contextMode = contextMode
    }
}

/// What to change of a task; nil = unchanged.
public struct TaskChange: Sendable {
    public var prompt: String?
    public var scheduleType: ScheduledTask.ScheduleType?
    public var scheduleValue: String?
    public var timezone: String?
    public var contextMode: ScheduledTask.ContextMode?
    /// active or paused
    public var status: ScheduledTask.Status?
    public init() {}

    var movesSchedule: Bool { scheduleType != nil || scheduleValue != nil || timezone != nil }
    var isStatusOnly: Bool { status != nil && !movesSchedule && prompt == nil && contextMode == nil }
    var isEmpty: Bool { status == nil && !movesSchedule && prompt == nil && contextMode == nil }
}

public enum TaskError: Error, Sendable, Equatable {
    /// Absent, or outside the scope.
    case notFound
    case invalid([FieldProblem])
    case quotaExceeded(limit: Int)
    /// A completed task changes no more.
    case completed
    case unavailable

    static func invalid(_ field: String, _ message: String) -> TaskError { .invalid([FieldProblem(field, message)]) }
}
