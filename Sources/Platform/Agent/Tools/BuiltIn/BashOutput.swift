import Foundation
import Platform

/// What a command in the background has written since the last look.
struct BashOutputTool: AgentTool {
    let name = "BashOutput"
    let isReadOnly = true
    let description = """
        Shows what a background command (Bash with `run_in_background`) wrote since you last looked, and whether it still runs.
        - `timeout` waits that long for its end first, instead of asking again and again.
        - `filter` shows only lines that match; the others are then passed over for good.
        """
    let inputSchema = Schema.object(
        [
            "bash_id": Schema.string("The id that Bash gave"),
            "filter": Schema.string("A regular expression"),
            "timeout": Schema.integer("Milliseconds to wait for the end (0 when not given, at most 600000)"),
        ], required: ["bash_id"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let job = try context.jobs.job(try fields.text("bash_id"))
        let filter = try fields.optionalText("filter").flatMap { $0.isEmpty ? nil : $0 }
        if let filter, filter.utf8.count > 1000 || (try? NSRegularExpression(pattern: filter)) == nil {
            throw ToolError("The filter '\(filter.prefix(100))' is no regular expression.")
        }
        if let wait = try fields.optionalInteger("timeout"), wait > 0 { try await Self.wait(for: job, context.timeLeft(.milliseconds(min(wait, 600_000)))) }
        // The status first: what is written after it is shown next time, never lost.
        let status = job.status
        let (news, left) = job.news(limit: context.limits.outputBytes)
        var text = news
        if let filter { text = try await blocking { signal in try Self.lines(of: news, that: filter, signal) } }
        var parts = [Self.words(status)]
        if left > 0, let path = job.output.filePath { parts.append("(\(left) bytes before this are not shown; they are in \(path).)") }
        if job.output.total > context.limits.outputFileBytes {
            parts.append("(It wrote \(FileAccess.sizeText(job.output.total)), of which only the first \(FileAccess.sizeText(context.limits.outputFileBytes)) are kept. Its last line: \(job.output.lastLine))")
        }
        parts.append(text.isEmpty ? "(no new output)" : text)
        return .text(parts.joined(separator: "\n"))
    }

    private static func wait(for job: BackgroundJob, _ time: Duration) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await job.wait() }
            group.addTask { try? await Task.sleep(for: time) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    private static func lines(of text: String, that match: String, _ signal: CancellationSignal) throws -> String {
        let expression = try NSRegularExpression(pattern: match)
        let deadline = ContinuousClock.now + .seconds(5)
        return try text.split(separator: "\n").filter { line in
            var isMatch = false
            var isLate = false
            expression.enumerateMatches(in: String(line), options: [.reportProgress], range: NSRange(location: 0, length: line.utf16.count)) { match, _, stop in
                if match != nil { isMatch = true }
                isLate = signal.isCancelled || ContinuousClock.now > deadline
                if isMatch || isLate { stop.pointee = true }
            }
            try signal.check()
            if isLate { throw ToolError("The filter takes too long; use a simpler one.") }
            return isMatch
        }.joined(separator: "\n")
    }

    static func words(_ status: BackgroundJob.Status) -> String {
        switch status {
        case .running: "Status: running"
        case .ended(.exited(let code)): "Status: completed, exit code \(code)"
        case .ended(.killed(let signal)): "Status: killed by signal \(signal)"
        case .ended(.timedOut): "Status: killed, it had run for a week"
        case .ended(.cancelled): "Status: killed"
        case .failed(let reason): "Status: failed. \(reason)"
        }
    }
}
