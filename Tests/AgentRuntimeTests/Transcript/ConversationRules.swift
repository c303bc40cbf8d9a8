import Foundation
import NIOCore
import Platform
import Testing

@testable import AgentRuntime

/// What the Messages API demands of a conversation, written down apart from the code that repairs one.
/// - Returns: the first broken rule; nil when there is none.
func brokenRule(in messages: [ChatMessage]) -> String? {
    if let first = messages.first, first.role != .user { return "the first message is not the user's" }
    for (index, message) in messages.enumerated() {
        if index > 0, messages[index - 1].role == message.role { return "two messages of one role at \(index)" }
        if message.content.isEmpty { return "empty content at \(index)" }
        let calls = index > 0 ? messages[index - 1].toolUses.map(\.id) : []
        var results: [String] = []
        for (place, block) in message.content.enumerated() {
            switch block {
            case .text(let text) where text.trimmingCharacters(in: .whitespacesAndNewlines).isEmpty: return "blank text at \(index)"
            case .toolResult(let result):
                if message.role != .user || !calls.contains(result.toolUseID) { return "a result without its call at \(index)" }
                if place != results.count { return "a result after other content at \(index)" }
                if result.isError && result.content.isEmpty { return "an error without words at \(index)" }
                results.append(result.toolUseID)
            case .toolUse(let use) where message.role != .assistant || use.input.object == nil: return "a bad call at \(index)"
            case .thinking(_, let signature) where message.role != .assistant || signature.isEmpty || place == message.content.count - 1:
                return "bad thinking at \(index)"
            default: break
            }
        }
        if Set(results) != Set(calls) || results.count != calls.count { return "calls and results differ at \(index)" }
    }
    if let last = messages.last, !last.toolUses.isEmpty { return "the last calls have no results" }
    return nil
}

/// The same of a whole request, as its bytes say it: what is sent, with its markers and with thinking asked for.
func brokenRule(inRequestFor messages: [ChatMessage]) throws -> String? {
    guard !messages.isEmpty else { return nil }
    let tools = [MessagesRequest.Tool(name: "Bash", description: "d", input_schema: ["type": "object"])]
    let request = try MessagesRequest(model: "m", system: "s", tools: tools, thinking: .budget(2000))
    var conversation = EncodedConversation()
    try conversation.update(to: messages)
    let body = try JSON.value(Data(request.body(conversation, maxTokens: 4000, thinking: true).0.readableBytesView))
    let sent = try JSON.decode([ChatMessage].self, from: JSON.encode(body["messages"] ?? .null))
    if let broken = brokenRule(in: sent) { return broken }
    if sent != messages { return "what is sent is not what is meant" }
    let marked = (body["messages"]?.array ?? []).flatMap { $0["content"]?.array ?? [] }.filter { $0["cache_control"] != nil }
    if marked.count > 2 || marked.contains(where: { ["thinking", "redacted_thinking"].contains($0["type"]?.string) }) { return "markers in the wrong places" }
    if body["thinking"] != nil, let last = sent.last(where: { $0.role == .assistant }), !last.toolUses.isEmpty {
        switch last.content.first {
        case .thinking?, .redactedThinking?: break
        default: return "thinking is asked for in a loop that began without"
        }
    }
    return nil
}

/// An empty folder for the time of one test.
func withFolder<T>(_ body: (String) async throws -> T) async throws -> T {
    let path = FileManager.default.temporaryDirectory.path + "/clawbot-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    // Resolved, since tests compare it with what `pwd -P` says.
    return try await body(URL(filePath: path).resolvingSymlinksInPath().path)
}
