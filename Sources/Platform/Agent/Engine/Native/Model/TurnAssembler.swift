import Foundation
import Platform

/// Puts the blocks of a streamed assistant message together.
struct TurnAssembler {
    enum StopReason: Equatable {
        case endTurn, toolUse, maxTokens, refusal, pauseTurn, contextExceeded
        init(_ text: String) {
            self =
                switch text {
                case "tool_use": .toolUse
                case "max_tokens": .maxTokens
                case "refusal": .refusal
                case "pause_turn": .pauseTurn
                case "model_context_window_exceeded": .contextExceeded
                // `end_turn`, `stop_sequence`, and whatever comes later: the turn is over.
                default: .endTurn
                }
        }
    }

    private enum Partial {
        case text(String)
        case thinking(String, signature: String)
        case toolUse(id: String, name: String, given: Value, json: String)
        /// Server-side tools and newer kinds, kept whole; `json` completes their `input`.
        case other(Value, json: String)
    }
    private var blocks: [Int: Partial] = [:]
    private var open: Set<Int> = []
    private(set) var usage = ModelUsage()
    private(set) var model: String?
    private(set) var stopReason: StopReason?
    /// `message_stop` came.
    private(set) var isComplete = false
    private(set) var hasStarted = false

    /// Takes one event; returns text to show live. Error events are the caller's.
    mutating func take(_ event: ModelEvent) throws -> String? {
        switch event {
        case .start(let model, let usage):
            hasStarted = true
            self.model = model
            self.usage = usage
        case .blockStart(let index, let block):
            open.insert(index)
            switch block["type"]?.string {
            case "text":
                let text = block["text"]?.string ?? ""
                blocks[index] = .text(text)
                return text.isEmpty ? nil : text
            case "thinking": blocks[index] = .thinking(block["thinking"]?.string ?? "", signature: block["signature"]?.string ?? "")
            case "tool_use":
                guard let id = block["id"]?.string, let name = block["name"]?.string else { throw ModelEvent.Malformed() }
                blocks[index] = .toolUse(id: id, name: name, given: block["input"] ?? .object([:]), json: "")
            default: blocks[index] = .other(block, json: "")
            }
        case .blockDelta(let index, let delta):
            guard let block = blocks[index], open.contains(index) else { throw ModelEvent.Malformed() }
            switch (block, delta) {
            case (.text(let text), .text(let more)):
                blocks[index] = .text(text + more)
                return more
            case (.thinking(let text, let signature), .thinking(let more)): blocks[index] = .thinking(text + more, signature: signature)
            case (.thinking(let text, _), .signature(let signature)): blocks[index] = .thinking(text, signature: signature)
            case (.toolUse(let id, let name, let given, let json), .json(let more)):
                blocks[index] = .toolUse(id: id, name: name, given: given, json: json + more)
            case (.other(let value, let json), .json(let more)): blocks[index] = .other(value, json: json + more)
            default: break
            }
        case .blockStop(let index): open.remove(index)
        case .messageDelta(let reason, let later):
            if let reason { stopReason = StopReason(reason) }
            if let later { usage.update(later) }
        case .stop: isComplete = true
        case .error, .ignored: break
        }
        return nil
    }

    /// The finished turn. Tool calls whose arguments are no JSON object are in `brokenCalls` (with an empty input), so that the model
    /// hears of it; those that an output limit cut off are left out.
    struct Turn {
        var message: ChatMessage
        var brokenCalls: Set<String>
        var wasCutInCall: Bool
        var stopReason: StopReason
        var usage: ModelUsage
    }

    func turn() -> Turn {
        var content: [ContentBlock] = []
        var broken: Set<String> = []
        var cutInCall = false
        let reason = stopReason ?? .endTurn
        for index in blocks.keys.sorted() {
            switch blocks[index] {
            // The API takes no empty text blocks back.
            case .text(let text): if !text.isEmpty { content.append(.text(text)) }
            case .thinking(let text, let signature): content.append(.thinking(text, signature: signature))
            case .toolUse(let id, let name, let given, let json):
                let input = json.isEmpty ? given : (try? JSON.value(Data(json.utf8)))
                if let input, input.object != nil {
                    content.append(.toolUse(ToolUse(id: id, name: name, input: input)))
                } else if reason == .toolUse || reason == .endTurn {
                    broken.insert(id)
                    content.append(.toolUse(ToolUse(id: id, name: name, input: .object([:]))))
                } else {
                    cutInCall = true
                }
            case .other(var value, let json):
                if !json.isEmpty, case .object(var fields) = value, let input = try? JSON.value(Data(json.utf8)) {
                    fields["input"] = input
                    value = .object(fields)
                }
                if value["type"]?.string == "redacted_thinking", let data = value["data"]?.string {
                    content.append(.redactedThinking(data: data))
                } else {
                    content.append(.other(value))
                }
            case nil: break
            }
        }
        return Turn(
            message: ChatMessage(role: .assistant, content: content), brokenCalls: broken, wasCutInCall: cutInCall, stopReason: reason, usage: usage)
    }
}
