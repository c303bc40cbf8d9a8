import Foundation
import Platform

/// What `Grep` was asked for.
struct TextSearchQuery: Sendable {
    enum Mode: String, Sendable, CaseIterable { case content, files = "files_with_matches", count }

    var pattern: String
    /// Absolute.
    var path: String
    var globs: [String]
    var type: String?
    var mode: Mode
    var before: Int
    var after: Int
    var lineNumbers: Bool
    var ignoresCase: Bool
    var multiline: Bool
    /// Lines or entries shown; 0 = all.
    var limit: Int
    var offset: Int

    init(_ value: Value, _ context: ToolContext) throws(ToolError) {
        let input = try ToolInput(value)
        pattern = try input.text("pattern")
        guard !pattern.isEmpty, !pattern.utf8.contains(0), pattern.utf8.count <= 10_000 else {
            throw ToolError("The pattern must have 1 to 10000 bytes, none of them NUL.")
        }
        path = try context.resolve(try input.optionalText("path") ?? ".")
        globs = (try input.optionalText("glob")).map { $0.split(separator: " ").map(String.init) } ?? []
        type = try input.optionalText("type")
        if let type, type.wholeMatch(of: /[a-zA-Z0-9+-]{1,30}/) == nil { throw ToolError("`type` must be a name such as py or js.") }
        mode = try input.choice("output_mode", Mode.self) ?? .files
        let (shortAround, longAround) = (try input.optionalInteger("-C"), try input.optionalInteger("context"))
        let around = shortAround ?? longAround
        before = min(try input.optionalInteger("-B") ?? around ?? 0, 200)
        after = min(try input.optionalInteger("-A") ?? around ?? 0, 200)
        lineNumbers = try input.flag("-n") ?? true
        ignoresCase = try input.flag("-i") ?? false
        multiline = try input.flag("multiline") ?? false
        limit = try input.optionalInteger("head_limit") ?? context.limits.grepLines
        offset = try input.optionalInteger("offset") ?? 0
    }
}

/// Searches files without ripgrep, with its output's form.
///
/// Foundation's regular expressions rather than Swift's: they report their progress, so that one that backtracks without
/// end is stopped at the deadline. Unlike ripgrep this search does not read ignore files.
struct TextSearch {
    let query: TextSearchQuery
    let deadline: ContinuousClock.Instant
    let signal: CancellationSignal

    private static let maxFile = 8 << 20
    private static let maxLines = 50_000
    /// Extensions of the commoner of ripgrep's types.
    private static let types: [String: [String]] = [
        "c": ["c", "h"], "cpp": ["cpp", "cc", "cxx", "hpp", "hh", "h"], "css": ["css", "scss"], "csv": ["csv"], "go": ["go"],
        "html": ["html", "htm"],
        "java": ["java"], "js": ["js", "jsx", "mjs", "cjs"], "json": ["json"], "kotlin": ["kt", "kts"], "lua": ["lua"], "md": ["md", "markdown"],
        "php": ["php"], "py": ["py", "pyi"], "ruby": ["rb"], "rust": ["rs"], "sh": ["sh", "bash", "zsh"], "sql": ["sql"], "swift": ["swift"],
        "toml": ["toml"], "ts": ["ts", "tsx", "mts", "cts"], "txt": ["txt"], "xml": ["xml"], "yaml": ["yaml", "yml"],
    ]

    private enum Stop: Error { case outOfTime }

