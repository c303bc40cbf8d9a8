import Platform

/// What runs a conversation's agent: ``NativeEngine``, or the `claude` CLI (``ClaudeCodeEngine``).
///
/// A run reports what is worth watching through `emit`, in order, and returns how it ended. Cancelling the calling task ends the run
/// within a second and leaves a transcript that can be resumed; the outcome is then ``EngineOutcome/interrupted``.
public protocol AgentEngine: Sendable {
    func run(_ run: EngineRun, emit: @escaping @Sendable (EngineEvent) -> Void) async -> EngineOutcome
}

/// One invocation as an engine gets it.
public struct EngineRun: Sendable {
    public let payload: InvocationPayload
    public let gateway: GatewayClient
    /// Replies that the run sends before its end, in their order.
    public let outbox: ReplyOutbox
    public init(payload: InvocationPayload, gateway: GatewayClient, outbox: ReplyOutbox) {
        self.payload = payload; self.gateway = gateway; self.outbox = outbox
    }
}

/// What a person may watch live; none of it is kept.
public enum EngineEvent: Sendable {
    /// Text of the reply with that id, as it comes.
    case text(MessageID, String)
    case toolStart(id: String, name: String, summary: String?)
    case toolEnd(id: String, name: String, isError: Bool, duration: Duration)
    /// The whitelist does not have the tool (SEC-87).
    case toolDenied(id: String, name: String)
    /// An MCP server is ready, or why it is not: for its owner.
    case server(MCPServerID, problem: String?)
}

public enum EngineOutcome: Sendable {
    case answer(EngineAnswer)
    /// The detail is for the log only.
    case failure(FailureCode, detail: String)
    /// The calling task was cancelled.
    case interrupted
    /// 401 of the gateway.
    case runEnded
}

public struct EngineAnswer: Sendable {
    /// The id that its deltas carried.
    public var messageId: MessageID
    /// May be empty, when the run has sent something before or is a scheduled task.
    public var text: String
    /// What the conversation is resumed by; nil = unchanged.
    public var sessionId: String?
    public var turns: Int
    /// Messages taken from the inbox, which this answer settles too.
    public var alsoAnswers: [MessageID]
    /// To be called once the gateway has accepted the final reply: from then on the turn is part of the conversation.
    public var commit: @Sendable () async -> Void

    public init(
        messageId: MessageID, text: String, sessionId: String?, turns: Int, alsoAnswers: [MessageID] = [],
        commit: @escaping @Sendable () async -> Void = {}
    ) {
        self.messageId = messageId; self.text = text; self.sessionId = sessionId; self.turns = turns
        self.alsoAnswers = alsoAnswers; self.commit = commit
    }
}
