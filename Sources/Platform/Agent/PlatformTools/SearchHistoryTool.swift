import Platform

/// What was said in this conversation before, beyond what the model still sees.
struct SearchHistoryTool: AgentTool {
    let run: PlatformTools
    let name = PlatformTools.prefix + "search_history"
    let description = "Searches the stored messages of this conversation (90 days), newest first; without a query the newest ones."
    let inputSchema = Schema.object(
        [
            "query": Schema.string("Words that the message contains."),
            "before": Schema.string("Only messages before this time, such as 2026-01-31T08:15:30Z."),
            "limit": Schema.integer("At most so many, 1 to 100; default 20."),
        ], required: [])
    let isReadOnly = true

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let query = try input.optionalText("query", most: 800)
        guard (query?.unicodeScalars.count ?? 0) <= 200 else { throw ToolError("`query` is longer than 200 characters.") }
        let limit = min(100, max(1, input["limit"]?.int ?? 20))
        let before = try input.optionalText("before", most: 40).map { text in
            guard let date = Timestamp.date(text) else { throw ToolError("`before` must be a UTC time such as 2026-01-31T08:15:30Z.") }
            return date
        }
        let messages = try await platformCall { try await run.gateway.history(matching: query, before: before, limit: limit) }
        guard !messages.isEmpty else { return .text("No message was found.") }
        let lines = messages.map { message in
            let sender = XMLText.escape(message["senderName"]?.string ?? message["sender"]?.string ?? "")
            let text = XMLText.escape(String((message["content"]?.string ?? "").prefix(2000)))
            return "<message sender=\"\(sender)\" time=\"\(XMLText.escape(message["timestamp"]?.string ?? ""))\">\(text)</message>"
        }
        return .text(lines.joined(separator: "\n"))
    }
}
