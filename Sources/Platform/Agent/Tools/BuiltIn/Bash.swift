import Foundation
import Platform

/// Runs a shell command; the working directory is kept from call to call, variables are not.
struct BashTool: AgentTool {
    let name = "Bash"
    let isReadOnly = false
    let description = """
        Runs a bash command and returns its output, standard error included, in order.
        - The working directory is kept between calls; environment variables and functions are not.
        - There is no terminal and nothing on standard input: use flags that make programs ask nothing.
        - `timeout` is in milliseconds, 120000 by default and 600000 at most; then everything the command started is killed.
        - Long output is shortened in the middle; the result names the file that holds the whole.
        - `run_in_background` starts a server, a build or anything else that takes long, and returns at once: read its output with BashOutput, \
        end it with KillShell. It runs on between messages, until this workspace has been idle for a while.
        - Prefer Read, Edit, Write, Glob and Grep over cat, sed, echo, find and grep.
        """
    let inputSchema = Schema.object(
        [
            "command": Schema.string("The command to run"),
            "timeout": Schema.integer("Milliseconds until it is killed (120000 when not given, at most 600000)"),
            "description": Schema.string("What the command does, in five to ten words"),
            "run_in_background": Schema.flag("Start it and go on; no time-out holds for it"),
        ], required: ["command"])

    private static let usualTimeout = 120_000
    private static let longestTimeout = 600_000

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let input = try ToolInput(input)
        let text = try input.text("command")
        guard !text.utf8.contains(0) else { throw ToolError("The command holds a NUL character.") }
        let wanted = min(try input.optionalInteger("timeout", atLeast: 1) ?? Self.usualTimeout, Self.longestTimeout)
        let timeout = context.timeLeft(.milliseconds(wanted))
        var note = ""
        if FileAccess.status(context.directory.path)?.kind != .folder {
            note = "(The working directory \(context.directory.path) is gone; back in \(context.workspace).)\n"
            context.directory.path = context.workspace
        }

        let limits = context.limits
        try? FileManager.default.createDirectory(
            atPath: limits.outputDirectory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let output = CapturedOutput(limit: limits.outputBytes, fileLimit: limits.outputFileBytes, directory: limits.outputDirectory)
        if try input.flag("run_in_background") == true {
            let job = try context.jobs.start(Self.command("eval \"$1\"", text, in: context), most: limits.jobs, output: output)
            return .text("\(note)Running in the background with the id \(job.id).\(output.filePath.map { " Its output goes to \($0)." } ?? "")")
        }
        // The shell says at its exit where it is. A path of our own making: letters, digits, and the configured directory.
        let placeFile = "\(limits.outputDirectory)/directory-\(ULID.make())"
        defer { unlink(placeFile) }
        let command = Self.command("trap 'pwd -P >\"\(placeFile)\"' EXIT; eval \"$1\"", text, in: context)
        let background = context.commands.count
        let end = try await command.run(into: output, timeout: timeout, groups: context.commands, progress: context.progress)
        if end == .cancelled { throw CancellationError() }
        if let (bytes, _) = try? FileAccess.contents(placeFile, limit: 64 << 10) {
            let place = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .newlines)
            if place.hasPrefix("/") { context.directory.path = place }
        }

        var result = note + output.text.trimmingSuffix(while: \.isWhitespace)
        if context.commands.count > background, let path = output.filePath {
            result += "\n(Something still runs in the background; its output goes to \(path).)"
        }
        for sentence in context.refusals?.take() ?? [] { result += "\n(Network: \(sentence))" }
        switch end {
        case .exited(0): return .text(result.isEmpty ? "(no output)" : result)
        case .exited(let code): return .error("Exit code \(code)\n" + result)
        case .killed(let signal): return .error("Killed by \(Self.name(of: signal))\n" + result)
        case .timedOut, .cancelled: return .error("Timed out after \(timeout.milliseconds) ms and was killed\n" + result)
        }
    }

    /// A shell that runs `script`, whose `$1` is `text`.
    private static func command(_ script: String, _ text: String, in context: ToolContext) -> Command {
        let hasBash = FileAccess.status("/bin/bash") != nil
        var environment = context.environment
        environment["PWD"] = context.directory.path
        for (name, value) in ["TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0", "LANG": "C.UTF-8"]
        where environment[name] == nil || name == "TERM" {
            environment[name] = value
        }
        if environment["PATH"] == nil { environment["PATH"] = "/usr/local/bin:/usr/bin:/bin" }
        return Command(
            executable: hasBash ? "/bin/bash" : "/bin/sh", arguments: (hasBash ? ["--noprofile", "--norc"] : []) + ["-c", script, "bash", text],
            environment: environment, directory: context.directory.path)
    }

    private static func name(of signal: Int32) -> String {
        switch signal {
        case SIGKILL: "SIGKILL (perhaps it used too much memory)"
        case SIGXFSZ: "SIGXFSZ (a file became larger than is allowed)"
        case SIGSEGV: "SIGSEGV"
        case SIGTERM: "SIGTERM"
        case SIGABRT: "SIGABRT"
        default: "signal \(signal)"
        }
    }
}

extension String {
    fileprivate func trimmingSuffix(while matches: (Character) -> Bool) -> String {
        var end = endIndex
        while end > startIndex, matches(self[index(before: end)]) { end = index(before: end) }
        return String(self[..<end])
    }
}
