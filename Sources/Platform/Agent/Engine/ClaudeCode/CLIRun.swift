import Foundation
import Logging
import Platform

/// One run over the CLI's stream-json protocol: what it says becomes events, what it asks (hooks, tool servers) is answered, and its
/// result becomes the outcome.
struct CLIRun {
    static let nothingToCompact = "There is nothing to compact yet: this conversation has just begun."
    /// How long the CLI has to end by itself: after its result, and after an interruption (a run ends within a second of its stop).
    private static let farewell = Duration.seconds(5), interruption = Duration.milliseconds(700)
    private enum Hook: String { case before = "before-tool", after = "after-tool", compacting = "before-compaction" }

    enum Ending: Sendable {
        case result(Value)
        /// Without one.
        case died(status: Int32, lastWords: String)
    }

    let run: EngineRun
    let process: CLIProcess
    let bridge: ToolBridge
    let session: CLISession
    let archives: String
    let logger: Logger
    let emit: @Sendable (EngineEvent) -> Void

    private var messageId = MessageID(ULID.make())
    private var showedText = false
    /// Text of a message that has not ended yet was shown.
    private var isMidMessage = false
    private var lastText = ""
    private var compaction: Value?
    private var calls: [String: (name: String, began: ContinuousClock.Instant)] = [:]
    private var inbox: Inbox

    init(
        run: EngineRun, process: CLIProcess, bridge: ToolBridge, session: CLISession, archives: String, logger: Logger,
        emit: @escaping @Sendable (EngineEvent) -> Void
    ) {
        self.run = run; self.process = process; self.bridge = bridge; self.session = session; self.archives = archives; self.logger = logger; self.emit = emit
        inbox = Inbox(gateway: run.gateway)
    }

