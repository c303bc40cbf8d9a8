import Platform

struct ResumeTaskTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "resume_task"
    let description = "Resumes a paused task."
    let inputSchema = Schema.object(["task_id": TaskText.idSchema], required: ["task_id"])
    let isReadOnly = false
    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult { try await TaskText.setStatus("active", input, run) }
}
