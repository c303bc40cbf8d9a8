import Foundation
import NIOCore
import Platform

/// Builds the bodies of model calls so that their prefixes stay byte-equal from turn to turn: tools, system, messages, each encoded once,
/// and the cache markers (`cache_control`, https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching; at most four) on the last
/// tool, the system text and the last two user turns.
struct MessagesRequest {
    struct Tool: Encodable {
        var name: String
        var description: String
        var input_schema: Value
    }
    private static let marker = Array(#","cache_control":{"type":"ephemeral"}"#.utf8)

    private let model: [UInt8]
    private let tools: [UInt8]
    private let system: [UInt8]
    private let thinkingBudget: Int?
    /// Length of the encoded parts, for estimates.
    var toolBytes: Int { tools.count }
    var systemBytes: Int { system.count }

    init(model: String, system: String, tools: [Tool], thinkingBudget: Int?) throws {
        self.model = Array(try JSON.encode(model))
        self.system = Self.marked(try Array(JSON.encode(ContentBlock.text(system))))
        self.thinkingBudget = thinkingBudget
        var out: [UInt8] = []
        for (index, tool) in tools.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            let encoded = Array(try JSON.encode(tool))
            out += index == tools.count - 1 ? Self.marked(encoded) : encoded
        }
        self.tools = out
    }

    func body(_ conversation: EncodedConversation, maxTokens: Int) -> ByteBuffer {
        var out = ByteBuffer()
        out.reserveCapacity(tools.count + system.count + conversation.bytes + 1024)
        out.writeString(#"{"model":"#)
        out.writeBytes(model)
        out.writeString(#","max_tokens":\#(maxTokens),"stream":true"#)
        if let thinkingBudget, thinkingBudget < maxTokens {
            out.writeString(#","thinking":{"type":"enabled","budget_tokens":\#(thinkingBudget)}"#)
        }
        if !tools.isEmpty {
            out.writeString(#","tools":["#)
            out.writeBytes(tools)
            out.writeString("]")
        }
        out.writeString(#","system":["#)
        out.writeBytes(system)
        out.writeString(#"],"messages":["#)
        let turns = conversation.turns
        let marked = Set(turns.indices.filter { turns[$0].role == .user }.suffix(2))
        for (index, turn) in turns.enumerated() {
            if index > 0 { out.writeString(",") }
            out.writeString(#"{"role":"\#(turn.role.rawValue)","content":["#)
            out.writeBytes(marked.contains(index) ? Self.marked(turn.blocks) : turn.blocks)
            out.writeString("]}")
        }
        out.writeString("]}")
        return out
    }

    /// The JSON object (or the last of several), with the marker before its closing brace.
    private static func marked(_ object: [UInt8]) -> [UInt8] { object.dropLast() + marker + [UInt8(ascii: "}")] }
}

/// The messages of a conversation as they are sent, each encoded once.
struct EncodedConversation {
    struct Turn {
        var message: ChatMessage
        /// Its blocks, comma-separated.
        var blocks: [UInt8]
        var role: ChatMessage.Role { message.role }
    }
    private(set) var turns: [Turn] = []
    private(set) var bytes = 0

    init() {}

    /// Encodes what is new or changed; messages must alternate and have content.
    mutating func update(to messages: [ChatMessage]) throws {
        var same = 0
        while same < min(turns.count, messages.count), turns[same].message == messages[same] { same += 1 }
        turns.removeSubrange(same...)
        for message in messages[same...] {
            turns.append(Turn(message: message, blocks: Array(try JSON.encode(message.content).dropFirst().dropLast())))
        }
        turns.removeAll { $0.blocks.isEmpty }
        bytes = turns.reduce(0) { $0 + $1.blocks.count + 40 }
    }
}

extension ContentBlock {
    var isThinking: Bool {
        switch self {
        case .thinking, .redactedThinking: true
        default: false
        }
    }
}
