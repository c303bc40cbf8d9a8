import Foundation
import Platform

/// A Messages API request as a chat completions request (https://platform.openai.com/docs/api-reference/chat/create).
///
/// What an endpoint cannot take becomes a sentence for the model rather than an error: a document that is no text, a block of a kind
/// that only Anthropic has.
struct ChatRequest {
    /// Whether the agent asked to see the model's thinking.
    let wantsThinking: Bool
    let body: Value

    /// - Throws: ``ModelError`` with status 400, where even the Messages API would refuse.
    init(_ request: Value, model: String, streams: Bool, dialect: ChatDialect) throws(ModelError) {
        guard let messages = request["messages"]?.array, !messages.isEmpty else {
            throw ModelError(status: 400, message: "messages: at least one message is required")
        }
        wantsThinking = ["enabled", "adaptive"].contains(request["thinking"]?["type"]?.string ?? "")
        var fields: [String: Value] = ["model": .string(model), "stream": .bool(streams)]
        var chat: [Value] = []
        if let system = request["system"].map({ Self.plainText($0) }), !system.isEmpty {
            chat.append(.object(["role": "system", "content": .string(system)]))
        }
        let loop = Self.startOfToolLoop(messages)
        for (index, message) in messages.enumerated() {
            switch message["role"]?.string {
            case "assistant": chat.append(Self.assistant(message["content"], withThinking: index >= loop))
            case "user": chat += Self.user(message["content"])
            case "system": chat.append(.object(["role": "system", "content": .string(Self.plainText(message["content"] ?? .null))]))
            default: throw ModelError(status: 400, message: "messages.\(index).role: Input should be 'user' or 'assistant'")
            }
        }
        fields["messages"] = .array(chat)
        if let most = request["max_tokens"] { fields[dialect.completionTokens ? "max_completion_tokens" : "max_tokens"] = most }
        if streams, dialect.streamOptions { fields["stream_options"] = .object(["include_usage": true]) }
        for name in ["temperature", "top_p"] { fields[name] = request[name] }
        if let stops = request["stop_sequences"]?.array, !stops.isEmpty { fields["stop"] = .array(stops) }
        Self.setTools(&fields, request, dialect)
        if wantsThinking {
            switch dialect.thinking {
            case .unasked: break
            case .flag: fields["enable_thinking"] = true
            case .object: fields["thinking"] = .object(["type": "enabled"])
            case .effort: fields["reasoning_effort"] = "medium"
            }
        }
        body = .object(fields)
    }

    // MARK: Tools

    private static func setTools(_ fields: inout [String: Value], _ request: Value, _ dialect: ChatDialect) {
        // Tools with another type run on Anthropic's own servers.
        let tools = (request["tools"]?.array ?? []).filter { ($0["type"]?.string ?? "custom") == "custom" && $0["name"]?.string != nil }
        guard !tools.isEmpty else { return }
        fields["tools"] = .array(tools.map { tool in
            var function: [String: Value] = ["name": tool["name"] ?? "", "parameters": tool["input_schema"] ?? .object(["type": "object"])]
            function["description"] = tool["description"]
            return .object(["type": "function", "function": .object(function)])
        })
        guard let choice = request["tool_choice"] else { return }
        switch choice["type"]?.string {
        case "any": fields["tool_choice"] = "required"
        case "none": fields["tool_choice"] = "none"
        case "tool": fields["tool_choice"] = .object(["type": "function", "function": .object(["name": choice["name"] ?? ""])])
        default: fields["tool_choice"] = "auto"
        }
        if choice["disable_parallel_tool_use"]?.bool == true, dialect.parallelToolCalls { fields["parallel_tool_calls"] = false }
    }

    // MARK: Messages

    /// Where the tool loop begins that is still going on. Models that reason between tool calls want that reasoning back while the loop
    /// lasts, and refuse or ignore it afterwards (DeepSeek: "Thinking Mode"; Moonshot: "Kimi K2 Thinking").
    private static func startOfToolLoop(_ messages: [Value]) -> Int {
        (messages.lastIndex { message in
            message["role"]?.string == "user" && !(message["content"]?.array ?? []).contains { $0["type"]?.string == "tool_result" }
        } ?? -1) + 1
    }

