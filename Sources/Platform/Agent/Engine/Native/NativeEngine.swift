import Foundation
import Logging
import Platform
import Synchronization

/// Our own agent loop over the Messages API: no other process, no Node.
public struct NativeEngine: AgentEngine {
    public struct Options: Sendable {
        /// Output limit of one turn; lowered by itself for models that write less.
        public var maxTokens = 16_000
        public var contextWindow = 200_000
        /// Share of the window from which on the conversation is compacted by itself.
        public var compactAt = 0.8
        /// Extended thinking; nil = what suits the model (``Thinking/suiting(_:at:)``).
        public var thinking: Thinking?
        /// Tries of one model call, the first included.
        public var modelTries = 6
        var backoff = Backoff(first: .milliseconds(500), most: .seconds(30))
        var mcp = MCPLimits()
        public init() {}

        var compactionThreshold: Int { Int(Double(contextWindow) * compactAt) }
    }

    private let places: AgentPlaces
    private let options: Options
    private let sessions: SessionCache
    /// Kept over the runs of the process: working directory, files read, commands in the background.
    private let toolContext: ToolContext
    /// What the model's endpoint would not take.
    private let lessons = ModelLessons()
    private let servers: MCPServers
    private let serverGroups = CommandGroups()
    private let logger: Logger

    /// - Parameters:
    ///   - commandEnvironment: variables that commands find besides the usual ones.
    ///   - refusals: where refused connections of commands are told.
    public init(
        places: AgentPlaces = AgentPlaces(), options: Options = Options(), commandEnvironment: [String: String] = [:], refusals: EgressRefusals? = nil, logger: Logger
    ) {
        self.places = places; self.options = options; self.logger = logger
        sessions = SessionCache(directory: places.paths.sessionFiles)
        let environment = CommandEnvironment.make(home: places.paths.home).merging(commandEnvironment) { $1 }
        var context = ToolContext(workspace: places.paths.group, environment: environment)
        context.refusals = refusals
        toolContext = context
        servers = MCPServers(
            places: MCPPlaces(workspace: places.paths.group, environment: environment, groups: serverGroups), limits: options.mcp, logger: logger)
    }

    /// Ends commands that still run in the background, and MCP servers.
    public func shutDown() {
        toolContext.endBackground()
        serverGroups.killAll()
    }

    public func run(_ run: EngineRun, emit: @escaping @Sendable (EngineEvent) -> Void) async -> EngineOutcome {
        var logger = logger
        logger[metadataKey: "invocationId"] = "\(run.payload.invocationId)"
        do {
            var (state, parts) = try await prepare(run, logger: logger, emit: emit)
            do {
                let outcome =
                    switch run.payload.sdkCommand {
                    case .context: try await state.contextReport(parts: parts)
                    case .compact: try await state.compactOnCommand()
                    case nil: try await state.answer(UserTurn.content(run.payload, attachments: places.attachments))
                    }
                if case .failure = outcome { await state.session.abandon(.failed) }
                sessions.keep(state.session, key: TurnKey.of(run.payload))
                return outcome
            } catch {
                let outcome = Self.outcome(of: error)
                if case .failure = outcome { await state.session.abandon(.failed) } else { await state.session.abandon(.stopped) }
                sessions.keep(state.session, key: TurnKey.of(run.payload))
                return outcome
            }
        } catch {
            let outcome = Self.outcome(of: error)
            if case .failure(_, let detail) = outcome { return .failure(.agentFailed, detail: "the run could not be prepared: \(detail)") }
            return outcome
        }
    }