    func run() throws -> (lines: [String], note: String?) {
        var options: NSRegularExpression.Options = query.ignoresCase ? [.caseInsensitive] : []
        options.insert(.anchorsMatchLines)
        if query.multiline { options.insert(.dotMatchesLineSeparators) }
        guard let expression = try? NSRegularExpression(pattern: query.pattern, options: options) else {
            throw ToolError("The pattern '\(query.pattern)' is no regular expression.")
        }
        var extensions: [String]?
        if let type = query.type {
            guard let known = Self.types[type] else { throw ToolError("The type '\(type)' is unknown; use `glob` instead.") }
            extensions = known
        }
        let wanted = try query.globs.filter { !$0.hasPrefix("!") }.map { (try PathPattern($0), $0.contains("/")) }
        let unwanted = try query.globs.filter { $0.hasPrefix("!") }.map { (try PathPattern(String($0.dropFirst())), $0.contains("/")) }
        func named(_ pattern: (PathPattern, Bool), _ relative: String, _ name: String) -> Bool { pattern.0.matches(pattern.1 ? relative : name) }

        var lines: [String] = []
        var note: String?
        do {
            if FileAccess.status(query.path)?.kind == .file {
                try search(query.path, expression, &lines)
            } else {
                var walk = TreeWalk(root: query.path, deadline: deadline, signal: signal)
                let skip = query.path.utf8.count + 1
                try walk.run(
                    (), enter: { _, name in name == ".git" ? nil : () },
                    visit: { _, name, path in
                        if let extensions, !extensions.contains(where: { name.hasSuffix("." + $0) }) { return true }
                        let relative = String(decoding: path.utf8.dropFirst(query.path == "/" ? 1 : skip), as: UTF8.self)
                        if !wanted.isEmpty, !wanted.contains(where: { named($0, relative, name) }) { return true }
                        if unwanted.contains(where: { named($0, relative, name) }) { return true }
                        try search(path, expression, &lines)
                        return lines.count < Self.maxLines
                    })
                if walk.isIncomplete { throw Stop.outOfTime }
            }
        } catch Stop.outOfTime {
            note = "(The search ran out of time: there may be more. Use a simpler pattern or a narrower `path`.)"
        }
        return (lines, note)
    }

    private func search(_ path: String, _ expression: NSRegularExpression, _ lines: inout [String]) throws {
        guard let (bytes, _) = try? FileAccess.contents(path, limit: Self.maxFile), !FileAccess.looksBinary(bytes) else { return }
        let text = bytes.split(separator: 0x0a, omittingEmptySubsequences: false).map { line in
            String(decoding: line.last == 0x0d ? line.dropLast() : line, as: UTF8.self)
        }
        let content = text.last == "" ? Array(text.dropLast()) : text
        var matched: [Int] = []
        if query.multiline {
            try matchAcross(content, expression, &matched)
        } else {
            for (index, line) in content.enumerated() {
                if index % 64 == 0 { try check() }
                if try matches(line, expression) { matched.append(index) }
                if query.mode == .files, !matched.isEmpty { break }
            }
        }
        guard !matched.isEmpty else { return }
        switch query.mode {
        case .files: lines.append(path)
        case .count: lines.append("\(path):\(matched.count)")
        case .content: show(path, content, matched, &lines)
        }
    }

    private func show(_ path: String, _ content: [String], _ matched: [Int], _ lines: inout [String]) {
        let hits = Set(matched)
        var last = -1
        for index in matched {
            let from = max(last + 1, index - query.before)
            let to = min(content.count - 1, index + query.after)
            guard from <= to else { continue }
            if query.before + query.after > 0, !lines.isEmpty, last < 0 || from > last + 1 { lines.append("--") }
            for line in from...to {
                let mark = hits.contains(line) ? ":" : "-"
                lines.append(path + mark + (query.lineNumbers ? "\(line + 1)\(mark)" : "") + content[line].prefix(2000))
            }
            last = to
        }
    }

    private func check() throws {
        try signal.check()
        if ContinuousClock.now >= deadline { throw Stop.outOfTime }
    }

    private func matches(_ line: String, _ expression: NSRegularExpression) throws -> Bool {
        try !ranges(in: line, expression, limit: 1).isEmpty
    }

    /// Notes each line that a match touches.
    private func matchAcross(_ content: [String], _ expression: NSRegularExpression, _ matched: inout [Int]) throws {
        var starts: [Int] = []
        var offset = 0
        for line in content {
            starts.append(offset)
            offset += line.utf16.count + 1
        }
        var touched: Set<Int> = []
        for range in try ranges(in: content.joined(separator: "\n"), expression, limit: Self.maxLines) {
            func line(at place: Int) -> Int {
                var (low, high) = (0, starts.count)
                while low < high {
                    let middle = (low + high) / 2
                    if starts[middle] <= place { low = middle + 1 } else { high = middle }
                }
                return max(0, low - 1)
            }
            touched.formUnion(line(at: range.location)...line(at: max(range.location, range.location + range.length - 1)))
        }
        matched = touched.sorted()
    }

    private func ranges(in text: String, _ expression: NSRegularExpression, limit: Int) throws -> [NSRange] {
        var found: [NSRange] = []
        var failure: (any Error)?
        expression.enumerateMatches(in: text, options: [.reportProgress], range: NSRange(location: 0, length: text.utf16.count)) { match, _, stop in
            if let match {
                found.append(match.range)
                if found.count >= limit { stop.pointee = true }
                return
            }
            do { try check() } catch {
                failure = error
                stop.pointee = true
            }
        }
        if let failure { throw failure }
        return found
    }
}
