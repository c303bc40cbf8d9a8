import Platform

/// Creates an appointment of this conversation.
struct ScheduleTaskTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "schedule_task"
    let description = """
        Schedules a prompt that you will be given later, once or again and again, in this conversation. Times are local to `timezone`. \
        For \"in ten minutes\" take the time of the message from its context, add ten minutes, and use `once`.
        """
    let inputSchema = Schema.object(
        [
            "prompt": Schema.string("What you are to do then, complete in itself: who asked, what for, what to send. At most 5000 characters."),
            "schedule_type": Schema.choice(["cron", "interval", "once"], "The kind of schedule."),
            "value": Schema.string(TaskText.valueHelp),
            "context_mode": Schema.choice(
                ["isolated", "group"],
                "isolated (default): a fresh session that sees only the prompt and the memory files; group: this conversation goes on."),
            "timezone": Schema.string("IANA name such as Europe/Berlin; default the one of the context."),
        ], required: ["prompt", "schedule_type", "value"])
    let isReadOnly = false

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        var fields = TaskFields()
        fields.prompt = try input.text("prompt", most: 20_000)
        fields.scheduleType = try input.text("schedule_type", most: 20)
        fields.scheduleValue = try input.text("value", most: 200)
        fields.contextMode = try input.optionalText("context_mode", most: 20)
        fields.timezone = try input.optionalText("timezone", most: 100) ?? run.conversation.timezone
        let wanted = fields
        let task = try await platformCall { try await run.gateway.createTask(wanted) }
        return .text("Scheduled.\n" + TaskText.line(task))
    }
}