    private func prepare(
        _ run: EngineRun, logger: Logger, emit: @escaping @Sendable (EngineEvent) -> Void
    ) async throws -> (NativeRun, [(String, Int)]) {
        let payload = run.payload
        let opened = try await sessions.open(payload)
        if opened.wasStale { logger.notice("the session to resume is gone: a new one begins, memory is kept") }
        let key = TurnKey.of(payload)
        let marker = try await opened.transcript.beginTurn(payload.invocationId, answering: opened.acceptedKey == key ? nil : key)
        let session = try await NativeSession(
            transcript: opened.transcript, marker: marker, lastUsage: opened.lastUsage, archiveDirectory: places.paths.group + "/conversations")
        let offer = await servers.prepare(run)
        for report in offer.reports { emit(.server(report.id, problem: report.problem)) }
        let skills = try await SkillLibrary.load(places.paths.skills, whitelist: payload.toolWhitelist)
        let memory = try await WorkspaceMemory.load(places.paths, botName: payload.botName, memoryWritable: payload.memoryWritable ?? true)
        let prompt = SystemPrompt(payload, memory: memory, skills: skills, moved: places.moved, notes: offer.note.map { [$0] } ?? [])
        // The model sees these files in its prompt, so it may change them without reading them again.
        for part in memory.parts where part.layer == .bot || part.layer == .group { toolContext.files.noteRead(part.path) }

        let dialogue = ModelDialogue(run: run, options: options, lessons: lessons, logger: logger)
        var context = toolContext
        context.deadline = payload.deadline
        context.takesDocuments = payload.providerType == .anthropicCompatible || payload.providerType == .bedrock
        context.sideModel = .asking(dialogue, model: payload.model)
        let shared = tools(for: run, skills: skills) + offer.tools
        let helpers = Subagent.Maker(
            tools: shared, context: context, dialogue: dialogue, runtime: prompt.runtime, thinking: thinking(payload), emit: emit, logger: logger)
        let tools = shared + [TaskTool { try await helpers.make($0).work($1) }]
        let request = try MessagesRequest(
            model: payload.model, system: prompt.text, tools: MessagesRequest.offered(tools, whitelist: payload.toolWhitelist), thinking: thinking(payload))
        let executor = ToolExecutor(tools: tools, whitelist: payload.toolWhitelist, context: context, logger: logger)
        let sessions = sessions
        let state = NativeRun(
            options: options, run: run, dialogue: dialogue, executor: executor, request: request, session: session, logger: logger,
            commit: { sessions.accepted() }, emit: emit)
        return (state, prompt.sizes)
    }

    private func thinking(_ payload: InvocationPayload) -> Thinking {
        options.thinking ?? .suiting(payload.model, at: payload.providerType)
    }

    /// What the agent and its sub-agents have, in a fixed order; `Task` follows for the agent itself.
    private func tools(for run: EngineRun, skills: SkillLibrary) -> [any AgentTool] {
        var tools = BuiltInTools.all
        switch run.payload.webSearch {
        case .provider: tools.append(WebSearchTool(source: .provider))
        case .platform: tools.append(WebSearchTool(source: .platform(run.gateway)))
        case nil: break
        }
        if !skills.skills.isEmpty { tools.append(SkillTool(library: skills)) }
        return tools + PlatformTools(run: run).all
    }

    static func outcome(of error: any Error) -> EngineOutcome {
        if Task.isCancelled || error is CancellationError { return .interrupted }
        return switch error {
        case ModelFailure.runBudget: .failure(.quotaExceeded, detail: "the run's token budget is used up")
        case ModelFailure.quotaExceeded: .failure(.quotaExceeded, detail: "the gateway said quota-exceeded")
        case ModelFailure.runEnded, GatewayError.runEnded: .runEnded
        case ModelFailure.again(_, let reason): .failure(.providerUnavailable, detail: reason)
        case ModelFailure.refused(let reason): .failure(.providerUnavailable, detail: reason)
        case ModelFailure.tooLong: .failure(.agentFailed, detail: "the conversation does not fit the model's context, also when compacted")
        case let failure as ModelFailure: .failure(.providerUnavailable, detail: "\(failure)")
        default: .failure(.agentFailed, detail: "\(error)")
        }
    }
}

/// What a try answers, the same in every try of it: the last message of the prompt with its sender and time, or the scheduled task with
/// its time (what stands around them may differ from try to try).
enum TurnKey {
    static func of(_ payload: InvocationPayload) -> String? {
        let prompt = payload.prompt
        let element = payload.isScheduledTask == true ? "<scheduled_task " : "<message "
        // Text of people cannot hold this: their `<` is escaped (SEC-38). Without the element nothing tells two equal prompts apart.
        guard let start = prompt.range(of: element, options: .backwards)?.lowerBound else { return nil }
        return Digest.sha256Hex(String(prompt[start...]))
    }
}
