import Foundation
import Logging
import Platform

/// Scheduled tasks: their records, their quota and the schedules that fire them. One rule book for console and agents.
///
/// The record comes first, the schedule follows: what is in the record is the truth, and a schedule that got lost on the way is put
/// again when its overdue task is read.
public struct TaskService: Sendable {
    /// Whose tasks: all of a bot (its owner), or one conversation's (an agent).
    public enum Scope: Sendable {
        case bot(UserID, BotID)
        case group(UserID, SessionKey)

        var userId: UserID {
            switch self {
            case .bot(let user, _), .group(let user, _): user
            }
        }
        var botId: BotID {
            switch self {
            case .bot(_, let bot): bot;
            case .group(_, let session): session.botId
            }
        }
        var groupJid: GroupJID? { if case .group(_, let session) = self { session.groupJid } else { nil } }
    }

    let records: any RecordStore
    let scheduler: any Scheduler
    let time: any TimeSource
    let logger: Logger

    public init(
        records: any RecordStore, scheduler: any Scheduler, time: any TimeSource = SystemTime(), logger: Logger = Logger(label: "clawbot.tasks")
    ) {
        self.records = records; self.scheduler = scheduler; self.time = time; self.logger = logger
    }

    /// Creates a task, counted against the tenant's `maxTasksPerBot` in the same transaction.
    public func create(_ draft: TaskDraft, _ scope: Scope) async throws -> ScheduledTask {
        let now = time.now()
        let bot = try await bot(scope)
        guard let groupJid = scope.groupJid ?? draft.groupJid else { throw TaskError.invalid("groupJid", "groupJid is required.") }
        let session = SessionKey(botId: bot.botId, groupJid: groupJid)
        if scope.groupJid == nil, try await records.get(Group.key(session)) == nil {
            throw TaskError.invalid("groupJid", "groupJid must be a conversation of this bot.")
        }
        var task = ScheduledTask(
            botId: bot.botId, taskId: TaskID(ULID.make(at: now)), userId: scope.userId, groupJid: groupJid, prompt: draft.prompt,
            scheduleType: draft.scheduleType, scheduleValue: draft.scheduleValue, timezone: draft.timezone ?? bot.timezone,
            contextMode: draft.contextMode ?? .isolated, at: now)
        task.nextRun = try TaskRules.check(task, at: now)
        guard let user = try await records.get(User.self, User.key(scope.userId)) else { throw TaskError.notFound }
        let limit = user.quota.maxTasksPerBot
        do {
            try await records.transact([
                .update(
                    Bot.key(scope.userId, bot.botId), [.add("taskCount", 1)],
                    if: .and([.lessThan("taskCount", .value(.int(limit))), .notEquals("status", "deleted")])),
                try task.putting(if: .recordAbsent),
            ])
        } catch RecordStoreError.conditionFailed(let index, let current) {
            guard index == 0, let current, current.document["status"]?.string != "deleted" else { throw TaskError.notFound }
            throw TaskError.quotaExceeded(limit: limit)
        }
        do {
            try await scheduler.put(schedule(task))
        } catch {
            try await forget(task)
            throw Self.refused(error)
        }
        return task
    }

    /// Newest first. `limit` 1..200.
    public func list(_ scope: Scope, status: ScheduledTask.Status? = nil, groupJid: GroupJID? = nil, limit: Int = 50, cursor: String? = nil)
        async throws -> (items: [ScheduledTask], cursor: String?)
    {
        _ = try await bot(scope)
        var conditions: [Condition] = []
        if let group = scope.groupJid ?? groupJid { conditions.append(.equals("groupJid", .value(.string(group.rawValue)))) }
        if let status { conditions.append(.equals("status", .value(.string(status.rawValue)))) }
        let page = try await records.query(
            ScheduledTask.self,
            RecordQuery(
                ScheduledTask.table, partition: scope.botId.rawValue, filter: conditions.isEmpty ? nil : .and(conditions), descending: true,
                limit: limit, cursor: cursor))
        for task in page.items { await repair(task) }
        return page
    }

    public func get(_ id: TaskID, _ scope: Scope) async throws -> ScheduledTask {
        guard ULID.isWellFormed(id.rawValue), let task = try await records.get(ScheduledTask.self, ScheduledTask.key(scope.botId, id)),
            task.userId == scope.userId, scope.groupJid == nil || scope.groupJid == task.groupJid
        else { throw TaskError.notFound }
        await repair(task)
        return task
    }

