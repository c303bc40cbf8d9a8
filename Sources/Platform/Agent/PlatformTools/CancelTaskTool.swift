import Platform

struct CancelTaskTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "cancel_task"
    let description = "Deletes a scheduled task for good."
    let inputSchema = Schema.object(["task_id": TaskText.idSchema], required: ["task_id"])
    let isReadOnly = false

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let id = try input.text("task_id", most: 64)
        try await platformCall { try await run.gateway.deleteTask(id) }
        return .text("The task \(id) was deleted.")
    }
}
