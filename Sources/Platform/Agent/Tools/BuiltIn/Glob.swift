import Foundation
import Platform

/// Finds files by the pattern of their names.
struct GlobTool: AgentTool {
    let name = "Glob"
    let isReadOnly = true
    let description = """
        Finds files whose path matches a pattern such as `**/*.swift` or `src/{a,b}/*.ts`; the newest come first.
        """
    let inputSchema = Schema.object(
        [
            "pattern": Schema.string("The pattern: * and ? within a name, ** over directories, [abc], {a,b}"),
            "path": Schema.string("The directory to search in; the working directory when not given"),
        ], required: ["pattern"])

    /// Matches that are sorted; beyond that the search ends.
    private static let maxMatches = 20_000

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let input = try ToolInput(input)
        var pattern = try input.text("pattern")
        var root = try context.resolve(try input.optionalText("path") ?? ".")
        if pattern.hasPrefix("/") || pattern.hasPrefix("~/") {
            // The part before the first wildcard is the place to search in.
            let parts = (try context.resolve(pattern)).split(separator: "/").map(String.init)
            let fixed = parts.dropLast().prefix { !$0.contains(where: { "*?[{\\".contains($0) }) }
            root = "/" + fixed.joined(separator: "/")
            pattern = parts[fixed.count...].joined(separator: "/")
        }
        guard FileAccess.status(root)?.kind == .folder else { throw ToolError("\(root) is no directory.") }
        let compiled = try PathPattern(pattern)
        // A repository's own store is entered only by those who name it.
        let skipsGit = !pattern.contains(".git")
        let limit = context.limits.globResults
        let time = context.timeLeft(context.limits.searchTime)
        let start = root
        return try await blocking { signal in
            var walk = TreeWalk(root: start, deadline: .now + time, signal: signal)
            var found: [(path: String, modified: Int)] = []
            try walk.run(
                compiled.start,
                enter: { states, name in
                    if skipsGit, name == ".git" { return nil }
                    let next = compiled.advance(states, by: name)
                    return next.isEmpty ? nil : next
                },
                visit: { states, name, path in
                    if compiled.accepts(compiled.advance(states, by: name)), let status = FileAccess.status(path) {
                        found.append((path, status.stamp.modified))
                    }
                    return found.count < Self.maxMatches
                })
            guard !found.isEmpty else {
                return .text(walk.isIncomplete ? "No file found before the search ran out of time; name a narrower `path`." : "No file matches.")
            }
            found.sort { ($1.modified, $0.path) < ($0.modified, $1.path) }
            var text = found.prefix(limit).map(\.path).joined(separator: "\n")
            if found.count > limit { text += "\n(\(found.count - limit) more, older files match; name a narrower pattern or path.)" }
            if walk.isIncomplete || found.count >= Self.maxMatches { text += "\n(The search was ended early: there may be more.)" }
            return .text(text)
        }
    }
}
