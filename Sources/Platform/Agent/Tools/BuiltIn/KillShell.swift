import Platform

/// Ends a command in the background.
struct KillShellTool: AgentTool {
    let name = "KillShell"
    let aliases = ["KillBash"]
    let isReadOnly = false
    let description = "Kills a background command (Bash with `run_in_background`) and everything it started."
    let inputSchema = Schema.object(["shell_id": Schema.string("The id that Bash gave")], required: ["shell_id"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let job = try context.jobs.job(try fields.optionalText("bash_id") ?? fields.text("shell_id"))
        guard job.isRunning else { throw ToolError("\(job.id) does not run any more. \(BashOutputTool.words(job.status)).") }
        job.end()
        await job.wait()
        try Task.checkCancellation()
        return .text("Killed \(job.id).")
    }
}
