import Platform

/// Gives a piece of work to a sub-agent: a model with a context of its own, the same machine and grant, and fewer tools.
struct TaskTool: AgentTool {
    /// Does the work and returns the report.
    let work: @Sendable (Subagent.Kind, String) async throws -> String

    let name = "Task"
    let isReadOnly = false
    /// Several are begun together: that is what they are for.
    let runsBesideOthers = true
    let description = """
        Starts a sub-agent that works on a task by itself and returns one report, which only you see. Use it for searches and work whose many \
        steps you need not see; call it several times in one turn for tasks that do not depend on each other: they run at the same time.
        - general-purpose: all tools for files, commands and the web. Explore: only reads and searches, for questions about what is there.
        - It sees nothing of this conversation: write everything it needs into the prompt, and what it is to report.
        - It cannot send messages, schedule tasks or start sub-agents. Its tokens count for this message.
        """
    let inputSchema = Schema.object(
        [
            "description": Schema.string("The task in three to five words"),
            "prompt": Schema.string("The task, complete in itself"),
            "subagent_type": Schema.choice(Subagent.Kind.allCases.map(\.rawValue), "The kind of sub-agent; general-purpose when not given"),
        ], required: ["description", "prompt"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let prompt = try fields.text("prompt")
        guard prompt.contains(where: { !$0.isWhitespace }), prompt.utf8.count <= 100_000 else { throw ToolError("`prompt` must have 1 to 100 000 bytes.") }
        let kind = try fields.choice("subagent_type", Subagent.Kind.self) ?? .generalPurpose
        return .text(try await work(kind, prompt))
    }
}
