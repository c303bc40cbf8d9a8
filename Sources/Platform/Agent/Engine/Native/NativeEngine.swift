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
        /// Extended thinking; nil = only what the endpoint does by itself.
        public var thinkingBudget: Int?
        /// Tries of one model call, the first included.
        public var modelTries = 6
        var backoff = Backoff(first: .milliseconds(500), most: .seconds(30))
        public init() {}

        var compactionThreshold: Int { Int(Double(contextWindow) * compactAt) }
    }

    private let workspace: WorkspaceLayout
    private let policyFile: String?
    private let options: Options
    private let sessions: SessionCache
    /// Kept over the runs of the process: working directory, files read, commands in the background.
    private let toolContext: ToolContext
    private let logger: Logger

    /// - Parameter policyFile: the operator's managed policy, a part of every system prompt.
    public init(workspace: WorkspaceLayout, policyFile: String? = nil, options: Options = Options(), logger: Logger) {
        self.workspace = workspace; self.policyFile = policyFile; self.options = options; self.logger = logger
        sessions = SessionCache(directory: workspace.sessions)
        toolContext = ToolContext(workspace: workspace.group, environment: CommandEnvironment.make(home: workspace.home))
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
                    case nil: try await state.answer(UserTurn.content(run.payload, attachments: workspace.attachments))
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
            transcript: opened.transcript, marker: marker, lastUsage: opened.lastUsage, archiveDirectory: workspace.group + "/conversations")
        let tools = self.tools(for: run)
        let prompt = SystemPrompt(payload, policy: policyFile.flatMap { try? String(contentsOfFile: $0, encoding: .utf8) }, memory: memory(payload))
        let request = try MessagesRequest(
            model: payload.model, system: prompt.text,
            tools: tools.filter { payload.toolWhitelist.allows(tool: $0.name) }.map {
                .init(name: $0.name, description: $0.description, input_schema: $0.inputSchema)
            }, thinkingBudget: options.thinkingBudget)
        var context = toolContext
        context.deadline = payload.deadline
        let executor = ToolExecutor(tools: tools, whitelist: payload.toolWhitelist, context: context, logger: logger)
        let sessions = sessions
        let state = NativeRun(
            options: options, run: run, executor: executor, request: request, session: session, logger: logger,
            commit: { sessions.accepted() }, emit: emit)
        return (state, prompt.sizes)
    }

    private func tools(for run: EngineRun) -> [any AgentTool] { BuiltInTools.all + PlatformTools(run: run, workspace: workspace).all }
    private func memory(_ payload: InvocationPayload) -> [(name: String, text: String)] { [] }

    private static func outcome(of error: any Error) -> EngineOutcome {
        if Task.isCancelled || error is CancellationError { return .interrupted }
        return switch error {
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

/// What a try answers, the same in every try of it: the last message of the prompt, with its sender and time (what stands around it may
/// differ from try to try). Scheduled prompts repeat themselves word for word, so they have no key.
enum TurnKey {
    static func of(_ payload: InvocationPayload) -> String? {
        guard payload.isScheduledTask != true else { return nil }
        let prompt = payload.prompt
        let start = prompt.range(of: "<message ", options: .backwards)?.lowerBound ?? prompt.startIndex
        return Digest.sha256Hex(String(prompt[start...]))
    }
}
