import Foundation
import Logging
import Platform

/// Claude Code itself: drives the `claude` CLI over its stream-json protocol, one process a run, in the same sandbox as the native engine.
///
/// Of the CLI only its loop and its tools are used. Its prompt, memory, tool servers and settings come from here: it reads no settings
/// of the workspace or of the home directory (SEC-68), its model calls go through a ``ModelDoor``, and the platform's tools are served
/// to it in this process (``ToolBridge``), so that neither the grant nor anybody's secret is in its environment.
public struct ClaudeCodeEngine: AgentEngine {
    private let cli: String
    private let places: AgentPlaces
    private let logger: Logger
    private let servers: MCPServers
    private let groups = CommandGroups()
    /// What its commands and MCP servers find.
    private let environment: [String: String]

    /// - Parameters:
    ///   - cli: absolute path of the CLI's executable on this side of the sandbox.
    ///   - commandEnvironment: variables that commands find besides the usual ones.
    public init(cli: String, places: AgentPlaces = AgentPlaces(), commandEnvironment: [String: String] = [:], logger: Logger) {
        self.cli = cli; self.places = places; self.logger = logger
        environment = CommandEnvironment.make(home: places.paths.home).merging(commandEnvironment) { $1 }
        servers = MCPServers(places: MCPPlaces(workspace: places.paths.group, environment: environment, groups: groups), logger: logger)
    }

    /// Ends the CLI, should it run, and MCP servers.
    public func shutDown() { groups.killAll() }

    public func run(_ run: EngineRun, emit: @escaping @Sendable (EngineEvent) -> Void) async -> EngineOutcome {
        var logger = logger
        logger[metadataKey: "invocationId"] = "\(run.payload.invocationId)"
        do {
            return try await perform(run, logger: logger, emit: emit)
        } catch {
            if Task.isCancelled || error is CancellationError { return .interrupted }
            if case GatewayError.runEnded = error { return .runEnded }
            return .failure(.agentFailed, detail: "the claude CLI could not be driven: \(error)")
        }
    }

    private func perform(_ run: EngineRun, logger: Logger, emit: @escaping @Sendable (EngineEvent) -> Void) async throws -> EngineOutcome {
        let payload = run.payload
        let session = try CLISession(payload, sessionFiles: places.paths.sessionFiles)
        if session.wasStale { logger.notice("the session to resume is gone: a new one begins, memory is kept") }
        if payload.sdkCommand == .compact, !session.isResumed {
            return .answer(EngineAnswer(messageId: MessageID(ULID.make()), text: CLIRun.nothingToCompact, sessionId: payload.resumeSessionId, turns: 0))
        }
        let offer = await servers.prepare(run)
        let home = try CLIHome(projects: session.projects)
        defer { home.remove() }
        try Data(try await prompt(payload, note: offer.note).utf8).write(to: URL(filePath: home.promptFile))
        let bridge = ToolBridge(
            tools: PlatformTools(run: run).all + offer.tools, whitelist: payload.toolWhitelist, context: ToolContext(workspace: places.paths.group))
        let door = ModelDoor(gateway: run.gateway, key: Secret(Digest.sha256Hex(UUID().uuidString + UUID().uuidString)), logger: logger)
        return try await door.serving { port in
            let launch = CLILaunch(
                payload: payload, session: session, home: home, servers: bridge.servers, places: places, commands: environment,
                door: "http://127.0.0.1:\(port)", key: door.key)
            let process = try CLIProcess(
                cli, launch.arguments, environment: launch.environment, directory: places.paths.group, groups: groups)
            var cliRun = CLIRun(run: run, process: process, bridge: bridge, session: session, archives: places.paths.group + "/conversations", logger: logger, emit: emit)
            let ending = await cliRun.carryOut(UserTurn.content(payload, attachments: places.attachments))
            if Task.isCancelled { return .interrupted }
            return try await cliRun.outcome(of: ending, lastFailure: door.lastFailure)
        }
    }

    /// The same words as the native engine's, after the CLI's own: what is the platform's, who the bot is, its memory.
    private func prompt(_ payload: InvocationPayload, note: String?) async throws -> String {
        let skills = try await SkillLibrary.load(places.paths.skills, whitelist: payload.toolWhitelist)
        let memory = try await WorkspaceMemory.load(places.paths, botName: payload.botName, memoryWritable: payload.memoryWritable ?? true)
        // Skills are read and not loaded: a skill's head may hold hooks, and the CLI would run them.
        let listing = skills.skills.isEmpty ? nil : """
            Instructions for special work. When a task matches one of these, read its SKILL.md before you begin, and do as it says:
            \(skills.skills.map { "- \($0.name): \($0.description) (\($0.folder)/SKILL.md)" }.joined(separator: "\n"))
            """
        return SystemPrompt(payload, memory: memory, moved: places.moved, notes: [listing, note].compactMap { $0 }).text
    }
}

/// Runs each invocation with the engine that it names.
public struct EngineChoice: AgentEngine {
    let native: NativeEngine
    /// nil where this process has no CLI.
    let claudeCode: ClaudeCodeEngine?

    public init(native: NativeEngine, claudeCode: ClaudeCodeEngine?) { self.native = native; self.claudeCode = claudeCode }

    public func run(_ run: EngineRun, emit: @escaping @Sendable (EngineEvent) -> Void) async -> EngineOutcome {
        switch run.payload.engine {
        case .native: return await native.run(run, emit: emit)
        case .claudeCode:
            guard let claudeCode else {
                return .failure(.agentFailed, detail: "the bot's engine is claude-code, and this agent was started without a claude CLI (compute.claudeCLI)")
            }
            return await claudeCode.run(run, emit: emit)
        }
    }

    func shutDown() {
        native.shutDown()
        claudeCode?.shutDown()
    }
}
