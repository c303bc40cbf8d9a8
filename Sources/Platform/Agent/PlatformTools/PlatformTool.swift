import Foundation
import Platform

/// What the platform's own tools act with: the conversation's gateway, and nothing else. They are named `mcp__clawbot__<tool>`
/// in every engine.
struct PlatformTools: Sendable {
    static let prefix = "mcp__clawbot__"
    /// Whose tools they are.
    struct Conversation: Sendable {
        var userId: UserID
        var botId: BotID
        var groupJid: GroupJID
        var timezone: String
    }
    let conversation: Conversation
    let gateway: GatewayClient
    let outbox: ReplyOutbox

    init(conversation: Conversation, gateway: GatewayClient, outbox: ReplyOutbox) {
        self.conversation = conversation; self.gateway = gateway; self.outbox = outbox
    }
    init(run: EngineRun) {
        let payload = run.payload
        self.init(
            conversation: Conversation(userId: payload.userId, botId: payload.botId, groupJid: payload.groupJid, timezone: payload.timezone),
            gateway: run.gateway, outbox: run.outbox)
    }

    /// All of them, in a fixed order (the prompt cache holds only while the order does).
    var all: [any AgentTool] {
        [
            SendMessageTool(run: self), SendFileTool(run: self), ScheduleTaskTool(run: self), ListTasksTool(run: self),
            PauseTaskTool(run: self), ResumeTaskTool(run: self), CancelTaskTool(run: self), UpdateTaskTool(run: self), SearchHistoryTool(run: self),
        ]
    }
}

/// Turns the gateway's refusals into sentences for the model; a dead grant and cancellation pass through, because they end the run.
func platformCall<T: Sendable>(_ call: () async throws -> T) async throws -> T {
    do {
        return try await call()
    } catch GatewayError.refused(_, _, let detail) {
        throw ToolError(detail)
    } catch GatewayError.unavailable(let sentence) {
        throw ToolError(sentence)
    }
}

extension Value {
    func optionalText(_ name: String, most: Int) throws -> String? {
        guard let value = self[name], value != .null else { return nil }
        guard let text = value.string else { throw ToolError("`\(name)` must be a string.") }
        guard text.utf8.count <= most else { throw ToolError("`\(name)` is longer than \(most) bytes.") }
        return text.isEmpty ? nil : text
    }
    func text(_ name: String, most: Int) throws -> String {
        guard let text = try optionalText(name, most: most), !text.allSatisfy(\.isWhitespace) else { throw ToolError("`\(name)` is missing.") }
        return text
    }
}
