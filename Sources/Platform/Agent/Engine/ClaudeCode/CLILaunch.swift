import Foundation
import Platform

/// How the CLI is started for a run: its arguments and its whole environment.
struct CLILaunch {
    /// Its own tools that a bot has. A list of what is allowed, since newer CLIs bring newer tools: what plans, calls out or schedules
    /// by itself has no place here (SEC-89).
    static let tools = ["Task", "Bash", "BashOutput", "KillShell", "TaskOutput", "TaskStop", "Read", "Write", "Edit", "Glob", "Grep", "NotebookEdit", "TodoWrite", "WebFetch"]

    let payload: InvocationPayload
    let session: CLISession
    let home: CLIHome
    /// Names of the tool servers that we serve.
    let servers: [String]
    let places: AgentPlaces
    /// What commands find; the CLI's own come on top.
    let commands: [String: String]
    /// Base URL of the model calls, and the key that opens it.
    let door: String
    let key: Secret

    var arguments: [String] {
        var words = [
            "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
            "--model", payload.model, "--max-turns", "\(payload.maxTurns)", "--permission-mode", "bypassPermissions",
            // No settings but these: not the user's, the project's or the workspace's (SEC-68).
            "--setting-sources", "", "--strict-mcp-config", "--settings", Self.text(["skipWebFetchPreflight": true]),
            "--mcp-config", Self.text(["mcpServers": .object(Dictionary(uniqueKeysWithValues: servers.map { ($0, ["type": "sdk", "name": .string($0)]) }))]),
            "--tools", (Self.tools + (payload.webSearch == .provider ? ["WebSearch"] : [])).joined(separator: ","),
            "--append-system-prompt-file", home.promptFile,
        ]
        for folder in [places.paths.learnings, places.paths.shared, places.attachments] where FileManager.default.fileExists(atPath: folder) {
            words += ["--add-dir", folder]
        }
        return words + (session.isResumed ? ["--resume", session.id] : ["--session-id", session.id])
    }

    var environment: [String: String] {
        var variables = commands
        variables["CLAUDE_CONFIG_DIR"] = home.path
        variables["ANTHROPIC_BASE_URL"] = door
        variables["ANTHROPIC_AUTH_TOKEN"] = key.reveal()
        // The gateway knows one model for a run: small jobs are for it as well.
        for name in ["ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "CLAUDE_CODE_SUBAGENT_MODEL"] {
            variables[name] = payload.model
        }
        variables["CLAUDE_CODE_MAX_RETRIES"] = "5"
        for name in [
            // The gateway passes few betas on, and what of a body needs another would be refused.
            "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "CLAUDE_CODE_DISABLE_AUTO_MEMORY", "CLAUDE_CODE_DISABLE_CRON", "DISABLE_AUTOUPDATER", "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
            // It would not run as root otherwise; whether there is a sandbox is the operator's choice (compute.sandbox).
            "IS_SANDBOX",
        ] { variables[name] = "1" }
        variables["ENABLE_TOOL_SEARCH"] = "false"
        let local = "127.0.0.1,localhost"
        for name in ["NO_PROXY", "no_proxy"] { variables[name] = variables[name].map { "\($0),\(local)" } ?? local }
        return variables
    }

    private static func text(_ value: Value) -> String { (try? JSON.text(value)) ?? "{}" }
}
