import Platform

struct ListTasksTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "list_tasks"
    let description = "Lists the scheduled tasks of this conversation: id, state, schedule, next run, prompt."
    let inputSchema = Schema.object([:], required: [])
    let isReadOnly = true

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let tasks = try await platformCall { try await run.gateway.tasks() }
        return .text(tasks.isEmpty ? "There are no scheduled tasks." : tasks.map(TaskText.line).joined(separator: "\n"))
    }
}

/// Tasks in words for the model.
enum TaskText {
    static let valueHelp = """
        cron: five fields, such as `0 9 * * 1-5` (9:00 on working days); interval: milliseconds, a multiple of 60000; \
        once: a local time without offset, such as `2026-03-01T09:00:00`.
        """

    static func line(_ task: Value) -> String {
        func field(_ name: String) -> String { task[name]?.string ?? "" }
        var parts = ["id \(field("taskId"))", field("status"), "\(field("scheduleType")) \(field("scheduleValue"))"]
        if !field("timezone").isEmpty { parts.append(field("timezone")) }
        if !field("nextRun").isEmpty { parts.append("next run \(field("nextRun"))") }
        if !field("contextMode").isEmpty { parts.append("context \(field("contextMode"))") }
        if !field("lastStatus").isEmpty { parts.append("last run: \(field("lastStatus"))") }
        return "- " + parts.joined(separator: ", ") + ": " + field("prompt").replacingOccurrences(of: "\n", with: " ")
    }

    static let idSchema = Schema.string("The task's id, from list_tasks.")

    static func setStatus(_ status: String, _ input: Value, _ run: PlatformTools) async throws -> ToolResult {
        let id = try input.text("task_id", most: 64)
        var fields = TaskFields()
        fields.status = status
        let wanted = fields
        let task = try await platformCall { try await run.gateway.updateTask(id, wanted) }
        return .text("Done.\n" + line(task))
    }
}
