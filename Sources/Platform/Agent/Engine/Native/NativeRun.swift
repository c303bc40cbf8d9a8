import Foundation
import Logging
import Platform

/// One run of the native engine: the loop of model turns and tool calls over one conversation.
struct NativeRun {
    /// Continuations after an output limit, and compactions for length, within one run.
    private static let mostContinuations = 3
    private static let mostShrinks = 2

    let options: NativeEngine.Options
    let run: EngineRun
    let executor: ToolExecutor
    let request: MessagesRequest
    let emit: @Sendable (EngineEvent) -> Void
    let logger: Logger
    var session: NativeSession

    /// What the final reply will carry, and the live text before it.
    private var messageId = MessageID(ULID.make())
    private var showedText = false
    private var dialogue: ModelDialogue
    private var turns = 0
    private var inbox: Inbox
    /// What is to happen once the gateway has accepted the final reply.
    private let commit: @Sendable () async -> Void

    init(
        options: NativeEngine.Options, run: EngineRun, dialogue: ModelDialogue, executor: ToolExecutor, request: MessagesRequest, session: NativeSession,
        logger: Logger, commit: @escaping @Sendable () async -> Void, emit: @escaping @Sendable (EngineEvent) -> Void
    ) {
        self.options = options; self.run = run; self.executor = executor; self.request = request; self.session = session
        self.logger = logger; self.commit = commit; self.emit = emit; self.dialogue = dialogue
        inbox = Inbox(gateway: run.gateway)
    }

    // MARK: A message

    /// Answers `message`, which is appended to the conversation first.
    mutating func answer(_ message: [ContentBlock]) async throws -> EngineOutcome {
        try await session.append(user: message)
        var lastText = ""
        // Text of an answer that output limits cut into pieces.
        var pieces = ""
        var continuations = 0, shrinks = 0
        var nudged = false
        while true {
            try Task.checkCancellation()
            if session.contextTokens(fixed: fixedTokens) > options.compactionThreshold, shrinks < Self.mostShrinks {
                shrinks += 1
                try await compact(keeping: message)
            }
            guard turns < run.payload.maxTurns else { return try await finish(Self.limitNote(after: lastText, turns: turns)) }
            turns += 1
            let turn: TurnAssembler.Turn
            do {
                turn = try await nextTurn()
            } catch ModelFailure.tooLong where shrinks < Self.mostShrinks {
                shrinks += 1
                turns -= 1
                try await compact(keeping: message)
                continue
            } catch ModelFailure.mediaRejected where session.hasMedia {
                turns -= 1
                logger.notice("the model cannot read an image or document: all are left out")
                try await session.dropMedia()
                continue
            } catch ModelFailure.runBudget {
                return try await finish(Self.budgetNote(after: pieces.isEmpty ? lastText : pieces))
            }
            if turn.stopReason == .refusal {
                // A refused turn left in the conversation is refused again: the exchange is taken back (docs: handling stop reasons).
                try await session.rollBack()
                return .answer(answer(with: "I can't help with that request."))
            }
            try await session.append(turn, model: run.payload.model)
            let text = turn.message.text
            if !text.allSatisfy(\.isWhitespace) { lastText = text }
            if !turn.message.toolUses.isEmpty {
                try await runTools(turn)
                continue
            }
            switch turn.stopReason {
            case .pauseTurn: continue
            case .maxTokens where continuations < Self.mostContinuations:
                continuations += 1
                pieces += text
                try await note(
                    turn.wasCutInCall
                        ? "Your tool call was longer than one reply can be and was not carried out. Do it in several smaller calls."
                        : "Your reply was cut at its length limit. Continue exactly where it ended, without repeating anything.")
            case .contextExceeded where shrinks < Self.mostShrinks:
                shrinks += 1
                pieces += text
                try await compact(keeping: message)
                try await note("Continue with what you were doing.")
            case .maxTokens: return try await finish(pieces + text + "\n\n(I stopped here because the answer became too long. Ask me to go on if you need the rest.)")
            case .contextExceeded: return try await finish(pieces + text + "\n\n(I stopped here because the conversation became too long for the model.)")
            case .endTurn, .toolUse, .refusal:
                let answer = pieces + text
                if !answer.allSatisfy(\.isWhitespace) { return try await finish(answer) }
                if await run.outbox.sent > 0 || run.payload.isScheduledTask == true { return try await finish("") }
                if !lastText.isEmpty { return try await finish(lastText) }
                guard !nudged else { return .failure(.agentFailed, detail: "the model ended twice without any text") }
                nudged = true
                try await note("Your turn ended without any text. Write your answer to the last message now.")
            }
        }
    }

    private mutating func runTools(_ turn: TurnAssembler.Turn) async throws {
        let results = await executor.run(turn.message.toolUses, broken: turn.brokenCalls, emit: emit)
        // What people wrote meanwhile; best effort, only at this boundary.
        let news = Task.isCancelled ? nil : await inbox.news()
        try await session.append(results, news: news)
    }

