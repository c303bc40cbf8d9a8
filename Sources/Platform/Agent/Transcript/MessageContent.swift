import Platform

// The messages of a conversation with a model, in the JSON of the Messages API
// (https://docs.anthropic.com/en/api/messages): the engine sends them as they are, the transcript keeps them as they are.

/// One message of a conversation.
public struct ChatMessage: Codable, Sendable, Hashable {
    public enum Role: String, Codable, Sendable { case user, assistant }

    public var role: Role
    public var content: [ContentBlock]
    public init(role: Role, content: [ContentBlock]) { self.role = role; self.content = content }

    public static func user(_ text: String) -> ChatMessage { ChatMessage(role: .user, content: [.text(text)]) }
    public static func assistant(_ text: String) -> ChatMessage { ChatMessage(role: .assistant, content: [.text(text)]) }

    /// The text blocks, joined.
    public var text: String { content.compactMap(\.text).joined() }
    public var toolUses: [ToolUse] { content.compactMap { if case .toolUse(let use) = $0 { use } else { nil } } }

    /// The same with a word in the place of each image and document.
    var withoutMedia: ChatMessage { ChatMessage(role: role, content: content.map(\.withoutMedia)) }

    private enum Key: String, CodingKey { case role, content }
    /// Accepts the short form, a content that is one string.
    public init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: Key.self)
        role = try box.decode(Role.self, forKey: .role)
        content = try ContentBlock.list(in: box, forKey: .content)
    }
}

/// A part of a message.
public enum ContentBlock: Sendable, Hashable {
    case text(String)
    /// Must go back unchanged, with its signature, as long as the tool loop that it belongs to goes on.
    case thinking(String, signature: String)
    /// Thinking that the model's provider encrypted; goes back unchanged.
    case redactedThinking(data: String)
    case toolUse(ToolUse)
    case toolResult(ToolResultContent)
    case image(MediaSource)
    /// A PDF or a plain text.
    case document(MediaSource, title: String?)
    /// A block of a kind that we do not know (server-side tools, newer ones), kept whole.
    case other(Value)

    public var text: String? { if case .text(let text) = self { text } else { nil } }

    fileprivate var withoutMedia: ContentBlock {
        switch self {
        case .image: return .text("(An image was here that could not be read.)")
        case .document(_, let title): return .text("(A document\(title.map { ", \($0)," } ?? "") was here that could not be read.)")
        case .toolResult(var result):
            result.content = result.content.map(\.withoutMedia)
            return .toolResult(result)
        default: return self
        }
    }
}

/// A call that the model asks for.
public struct ToolUse: Codable, Sendable, Hashable {
    public var id: String
    public var name: String
    /// An object, as the tool's schema has it; whether it follows the schema is for the tool to check.
    public var input: Value
    public init(id: String, name: String, input: Value) { self.id = id; self.name = name; self.input = input }
}

/// The answer to one ``ToolUse``.
public struct ToolResultContent: Sendable, Hashable {
    public var toolUseID: String
    /// Texts, images and documents only.
    public var content: [ContentBlock]
    public var isError: Bool
    public init(toolUseID: String, content: [ContentBlock], isError: Bool = false) {
        self.toolUseID = toolUseID; self.content = content; self.isError = isError
    }
    public static func error(_ toolUseID: String, _ sentence: String) -> ToolResultContent {
        ToolResultContent(toolUseID: toolUseID, content: [.text(sentence)], isError: true)
    }
}

/// Where the bytes of an image or document are.
public enum MediaSource: Sendable, Hashable {
    /// The bytes themselves; `data` is base64 text and is passed on as such.
    case base64(mediaType: String, data: String)
    case url(String)
    /// Plain text as a document.
    case text(String)
}

// MARK: - JSON

extension ContentBlock: Codable {
    private enum Key: String, CodingKey {
        case type, text, thinking, signature, data, id, name, input, source, title, content
        case toolUseID = "tool_use_id"
        case isError = "is_error"
    }