    private static func assistant(_ content: Value?, withThinking: Bool) -> Value {
        var texts: [String] = [], thoughts: [String] = [], calls: [Value] = []
        for block in blocks(content) {
            switch block["type"]?.string {
            case "text": texts.append(block["text"]?.string ?? "")
            case "thinking": thoughts.append(block["thinking"]?.string ?? "")
            case "tool_use":
                let arguments = (try? JSON.text(block["input"] ?? .object([:]))) ?? "{}"
                calls.append(.object([
                    "id": .string(ToolCallID.outer(block["id"]?.string ?? "")), "type": "function",
                    "function": .object(["name": block["name"] ?? "", "arguments": .string(arguments)]),
                ]))
            default: break
            }
        }
        let text = texts.joined(separator: "\n\n")
        var message: [String: Value] = ["role": "assistant", "content": text.isEmpty && !calls.isEmpty ? .null : .string(text)]
        if !calls.isEmpty { message["tool_calls"] = .array(calls) }
        if withThinking, !thoughts.isEmpty { message["reasoning_content"] = .string(thoughts.joined(separator: "\n\n")) }
        return .object(message)
    }

    /// A user's turn: first the answers to tool calls, each a message of its own, then what the person said.
    private static func user(_ content: Value?) -> [Value] {
        var messages: [Value] = [], parts: [Part] = []
        for block in blocks(content) {
            guard block["type"]?.string == "tool_result" else {
                parts += part(block)
                continue
            }
            let inside = blocks(block["content"]).flatMap { part($0) }
            let images = inside.filter(\.isImage)
            var text = inside.compactMap(\.text).joined(separator: "\n\n")
            if block["is_error"]?.bool == true { text = "Error: " + text }
            if !images.isEmpty {
                // A tool message holds text only: the picture follows in the user's name.
                text += (text.isEmpty ? "" : "\n\n") + "(\(images.count == 1 ? "An image follows" : "\(images.count) images follow") in the next message.)"
                parts += [.text("Shown by the tool call \(block["tool_use_id"]?.string ?? ""):")] + images
            }
            messages.append(.object([
                "role": "tool", "tool_call_id": .string(ToolCallID.outer(block["tool_use_id"]?.string ?? "")),
                "content": .string(text.isEmpty ? "(no output)" : text),
            ]))
        }
        if !parts.isEmpty { messages.append(.object(["role": "user", "content": value(parts)])) }
        return messages
    }

    // MARK: Content

    private enum Part {
        case text(String)
        /// An https or data URL.
        case image(String)
        var text: String? { if case .text(let text) = self { text } else { nil } }
        var isImage: Bool { text == nil }
    }

    private static func blocks(_ content: Value?) -> [Value] {
        if let text = content?.string { return text.isEmpty ? [] : [.object(["type": "text", "text": .string(text)])] }
        return content?.array ?? []
    }

    /// Text alone as a string, which every endpoint takes; parts only where there is an image.
    private static func value(_ parts: [Part]) -> Value {
        guard parts.contains(where: \.isImage) else { return .string(parts.compactMap(\.text).joined(separator: "\n\n")) }
        return .array(parts.map { part in
            switch part {
            case .text(let text): .object(["type": "text", "text": .string(text)])
            case .image(let url): .object(["type": "image_url", "image_url": .object(["url": .string(url)])])
            }
        })
    }

    private static func part(_ block: Value) -> [Part] {
        let source = block["source"]
        switch block["type"]?.string {
        case "text": return [.text(block["text"]?.string ?? "")]
        case "image":
            switch source?["type"]?.string {
            case "base64": return [.image("data:\(source?["media_type"]?.string ?? "image/png");base64,\(source?["data"]?.string ?? "")")]
            case "url": return [.image(source?["url"]?.string ?? "")]
            default: return [.text("(An image was here that this model cannot be shown.)")]
            }
        case "document": return document(block, source)
        case "search_result":
            return [.text("\(block["title"]?.string ?? "") \(block["source"]?.string ?? "")\n\(plainText(block["content"] ?? .null))")]
        case "thinking", "redacted_thinking": return []
        case let kind: return [.text("(A part of type \(kind ?? "unknown") was here that this model cannot be shown.)")]
        }
    }

    private static func document(_ block: Value, _ source: Value?) -> [Part] {
        let title = block["title"]?.string.map { " \"\($0)\"" } ?? ""
        switch source?["type"]?.string {
        case "text": return [.text("Document\(title):\n\(source?["data"]?.string ?? "")")]
        case "content": return [.text("Document\(title):")] + blocks(source?["content"]).flatMap { part($0) }
        case "url": return [.text("(Document\(title) at \(source?["url"]?.string ?? ""): its content is not shown here.)")]
        default:
            let type = source?["media_type"]?.string ?? "unknown type"
            return [.text("(Document\(title), \(type): this model cannot be shown such files. Its text can be read with tools, from the file itself.)")]
        }
    }

    /// The text of a string or of text blocks.
    private static func plainText(_ content: Value) -> String {
        blocks(content).compactMap { $0["text"]?.string }.filter { !$0.isEmpty }.joined(separator: "\n\n")
    }
}
