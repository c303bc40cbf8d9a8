import Foundation
import Platform

/// Searches contents of files with a regular expression: through ripgrep where it is installed, else by ``TextSearch``.
struct GrepTool: AgentTool {
    let name = "Grep"
    let isReadOnly = true
    let description = """
        Searches the contents of files with a regular expression (ripgrep's syntax).
        - `output_mode`: "files_with_matches" (the default) lists paths, newest first; "content" shows lines; "count" counts per file.
        - Narrow the search with `path`, `glob` (such as "*.js" or "**/*.tsx") or `type` (such as "py").
        - Braces and other signs with a meaning need a backslash; patterns match within a line unless `multiline` is set.
        """
    let inputSchema = Schema.object(
        [
            "pattern": Schema.string("The regular expression"),
            "path": Schema.string("The file or directory to search in; the working directory when not given"),
            "glob": Schema.string("Only files that match this pattern"),
            "type": Schema.string("Only files of this type: py, js, ts, swift, go, rust, java, md, …"),
            "output_mode": Schema.choice(TextSearchQuery.Mode.allCases.map(\.rawValue), "What to show; files_with_matches when not given"),
            "-A": Schema.integer("Lines to show after each match (content)"),
            "-B": Schema.integer("Lines to show before each match (content)"),
            "-C": Schema.integer("Lines to show around each match (content)"),
            "context": Schema.integer("The same as -C"),
            "-n": Schema.flag("Show line numbers (content; true when not given)"),
            "-i": Schema.flag("Ignore case"),
            "multiline": Schema.flag("Let . match line ends and patterns go over lines"),
            "head_limit": Schema.integer("Show only the first lines or entries (250 when not given, 0 = all)"),
            "offset": Schema.integer("Leave out that many lines or entries first"),
        ], required: ["pattern"])

    /// Tests switch ripgrep off.
    var usesRipgrep = true
    /// Bytes of ripgrep's output that are looked at.
    private static let maxOutput = 4 << 20

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let query = try TextSearchQuery(input, context)
        guard let kind = FileAccess.status(query.path)?.kind else { throw ToolError("\(query.path) does not exist.") }
        guard kind == .file || kind == .folder else { throw ToolError("\(query.path) is no plain file but a pipe, socket or device.") }
        let found: (lines: [String], note: String?)
        if usesRipgrep, let ripgrep = Programs.find("rg", in: context) {
            found = try await search(query, with: ripgrep, context)
        } else {
            let time = context.timeLeft(context.limits.searchTime)
            found = try await blocking { signal in try TextSearch(query: query, deadline: .now + time, signal: signal).run() }
        }
        return .text(Self.present(found.lines, query, found.note, context))
    }

    private func search(_ query: TextSearchQuery, with ripgrep: String, _ context: ToolContext) async throws -> (lines: [String], note: String?) {
        var arguments = [
            "--no-config", "--color=never", "--no-heading", "--no-messages", "--with-filename", "--hidden", "--glob=!.git", "--max-columns=2000",
            "--max-columns-preview",
        ]
        switch query.mode {
        case .files: arguments.append("--files-with-matches")
        case .count: arguments.append("--count")
        case .content:
            arguments.append(query.lineNumbers ? "--line-number" : "--no-line-number")
            if query.before > 0 { arguments.append("--before-context=\(query.before)") }
            if query.after > 0 { arguments.append("--after-context=\(query.after)") }
        }
        if query.ignoresCase { arguments.append("--ignore-case") }
        if query.multiline { arguments += ["--multiline", "--multiline-dotall"] }
        for glob in query.globs { arguments.append("--glob=\(glob)") }
        if let type = query.type { arguments.append("--type=\(type)") }
        arguments += ["--regexp=\(query.pattern)", "--", query.path]
        let output = CapturedOutput(limit: 2 * Self.maxOutput, fileLimit: 0, directory: context.limits.outputDirectory)
        let command = Command(executable: ripgrep, arguments: arguments, environment: ["LANG": "C.UTF-8"], directory: context.directory.path)
        let end = try await command.run(into: output, timeout: context.timeLeft(context.limits.searchTime))
        let text = output.total <= Self.maxOutput ? output.text : String(output.text.prefix(Self.maxOutput))
        let lines = text.split(separator: "\n", omittingEmptySubsequences: query.mode != .content).map(String.init)
        let trimmed = lines.last == "" ? Array(lines.dropLast()) : lines
        switch end {
        case .cancelled: throw CancellationError()
        case .exited(1): return ([], nil)
        case .exited(0): return (trimmed, output.total > Self.maxOutput ? "(Only the beginning of very many matches.)" : nil)
        case .timedOut:
            return (trimmed, "(The search was ended after \(context.limits.searchTime.milliseconds) ms: there may be more. Name a narrower `path`.)")
        default:
            // Status 2 also stands for single files that could not be read, whose messages are off: then there is output of matches.
            if trimmed.isEmpty { return ([], nil) }
            guard !text.contains("error:"), !text.hasPrefix("rg:"), !text.hasPrefix("unrecognized") else {
                throw ToolError("The search failed: \(text.prefix(1000).trimmingCharacters(in: .whitespacesAndNewlines))")
            }
            return (trimmed, nil)
        }
    }

    private static func present(_ lines: [String], _ query: TextSearchQuery, _ note: String?, _ context: ToolContext) -> String {
        var lines = lines
        if query.mode == .files {
            lines = lines.map { ($0, FileAccess.status($0)?.stamp.modified ?? 0) }.sorted { ($1.1, $0.0) < ($0.1, $1.0) }.map(\.0)
        }
        guard !lines.isEmpty else { return note ?? "No matches." }
        let shown = lines.dropFirst(query.offset).prefix(query.limit == 0 ? lines.count : query.limit)
        let prefix = context.directory.path + "/"
        var text = ""
        var count = 0
        for line in shown {
            let short = line.hasPrefix(prefix) ? String(line.dropFirst(prefix.count)) : line
            guard text.utf8.count + short.utf8.count <= context.limits.outputBytes || count == 0 else { break }
            text += short + "\n"
            count += 1
        }
        let left = lines.count - query.offset - count
        if shown.isEmpty { text = "(There are only \(lines.count) lines or entries.)" }
        if left > 0 { text += "(\(left) more; go on with offset \(query.offset + count), or narrow the search.)\n" }
        if let note { text += note }
        return text.trimmingCharacters(in: .newlines)
    }
}
