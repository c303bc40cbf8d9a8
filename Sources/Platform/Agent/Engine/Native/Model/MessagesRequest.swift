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
    private let thinking: Thinking
    /// Length of the encoded parts, for estimates.
    var toolBytes: Int { tools.count }
    var systemBytes: Int { system.count }

    /// - Parameter serverTools: tools that the provider runs itself, in their own JSON; they come first.
    init(model: String, system: String, tools: [Tool], serverTools: [Value] = [], thinking: Thinking = .off) throws {
        self.model = Array(try JSON.encode(model))
        self.system = Self.marked(try Array(JSON.encode(ContentBlock.text(system))))
        self.thinking = thinking
        var out: [UInt8] = []
        let all = try serverTools.map { Array(try JSON.encode($0)) } + tools.map { Array(try JSON.encode($0)) }
        for (index, encoded) in all.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            out += index == all.count - 1 ? Self.marked(encoded) : encoded
        }
        self.tools = out
    }

    /// - Returns: the body, and whether it asks for thinking.
    func body(_ conversation: EncodedConversation, maxTokens: Int, thinking wanted: Bool) -> (ByteBuffer, thinks: Bool) {
        var out = ByteBuffer()
        out.reserveCapacity(tools.count + system.count + conversation.bytes + 1024)
        out.writeString(#"{"model":"#)
        out.writeBytes(model)
        out.writeString(#","max_tokens":\#(maxTokens),"stream":true"#)
        // With thinking the answer whose calls are being answered must begin with it; one from before (or from another model) does not.
        let field = wanted && !conversation.isInLoopWithoutThinking ? thinking.field(maxTokens: maxTokens) : nil
        if let field { out.writeString(#","thinking":\#(field)"#) }
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
        return (out, field != nil)
    }

    /// The tools that a bot's whitelist has, as they are offered.
    static func offered(_ tools: [any AgentTool], whitelist: ToolWhitelist) -> [Tool] {
        tools.filter { whitelist.allows(tool: $0.name) }.map { Tool(name: $0.name, description: $0.description, input_schema: $0.inputSchema) }
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
        let media: (bytes: Int, tokens: Int)
        var role: ChatMessage.Role { message.role }

        init(_ message: ChatMessage) throws {
            self.message = message
            blocks = Array(try JSON.encode(message.content).dropFirst().dropLast())
            media = TokenEstimate.media(message.content)
        }
    }
    private(set) var turns: [Turn] = []
    private(set) var bytes = 0
    /// About as many tokens as a model counts: images and documents cost by what they show, not by their bytes.
    private(set) var tokens = 0

    init() {}

    var hasThinking: Bool { turns.contains { $0.message.content.contains(where: \.isThinking) } }

    /// Its last answer called tools without having thought first.
    var isInLoopWithoutThinking: Bool {
        guard let last = turns.last(where: { $0.role == .assistant })?.message, !last.toolUses.isEmpty else { return false }
        return last.content.first?.isThinking != true
    }

    /// Encodes what is new or changed; messages must alternate and have content.
    mutating func update(to messages: [ChatMessage]) throws {
        var same = 0
        while same < min(turns.count, messages.count), turns[same].message == messages[same] { same += 1 }
        turns.removeSubrange(same...)
        for message in messages[same...] {
            turns.append(try Turn(message))
        }
        turns.removeAll { $0.blocks.isEmpty }
        bytes = turns.reduce(0) { $0 + $1.blocks.count + 40 }
        tokens = turns.reduce(0) { $0 + TokenEstimate.tokens(bytes: $1.blocks.count + 40 - $1.media.bytes) + $1.media.tokens }
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