    public init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: Key.self)
        switch try box.decode(String.self, forKey: .type) {
        case "text": self = .text(try box.decode(String.self, forKey: .text))
        case "thinking":
            self = .thinking(
                try box.decode(String.self, forKey: .thinking), signature: try box.decodeIfPresent(String.self, forKey: .signature) ?? "")
        case "redacted_thinking": self = .redactedThinking(data: try box.decode(String.self, forKey: .data))
        case "tool_use": self = .toolUse(try ToolUse(from: decoder))
        case "tool_result":
            self = .toolResult(
                ToolResultContent(
                    toolUseID: try box.decode(String.self, forKey: .toolUseID),
                    content: box.contains(.content) ? try Self.list(in: box, forKey: .content) : [],
                    isError: try box.decodeIfPresent(Bool.self, forKey: .isError) ?? false))
        case "image": self = .image(try box.decode(MediaSource.self, forKey: .source))
        case "document":
            self = .document(
                try box.decode(MediaSource.self, forKey: .source), title: try box.decodeIfPresent(String.self, forKey: .title))
        default: self = .other(try Value(from: decoder))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        switch self {
        case .other(let value):
            try value.encode(to: encoder)
            return
        case .toolUse(let use): try use.encode(to: encoder)
        default: break
        }
        var box = encoder.container(keyedBy: Key.self)
        switch self {
        case .text(let text):
            try box.encode("text", forKey: .type)
            try box.encode(text, forKey: .text)
        case .thinking(let text, let signature):
            try box.encode("thinking", forKey: .type)
            try box.encode(text, forKey: .thinking)
            try box.encode(signature, forKey: .signature)
        case .redactedThinking(let data):
            try box.encode("redacted_thinking", forKey: .type)
            try box.encode(data, forKey: .data)
        case .toolUse: try box.encode("tool_use", forKey: .type)
        case .toolResult(let result):
            try box.encode("tool_result", forKey: .type)
            try box.encode(result.toolUseID, forKey: .toolUseID)
            try box.encode(result.content, forKey: .content)
            if result.isError { try box.encode(true, forKey: .isError) }
        case .image(let source):
            try box.encode("image", forKey: .type)
            try box.encode(source, forKey: .source)
        case .document(let source, let title):
            try box.encode("document", forKey: .type)
            try box.encode(source, forKey: .source)
            try box.encodeIfPresent(title, forKey: .title)
        case .other: break
        }
    }

    /// A list of blocks, or one string that stands for one text block.
    fileprivate static func list<K: CodingKey>(in box: KeyedDecodingContainer<K>, forKey key: K) throws -> [ContentBlock] {
        if let text = try? box.decode(String.self, forKey: key) { return text.isEmpty ? [] : [.text(text)] }
        return try box.decode([ContentBlock].self, forKey: key)
    }
}

extension MediaSource: Codable {
    private enum Key: String, CodingKey {
        case type, data, url
        case mediaType = "media_type"
    }
    public init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: Key.self)
        switch try box.decode(String.self, forKey: .type) {
        case "base64":
            self = .base64(mediaType: try box.decode(String.self, forKey: .mediaType), data: try box.decode(String.self, forKey: .data))
        case "url": self = .url(try box.decode(String.self, forKey: .url))
        case "text": self = .text(try box.decode(String.self, forKey: .data))
        case let kind:
            throw DecodingError.dataCorruptedError(forKey: .type, in: box, debugDescription: "a media source of the unknown type '\(kind)'")
        }
    }
    public func encode(to encoder: any Encoder) throws {
        var box = encoder.container(keyedBy: Key.self)
        switch self {
        case .base64(let mediaType, let data):
            try box.encode("base64", forKey: .type)
            try box.encode(mediaType, forKey: .mediaType)
            try box.encode(data, forKey: .data)
        case .url(let url):
            try box.encode("url", forKey: .type)
            try box.encode(url, forKey: .url)
        case .text(let text):
            try box.encode("text", forKey: .type)
            try box.encode("text/plain", forKey: .mediaType)
            try box.encode(text, forKey: .data)
        }
    }
}
