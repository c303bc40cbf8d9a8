import Platform

/// Makes a conversation one that the Messages API accepts, whatever was lost in it.
///
/// What must hold: a user message first; roles alternate; no empty content; each tool call is answered in the very next
/// message, before its other content, and nothing else is; thinking carries its signature and never ends a message.
/// The same input always gives the same output, so that the prompt cache holds.
enum ConversationRepair {
    /// Stands where a call's result was lost.
    static let interrupted = "The tool call was interrupted before it gave a result. It may have done part of its work."

    static func valid(_ raw: [ChatMessage]) -> [ChatMessage] {
        var messages = raw.compactMap(cleaned)
        while true {
            let next = paired(merged(messages)).compactMap(cleaned)
            if next == messages { return next }
            messages = next
        }
    }

    /// Without the blocks that the API refuses; nil when nothing is left.
    private static func cleaned(_ message: ChatMessage) -> ChatMessage? {
        var content = message.content.compactMap { block -> ContentBlock? in
            switch block {
            case .text(let text): return text.allSatisfy(\.isWhitespace) ? nil : block
            case .thinking(_, let signature): return signature.isEmpty || message.role == .user ? nil : block
            case .redactedThinking: return message.role == .user ? nil : block
            case .toolUse(var use):
                guard message.role == .assistant else { return nil }
                if use.input.object == nil { use.input = .object([:]) }
                return .toolUse(use)
            case .toolResult(var result):
                guard message.role == .user else { return nil }
                result.content = result.content.filter { if case .text(let text) = $0 { !text.isEmpty } else { true } }
                if result.isError, result.content.isEmpty { result.content = [.text(interrupted)] }
                return .toolResult(result)
            case .image, .document: return message.role == .user ? block : nil
            case .other: return block
            }
        }
        while let last = content.last {
            switch last {
            case .thinking, .redactedThinking:
                content.removeLast()
                continue
            default: break
            }
            break
        }
        return content.isEmpty ? nil : ChatMessage(role: message.role, content: content)
    }

    /// Starts with the user and alternates.
    private static func merged(_ messages: [ChatMessage]) -> [ChatMessage] {
        var out: [ChatMessage] = []
        for message in messages.drop(while: { $0.role == .assistant }) {
            if out.last?.role == message.role {
                // An answer that went on after calls whose results were lost: the calls are closed first.
                if message.role == .assistant, let calls = out.last?.toolUses, !calls.isEmpty {
                    out.append(ChatMessage(role: .user, content: calls.map { .toolResult(.error($0.id, interrupted)) }))
                    out.append(message)
                } else {
                    out[out.count - 1].content += message.content
                }
            } else {
                out.append(message)
            }
        }
        return out
    }

    /// Calls and results side by side. `messages` alternates.
    private static func paired(_ messages: [ChatMessage]) -> [ChatMessage] {
        var out: [ChatMessage] = []
        var open: [String] = []
        for message in messages {
            var message = message
            switch message.role {
            case .assistant:
                var seen: Set<String> = []
                message.content = message.content.filter { if case .toolUse(let use) = $0 { seen.insert(use.id).inserted } else { true } }
                open = message.toolUses.map(\.id)
            case .user:
                var results: [String: ToolResultContent] = [:]
                var rest: [ContentBlock] = []
                for block in message.content {
                    if case .toolResult(let result) = block {
                        if results[result.toolUseID] == nil { results[result.toolUseID] = result }
                    } else {
                        rest.append(block)
                    }
                }
                message.content = open.map { .toolResult(results[$0] ?? .error($0, interrupted)) } + rest
                open = []
            }
            out.append(message)
        }
        if !open.isEmpty { out.append(ChatMessage(role: .user, content: open.map { .toolResult(.error($0, interrupted)) })) }
        return out
    }
}
