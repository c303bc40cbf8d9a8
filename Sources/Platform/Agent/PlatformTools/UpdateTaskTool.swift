import Platform

struct UpdateTaskTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "update_task"
    let description = "Changes a scheduled task; fields that are left out stay as they are."
    let inputSchema = Schema.object(
        [
            "task_id": TaskText.idSchema,
            "prompt": Schema.string("The new prompt."),
            "schedule_type": Schema.choice(["cron", "interval", "once"], "The new kind of schedule; give `value` too."),
            "value": Schema.string(TaskText.valueHelp),
            "context_mode": Schema.choice(["isolated", "group"], "As in schedule_task."),
            "timezone": Schema.string("IANA name."),
        ], required: ["task_id"])
    let isReadOnly = false

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let id = try input.text("task_id", most: 64)
        var fields = TaskFields()
        fields.prompt = try input.optionalText("prompt", most: 20_000)
        fields.scheduleType = try input.optionalText("schedule_type", most: 20)
        fields.scheduleValue = try input.optionalText("value", most: 200)
        fields.contextMode = try input.optionalText("context_mode", most: 20)
        fields.timezone = try input.optionalText("timezone", most: 100)
        guard fields.prompt != nil || fields.scheduleType != nil || fields.scheduleValue != nil || fields.contextMode != nil || fields.timezone != nil
        else { throw ToolError("Nothing to change was given.") }
        let wanted = fields
        let task = try await platformCall { try await run.gateway.updateTask(id, wanted) }
        return .text("Changed.\n" + TaskText.line(task))
    }
}
