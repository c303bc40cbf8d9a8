import Foundation
import Platform

/// What makes a task's fields valid (API.md §3.5).
enum TaskRules {
    private static let intervals = 60_000...31_536_000_000
    private static let knownTimezones = Set(TimeZone.knownTimeZoneIdentifiers).union(["UTC", "GMT"])

    /// Checks prompt, time zone and schedule.
    /// - Returns: when the task fires next.
    static func check(_ task: ScheduledTask, at now: Date) throws -> Date {
        var problems: [FieldProblem] = []
        if let problem = promptProblem(task.prompt) { problems.append(problem) }
        guard knownTimezones.contains(task.timezone), let timezone = TimeZone(identifier: task.timezone) else {
            throw TaskError.invalid(problems + [FieldProblem("timezone", "timezone must be an IANA name such as Europe/Berlin.")])
        }
        do {
            guard let next = try recurrence(task, at: now).next(after: now, timezone: timezone) else {
                throw ScheduleError("The schedule never fires again: it has no time in the future.")
            }
            if task.scheduleType == .once, next > now + 5 * 366 * 86_400 { throw ScheduleError("A once task may lie at most five years ahead.") }
            if !problems.isEmpty { throw TaskError.invalid(problems) }
            return next
        } catch let error as ScheduleError {
            throw TaskError.invalid(problems + [FieldProblem("scheduleValue", error.reason)])
        } catch let error as TaskError {
            if case .invalid(let more) = error, more != problems { throw TaskError.invalid(problems + more) }
            throw error
        }
    }

    static func checkPrompt(_ prompt: String) throws(TaskError) {
        if let problem = promptProblem(prompt) { throw .invalid([problem]) }
    }
    private static func promptProblem(_ prompt: String) -> FieldProblem? {
        let count = prompt.unicodeScalars.count
        guard (1...5000).contains(count), !prompt.allSatisfy(\.isWhitespace) else { return FieldProblem("prompt", "prompt must have 1 to 5000 characters.") }
        let isClean = prompt.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f || $0 == "\n" || $0 == "\t" }
        return isClean ? nil : FieldProblem("prompt", "prompt must not hold control characters.")
    }

    /// The schedule as the scheduler takes it. An interval counts from one interval before its next run, so that what is put
    /// again keeps its beat.
    static func recurrence(_ task: ScheduledTask, at now: Date? = nil) throws(TaskError) -> Recurrence {
        switch task.scheduleType {
        case .cron: return .cron(task.scheduleValue)
        case .once: return .once(task.scheduleValue)
        case .interval:
            let value = task.scheduleValue
            guard value.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let milliseconds = Int(value), intervals.contains(milliseconds), milliseconds % 60_000 == 0 else {
                throw .invalid("scheduleValue", "scheduleValue must be milliseconds, a multiple of 60000, from 60000 to 31536000000.")
            }
            let anchor = task.nextRun.map { $0 - TimeInterval(milliseconds) / 1000 } ?? now ?? task.updatedAt
            return .interval(milliseconds: milliseconds, anchor: anchor)
        }
    }
}