    public func update(_ id: TaskID, _ change: TaskChange, _ scope: Scope) async throws -> ScheduledTask {
        guard !change.isEmpty else { throw TaskError.invalid("body", "At least one field is required.") }
        guard change.status != .completed else { throw TaskError.invalid("status", "status must be active or paused.") }
        for _ in 0..<5 {
            let old = try await get(id, scope)
            guard old.status != .completed else { throw TaskError.completed }
            let now = time.now()
            var task = old
            if let prompt = change.prompt { task.prompt = prompt }
            if let type = change.scheduleType { task.scheduleType = type }
            if let value = change.scheduleValue { task.scheduleValue = value }
            if let timezone = change.timezone { task.timezone = timezone }
            if let mode = change.contextMode { task.contextMode = mode }
            if let status = change.status { task.status = status }
            task.updatedAt = now
            task.revision += 1
            let moved = change.movesSchedule || old.status != task.status
            if moved {
                if change.movesSchedule { task.nextRun = nil }
                let next = try TaskRules.check(task, at: now)
                task.nextRun = task.status == .active ? next : nil
            } else {
                try TaskRules.checkPrompt(task.prompt)
            }
            do {
                try await records.put(task, if: .equals("revision", .value(.int(old.revision))))
            } catch RecordStoreError.conditionFailed {
                continue
            }
            if moved {
                do {
                    try await scheduler.put(schedule(task))
                } catch {
                    // Back to what the scheduler still has.
                    var undone = old
                    undone.revision = task.revision + 1
                    do { try await records.put(undone, if: .equals("revision", .value(.int(task.revision)))) } catch RecordStoreError.conditionFailed
                    {}
                    throw Self.refused(error)
                }
            }
            return task
        }
        throw TaskError.unavailable
    }

    public func delete(_ id: TaskID, _ scope: Scope) async throws {
        let task = try await get(id, scope)
        guard try await forget(task) else { throw TaskError.notFound }
        try await scheduler.remove(task.botId, task.taskId)
    }

    /// Removes every schedule and task of a bot that is being deleted; its count goes with it.
    public func deleteAll(_ userId: UserID, _ botId: BotID) async throws {
        for task in try await records.all(ScheduledTask.self, RecordQuery(ScheduledTask.table, partition: botId.rawValue, limit: 200)) {
            try await scheduler.remove(botId, task.taskId)
            try await forget(task)
        }
    }

    /// What a task hands to the scheduler.
    public func schedule(_ task: ScheduledTask) throws -> TaskSchedule {
        TaskSchedule(
            botId: task.botId, taskId: task.taskId, userId: task.userId, groupJid: task.groupJid, when: try TaskRules.recurrence(task),
            timezone: task.timezone, enabled: task.status == .active)
    }

    // MARK: -

    private func bot(_ scope: Scope) async throws -> Bot {
        guard let bot = try await records.get(Bot.self, Bot.key(scope.userId, scope.botId)), bot.status != .deleted else { throw TaskError.notFound }
        return bot
    }

    /// Deletes the record and gives its place in the quota back, as one. False when it was gone already.
    @discardableResult
    private func forget(_ task: ScheduledTask) async throws -> Bool {
        for _ in 0..<5 {
            guard let record = try await records.get(task.key), let status = record.document["status"] else { return false }
            var writes: [RecordWrite] = [.delete(task.key, if: .equals("status", .value(status)))]
            if status.string != ScheduledTask.Status.completed.rawValue { writes.append(Self.uncount(task)) }
            do {
                try await records.transact(writes)
                return true
            } catch RecordStoreError.conditionFailed(let index, _) {
                if index == 1 {
                    // The count is not there to lower (the bot's record is gone): the task goes all the same.
                    try await records.delete(task.key)
                    return true
                }
            }
        }
        throw TaskError.unavailable
    }

    static func uncount(_ task: ScheduledTask) -> RecordWrite {
        .update(Bot.key(task.userId, task.botId), [.add("taskCount", -1)], if: .atLeast("taskCount", 1))
    }

    /// Puts the schedule of a task again that should have fired two minutes ago and did not: its schedule was lost between the
    /// two writes. Harmless where it was not: a fire is taken once.
    private func repair(_ task: ScheduledTask) async {
        guard task.status == .active, let due = task.nextRun, due < time.now() - 120, task.lastFire.map({ $0 < due }) != false else { return }
        do { try await scheduler.put(schedule(task)) } catch {
            logger.warning(
                "putting an overdue schedule again failed", metadata: ["botId": "\(task.botId)", "taskId": "\(task.taskId)", "cause": "\(error)"])
        }
    }

    private static func refused(_ error: any Error) -> TaskError {
        if let error = error as? ScheduleError { return .invalid("scheduleValue", error.reason) }
        return .unavailable
    }
}
