import Foundation
import Platform

/// `/agent/v1/tasks`: the scheduling tools. An agent sees and changes the tasks of its own conversation only (SEC-75).
extension AgentGateway {
    private static let scheduleTypes: [ScheduledTask.ScheduleType] = [.cron, .interval, .once]
    private static let contextModes: [ScheduledTask.ContextMode] = [.group, .isolated]
    private func scope(_ run: AuthorizedRun) -> TaskService.Scope { .group(run.grant.userId, run.key) }

    public func listTasks(_ run: AuthorizedRun, status: ScheduledTask.Status?, limit: Int, cursor: String?) async throws -> (
        items: [ScheduledTask], cursor: String?
    ) {
        try await requireTool("list_tasks", run)
        return try await tasks.list(scope(run), status: status, limit: limit, cursor: cursor)
    }

    public func getTask(_ run: AuthorizedRun, _ id: TaskID) async throws -> ScheduledTask {
        try await requireTool("list_tasks", run)
        return try await recordingForeign(run, "list_tasks", id) { try await tasks.get(id, scope(run)) }
    }

    public func createTask(_ run: AuthorizedRun, body: Data) async throws -> ScheduledTask {
        try await requireTool("schedule_task", run)
        var object = try StrictJSONObject(body)
        let prompt = object.text("prompt", required: true), type = object.choice("scheduleType", Self.scheduleTypes, required: true)
        let value = object.text("scheduleValue", required: true), timezone = object.text("timezone"),
            mode = object.choice("contextMode", Self.contextModes)
        try await finish(object, run, "schedule_task")
        guard let prompt, let type, let value else { throw GatewayError.malformedJSON }
        return try await tasks.create(
            TaskDraft(prompt: prompt, scheduleType: type, scheduleValue: value, timezone: timezone, contextMode: mode), scope(run))
    }

    public func updateTask(_ run: AuthorizedRun, _ id: TaskID, body: Data) async throws -> ScheduledTask {
        var object = try StrictJSONObject(body)
        var change = TaskChange()
        change.prompt = object.text("prompt")
        change.scheduleType = object.choice("scheduleType", Self.scheduleTypes)
        change.scheduleValue = object.text("scheduleValue")
        change.timezone = object.text("timezone")
        change.contextMode = object.choice("contextMode", Self.contextModes)
        change.status = object.choice("status", [ScheduledTask.Status.active, .paused])
        let tool: String
        switch change.status {
        case .paused where change.isStatusOnly: tool = "pause_task"
        case .active where change.isStatusOnly: tool = "resume_task"
        default: tool = "update_task"
        }
        try await requireTool(tool, run)
        try await finish(object, run, tool)
        return try await recordingForeign(run, tool, id) { try await tasks.update(id, change, scope(run)) }
    }

    public func deleteTask(_ run: AuthorizedRun, _ id: TaskID) async throws {
        try await requireTool("cancel_task", run)
        try await recordingForeign(run, "cancel_task", id) { try await tasks.delete(id, scope(run)) }
    }

    private func finish(_ object: StrictJSONObject, _ run: AuthorizedRun, _ tool: String) async throws {
        if object.remaining.contains(where: Self.identityFields.contains) { await deny(run, "mcp__clawbot__\(tool)") }
        try object.finish()
    }

    /// A task that exists and is another conversation's answers like none; that it was tried is recorded.
    private func recordingForeign<T>(_ run: AuthorizedRun, _ tool: String, _ id: TaskID, _ body: () async throws -> T) async throws -> T {
        do {
            return try await body()
        } catch TaskError.notFound {
            await deny(run, "mcp__clawbot__\(tool)")
            throw TaskError.notFound
        }
    }
}
