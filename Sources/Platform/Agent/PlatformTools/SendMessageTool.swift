import Platform

/// An interim message, sent while the run goes on.
struct SendMessageTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "send_message"
    let description = """
        Sends a message to this conversation at once, while you go on working: a word before something that takes long, an interim \
        result, or one of several separate messages. Your final text is sent by itself; do not send it with this tool too.
        """
    let inputSchema = Schema.object(["text": Schema.string("The message, in the formatting of this channel. At most 100 000 bytes.")], required: ["text"])
    let isReadOnly = false

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let text = try input.text("text", most: InvocationRun.replyLimit)
        try await platformCall { try await run.outbox.post(AgentReply(kind: .message, text: text)) }
        return .text("Sent.")
    }
}