    /// Hands the message over and returns once the CLI has ended, its transcript written.
    mutating func carryOut(_ content: [ContentBlock]) async -> Ending {
        var copy = self
        let (process, bridge) = (process, bridge)
        process.send(request("hooks", ["subtype": "initialize", "hooks": Self.hooks]))
        process.send(userMessage(content))
        // A cancelled task reads no stream to its end, and the end of this one matters.
        let reading = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await bridge.serve { request, response in process.send(Self.answer(request, response)) } }
                let ending = await copy.read()
                bridge.finish()
                group.cancelAll()
                return (copy, ending)
            }
        }
        let ending: Ending
        (self, ending) = await withTaskCancellationHandler {
            await reading.value
        } onCancel: {
            process.send(["type": "control_request", "request_id": "stop", "request": ["subtype": "interrupt"]])
            process.closeInput()
            process.end(within: Self.interruption)
        }
        return ending
    }

    private func userMessage(_ content: [ContentBlock]) -> Value {
        let blocks: Value
        switch run.payload.sdkCommand {
        case .compact: blocks = .string("/compact")
        case .context: blocks = .string("/context")
        case nil: blocks = (try? JSON.value(JSON.encode(ChatMessage(role: .user, content: content))))?["content"] ?? .string(run.payload.prompt)
        }
        return ["type": "user", "message": ["role": "user", "content": blocks], "parent_tool_use_id": .null, "session_id": .string(session.id)]
    }

    private static var hooks: Value {
        func hook(_ hook: Hook) -> Value { .array([["matcher": .null, "hookCallbackIds": .array([.string(hook.rawValue)])]]) }
        return ["PreToolUse": hook(.before), "PostToolUse": hook(.after), "PreCompact": hook(.compacting)]
    }
    private func request(_ id: String, _ request: Value) -> Value { ["type": "control_request", "request_id": .string(id), "request": request] }
    private static func answer(_ request: String, _ response: Value) -> Value {
        ["type": "control_response", "response": ["subtype": "success", "request_id": .string(request), "response": response]]
    }

    // MARK: What it says

    private mutating func read() async -> Ending {
        var result: Value?
        for await event in process.events {
            switch event {
            case .line(let line):
                // What is no message is a warning for a person at a terminal.
                guard let message = try? JSON.value(Data(line)), let type = message["type"]?.string else { continue }
                switch type {
                case "stream_event": stream(message)
                case "assistant": assistant(message)
                case "user": results(message)
                case "system" where message["subtype"] == "compact_boundary": compaction = message["compact_metadata"] ?? .object([:])
                case "control_request": await answer(message)
                case "result":
                    result = message
                    process.closeInput()
                    process.end(within: Self.farewell)
                default: break
                }
            case .ended(let status, let lastWords):
                if let result { return .result(result) }
                return .died(status: status, lastWords: lastWords)
            }
        }
        return .died(status: 0, lastWords: "")
    }

    /// Text of the agent itself, as it comes; that of its sub-agents is not shown.
    private mutating func stream(_ message: Value) {
        guard (message["parent_tool_use_id"] ?? .null) == .null, let event = message["event"] else { return }
        switch event["type"]?.string {
        case "message_start":
            // The message before was broken off and is tried again: what it has shown is no part of the answer.
            if isMidMessage { messageId = MessageID(ULID.make()); showedText = false }
            isMidMessage = false
        case "content_block_start" where event["content_block"]?["type"] == "text" && showedText: emit(.text(messageId, "\n\n"))
        case "content_block_delta":
            guard event["delta"]?["type"] == "text_delta", let text = event["delta"]?["text"]?.string, !text.isEmpty else { return }
            emit(.text(messageId, text))
            showedText = true
            isMidMessage = true
        case "message_stop": isMidMessage = false
        default: break
        }
    }

    private mutating func assistant(_ message: Value) {
        let isOwn = (message["parent_tool_use_id"] ?? .null) == .null
        for block in message["message"]?["content"]?.array ?? [] {
            switch block["type"]?.string {
            case "text" where isOwn && message["is_api_error_message"] != true:
                if let text = block["text"]?.string, !text.allSatisfy(\.isWhitespace) { lastText = text }
            case "tool_use":
                guard let id = block["id"]?.string, let name = block["name"]?.string else { continue }
                guard run.payload.toolWhitelist.allows(tool: name) else { emit(.toolDenied(id: id, name: name)); continue }
                calls[id] = (name, .now)
                emit(.toolStart(id: id, name: name, summary: ToolSummary.text(ToolUse(id: id, name: name, input: block["input"] ?? .object([:])))))
            default: break
            }
        }
    }

    private mutating func results(_ message: Value) {
        for block in message["message"]?["content"]?.array ?? [] where block["type"] == "tool_result" {
            guard let id = block["tool_use_id"]?.string, let call = calls.removeValue(forKey: id) else { continue }
            emit(.toolEnd(id: id, name: call.name, isError: block["is_error"] == true, duration: .now - call.began))
        }
    }

    // MARK: What it asks

    private mutating func answer(_ message: Value) async {
        guard let id = message["request_id"]?.string, let asked = message["request"] else { return }
        switch asked["subtype"]?.string {
        case "mcp_message":
            if let response = bridge.take(asked["message"] ?? .null, server: asked["server_name"]?.string ?? "", request: id) { process.send(Self.answer(id, response)) }
        case "hook_callback": process.send(Self.answer(id, await hook(asked["callback_id"]?.string.flatMap(Hook.init), asked["input"] ?? .null)))
        case "can_use_tool": process.send(Self.answer(id, ["behavior": "deny", "message": "This is not allowed for this bot."]))
        default:
            process.send(["type": "control_response", "response": ["subtype": "error", "request_id": .string(id), "error": "This is not supported."]])
        }
    }

    private mutating func hook(_ hook: Hook?, _ input: Value) async -> Value {
        switch hook {
        case .before:
            // Also asked for the tools of sub-agents. A tool that is not known by its name is none that could be allowed.
            guard let name = input["tool_name"]?.string, run.payload.toolWhitelist.allows(tool: name) else {
                return ["hookSpecificOutput": ["hookEventName": "PreToolUse", "permissionDecision": "deny", "permissionDecisionReason": "This tool is not allowed for this bot."]]
            }
            return .object([:])
        case .after:
            guard (input["agent_id"] ?? .null) == .null, !Task.isCancelled, let news = await inbox.news() else { return .object([:]) }
            return ["hookSpecificOutput": ["hookEventName": "PostToolUse", "additionalContext": .string(news)]]
        case .compacting:
            // Named by us: the path in the request is the CLI's word.
            if let transcript = session.transcript { _ = Compaction.writeArchive(CLITranscript.messages(transcript), of: session.id, into: archives) }
            return .object([:])
        case nil: return .object([:])
        }
    }

    // MARK: The end

    func outcome(of ending: Ending, lastFailure: ModelFailure?) async throws -> EngineOutcome {
        switch ending {
        case .died(let status, let lastWords):
            if lastFailure == .runEnded { return .runEnded }
            let how = status & 0x7f == 0 ? "status \(status >> 8 & 0xff)" : "signal \(status & 0x7f)"
            return .failure(.agentFailed, detail: "the claude CLI ended with \(how) and without a result: \(lastWords)")
        case .result(let result):
            let turns = result["num_turns"]?.int ?? 0
            if result["subtype"] == "error_max_turns" { return answer(NativeRun.limitNote(after: lastText, turns: run.payload.maxTurns), turns: turns) }
            guard result["is_error"] != true, result["subtype"] == "success" else {
                switch lastFailure {
                case .runBudget?: return answer(NativeRun.budgetNote(after: lastText), turns: turns)
                case let failure?: return NativeEngine.outcome(of: failure)
                case nil: return .failure(.agentFailed, detail: "the claude CLI says \(ToolSummary.oneLine(result["result"]?.string ?? result["subtype"]?.string ?? "", most: 300))")
                }
            }
            let text = result["result"]?.string ?? ""
            switch run.payload.sdkCommand {
            case .compact:
                guard let compaction else { return answer(Self.nothingToCompact, turns: turns) }
                let before = compaction["pre_tokens"]?.int ?? 0, after = compaction["post_tokens"]?.int
                return answer(
                    "Compacted the conversation: about \(TokenEstimate.text(before)) tokens" + (after.map { " became about \(TokenEstimate.text($0))" } ?? " became a summary")
                        + ". The full text is kept in the workspace under `conversations/`.", turns: turns)
            case .context: return answer(text, turns: turns)
            case nil:
                if !text.allSatisfy(\.isWhitespace) { return answer(text, turns: turns) }
                if await run.outbox.sent > 0 || run.payload.isScheduledTask == true { return answer("", turns: turns) }
                return lastText.isEmpty ? .failure(.agentFailed, detail: "the run ended without any text") : answer(lastText, turns: turns)
            }
        }
    }

    private func answer(_ text: String, turns: Int) -> EngineOutcome {
        let session = session
        return .answer(
            EngineAnswer(messageId: messageId, text: text, sessionId: session.id, turns: turns, alsoAnswers: inbox.taken, commit: { session.commit() }))
    }
}
