import Platform

struct PauseTaskTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "pause_task"
    let description = "Pauses a scheduled task: it does not fire until it is resumed."
    let inputSchema = Schema.object(["task_id": TaskText.idSchema], required: ["task_id"])
    let isReadOnly = false
    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult { try await TaskText.setStatus("paused", input, run) }
}
