import Foundation
import Platform

/// What makes a task's fields valid (API.md §3.5).
enum TaskRules {
    private static let knownTimezones = Set(TimeZone.knownTimeZoneIdentifiers).union(["UTC", "GMT"])

    /// Checks prompt, time zone and schedule.
    /// - Returns: when the task fires next.
    static func check(_ task: ScheduledTask, at now: Date) throws(TaskError) -> Date {
        var problems: [FieldProblem] = []
        if let problem = promptProblem(task.prompt) { problems.append(problem) }
        if !knownTimezones.contains(task.timezone) {
            problems.append(FieldProblem("timezone", "timezone must be an IANA name such as Europe/Berlin."))
            throw .invalid(problems)
        }
        var next: Date?
        do {
            let recurrence = try recurrence(task, at: now)
            try recurrence.validate(timezone: task.timezone, now: now)
            next = try recurrence.next(after: now, timezone: task.timezone)
        } catch {
            problems.append(FieldProblem("scheduleValue", error.reason))
        }
        guard problems.isEmpty, let next else { throw .invalid(problems) }
        return next
    }

    static func checkPrompt(_ prompt: String) throws(TaskError) {
        if let problem = promptProblem(prompt) { throw .invalid([problem]) }
    }
    private static func promptProblem(_ prompt: String) -> FieldProblem? {
        let count = prompt.unicodeScalars.count
        guard (1...5000).contains(count), !prompt.allSatisfy(\.isWhitespace) else {
            return FieldProblem("prompt", "prompt must have 1 to 5000 characters.")
        }
        let isClean = prompt.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f || $0 == "\n" || $0 == "\t" }
        return isClean ? nil : FieldProblem("prompt", "prompt must not hold control characters.")
    }

    /// The schedule as the scheduler takes it. An interval counts from one interval before its next run, so that what is put
    /// again keeps its beat.
    static func recurrence(_ task: ScheduledTask, at now: Date? = nil) throws(ScheduleError) -> Recurrence {
        let step = task.scheduleType == .interval ? TimeInterval(Int(task.scheduleValue) ?? 0) / 1000 : 0
        return try Recurrence(task.scheduleType, task.scheduleValue, anchor: task.nextRun.map { $0 - step } ?? now ?? task.updatedAt)
    }
}
