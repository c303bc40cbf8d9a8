import Foundation
import Platform

/// How a fire of a task ends in its record.
extension TaskService {
    /// The writes that end a fire, for the settlement's own transaction: last run, outcome and result, the next run; a `once` task
    /// is completed and gives its place in the quota back. At most two writes; none when the task is gone or this fire was settled before.
    ///
    /// Conditional on the task as it is now: where the transaction fails on one of these, ask again.
    /// - Parameters:
    ///   - scheduledFor: the fire that ended.
    ///   - result: what the run said, or why it was skipped; cut at 500 characters.
    public func settlementWrites(
        _ botId: BotID, _ taskId: TaskID, scheduledFor: Date, outcome: ScheduledTask.Outcome, result: String?, at now: Date
    ) async throws -> [RecordWrite] {
        guard let task = try await records.get(ScheduledTask.self, ScheduledTask.key(botId, taskId)), task.status != .completed else { return [] }
        var changes: [Change] = [
            .set("lastRun", .string(Timestamp.text(now))), .set("lastStatus", .string(outcome.rawValue)),
            .set("updatedAt", .string(Timestamp.text(now))),
            .set("revision", .int(task.revision + 1)),
        ]
        if let result {
            changes.append(.set("lastResult", .string(String(String.UnicodeScalarView(result.unicodeScalars.prefix(500))))))
        } else {
            changes.append(.remove("lastResult"))
        }
        if task.lastFire.map({ $0 < scheduledFor }) != false { changes.append(.set("lastFire", .string(Timestamp.text(scheduledFor)))) }
        let next = task.scheduleType == .once ? nil : try Self.next(task, after: max(now, scheduledFor))
        let isCompleted = next == nil && (task.scheduleType == .once || task.status == .active)
        if isCompleted {
            changes += [.set("status", .string(ScheduledTask.Status.completed.rawValue)), .remove("nextRun")]
        } else if task.status == .active, let next {
            changes.append(.set("nextRun", .string(Timestamp.text(next))))
        }
        let current = Condition.and([.equals("revision", .value(.int(task.revision))), .equals("status", .value(.string(task.status.rawValue)))])
        var writes: [RecordWrite] = [.update(task.key, changes, if: current)]
        if isCompleted, try await records.get(Bot.key(task.userId, botId))?.document["taskCount"]?.int ?? 0 > 0 { writes.append(Self.uncount(task)) }
        return writes
    }

    /// Ends a fire that no run came of (skipped, dropped) in a transaction of its own.
    public func completeFire(_ botId: BotID, _ taskId: TaskID, scheduledFor: Date, outcome: ScheduledTask.Outcome, result: String?) async throws {
        for _ in 0..<5 {
            let writes = try await settlementWrites(botId, taskId, scheduledFor: scheduledFor, outcome: outcome, result: result, at: time.now())
            if writes.isEmpty { return }
            do {
                return try await records.transact(writes)
            } catch RecordStoreError.conditionFailed {
                continue
            }
        }
        throw TaskError.unavailable
    }

    private static func next(_ task: ScheduledTask, after date: Date) throws -> Date? {
        try TaskRules.recurrence(task).next(after: date, timezone: task.timezone)
    }
}