    /// A word of the engine to the model, in the person's turn but not theirs.
    private mutating func note(_ text: String) async throws {
        try await session.append(user: [.text("<system-note>\(text)</system-note>")])
    }

    static func limitNote(after text: String, turns: Int) -> String {
        (text.isEmpty ? "" : text + "\n\n")
            + "(I stopped after \(turns) steps, the limit for one message, and am not done yet. Tell me to continue if I should go on.)"
    }

    static func budgetNote(after text: String) -> String {
        (text.isEmpty ? "" : text + "\n\n") + "(I stopped because the token budget for one message is used up, and am not done yet. Tell me to continue if I should go on.)"
    }

    /// Makes the answer durable before anybody hears it.
    private mutating func finish(_ text: String) async throws -> EngineOutcome {
        try await session.end(text)
        return .answer(answer(with: text))
    }

    private func answer(with text: String) -> EngineAnswer {
        EngineAnswer(messageId: messageId, text: text, sessionId: session.id, turns: turns, alsoAnswers: inbox.taken, commit: commit)
    }

    // MARK: A turn

    /// One assistant turn, shown as it comes.
    private mutating func nextTurn() async throws -> TurnAssembler.Turn {
        let shown = Shown(id: messageId, follows: showedText)
        // What a broken try has shown is no part of the answer: the next one shows under a new id.
        let emit = emit
        let listener = ModelDialogue.Listener(onText: { emit(.text(shown.id, shown.next($0))) }, onBroken: { shown.restart() })
        defer { (messageId, showedText) = (shown.id, shown.follows) }
        let session = session
        return try await dialogue.turn(request, listener: listener) { try session.encoded(withoutThinking: $0) }
    }

    /// Which message the live text belongs to, and whether some of it has come already.
    private final class Shown {
        private(set) var id: MessageID
        private(set) var follows: Bool
        private var isFirst = true
        init(id: MessageID, follows: Bool) { self.id = id; self.follows = follows }

        /// Turns are paragraphs of their own.
        func next(_ text: String) -> String {
            defer { isFirst = false; follows = true }
            return isFirst && follows ? "\n\n" + text : text
        }
        func restart() {
            id = MessageID(ULID.make())
            follows = false
            isFirst = true
        }
    }

    // MARK: Compaction

    private var fixedTokens: Int { TokenEstimate.tokens(bytes: request.toolBytes + request.systemBytes) }

    /// Puts a summary in the place of the conversation; `message` is what is being answered now.
    private mutating func compact(keeping message: [ContentBlock]) async throws {
        let worked = turns > 0
        let summary = try await summarise(focus: nil)
        try await session.restart(summary: summary, pending: message)
        if worked { try await note("You were at work on the message above when this happened; the summary says how far you got. Go on from there.") }
        logger.info("conversation was compacted")
    }

    /// `/compact`: returns the reply.
    mutating func compactOnCommand() async throws -> EngineOutcome {
        guard session.messages.count >= 2 else {
            try await session.rollBack()
            return .answer(answer(with: "There is nothing to compact yet: this conversation has just begun."))
        }
        let before = session.contextTokens(fixed: fixedTokens)
        let summary = try await summarise(focus: run.payload.prompt)
        try await session.restart(summary: summary, pending: nil)
        try await session.end("")
        let after = session.contextTokens(fixed: fixedTokens)
        return .answer(
            answer(with: "Compacted the conversation: about \(TokenEstimate.text(before)) tokens became about \(TokenEstimate.text(after)). The full text is kept in the workspace under `conversations/`."))
    }

    private mutating func summarise(focus: String?) async throws -> String {
        let text = Compaction.request(focus: focus)
        // The same tools and system as always, so that the provider's cache still serves the prefix.
        var messages = session.messages
        for _ in 0..<4 {
            try Task.checkCancellation()
            do {
                let asked = messages
                let turn = try await dialogue.turn(request, mostTokens: 12_000) { withoutThinking in
                    var conversation = EncodedConversation()
                    try conversation.update(to: Compaction.asking(text, after: asked, withoutThinking: withoutThinking))
                    return conversation
                }
                let summary = turn.message.text
                if !summary.allSatisfy(\.isWhitespace) { return summary }
            } catch ModelFailure.tooLong {
                messages = Compaction.newerHalf(of: messages)
            } catch ModelFailure.mediaRejected where session.hasMedia {
                messages = messages.map(\.withoutMedia)
            } catch ModelFailure.runBudget {
                break
            }
        }
        // The model would not; the newest exchange as it stands is better than an end of the conversation.
        return Compaction.excerpt(of: session.messages)
    }

    // MARK: /context

    mutating func contextReport(parts: [(String, Int)]) async throws -> EngineOutcome {
        let text = ContextReport.text(
            parts: parts + [("Tools", TokenEstimate.tokens(bytes: request.toolBytes))], messages: session.messages, lastUsage: session.lastUsage,
            window: options.contextWindow, model: run.payload.model)
        try await session.rollBack()
        return .answer(answer(with: text))
    }
}
