import Foundation
import Platform

/// One line of a transcript.
public enum TranscriptEntry: Sendable, Hashable {
    /// First line: the format and the session.
    case meta(version: Int, sessionID: String, createdAt: Date)
    /// A turn begins: everything up to its `end` belongs to one try of one invocation.
    case turn(TranscriptTurn)
    /// What the person (or a schedule) said.
    case user([ContentBlock])
    case assistant([ContentBlock], AssistantNote)
    case toolResults([ToolResultContent])
    /// Everything before is replaced by the summary and by the messages kept as they were.
    case compaction(summary: String, kept: [ChatMessage])
    case end(TranscriptTurn.Outcome)
    /// The images and documents of everything before are left out from here on.
    case mediaDropped
}

/// What a turn answers, and for which invocation.
public struct TranscriptTurn: Codable, Sendable, Hashable {
    public enum Outcome: String, Codable, Sendable { case answered, failed, stopped }

    public var invocationID: InvocationID
    /// What is answered, the same in each try of it; nil = unknown.
    public var answers: String?
    public var startedAt: Date
    public init(invocationID: InvocationID, answers: String?, startedAt: Date) {
        self.invocationID = invocationID; self.answers = answers; self.startedAt = startedAt
    }
}

/// What is worth keeping about an answer of the model besides its words.
public struct AssistantNote: Codable, Sendable, Hashable {
    public var model: String?
    public var stopReason: String?
    public var usage: TokenUsage?
    public init(model: String? = nil, stopReason: String? = nil, usage: TokenUsage? = nil) {
        self.model = model; self.stopReason = stopReason; self.usage = usage
    }
}

extension TranscriptEntry: Codable {
    private enum Kind: String, Codable { case meta, turn, user, assistant, toolResults, compaction, end, mediaDropped }
    private enum Key: String, CodingKey { case type, version, sessionID, createdAt, turn, content, note, summary, kept, outcome }

    public init(from decoder: any Decoder) throws {
        let box = try decoder.container(keyedBy: Key.self)
        switch try box.decode(Kind.self, forKey: .type) {
        case .meta:
            self = .meta(
                version: try box.decode(Int.self, forKey: .version), sessionID: try box.decode(String.self, forKey: .sessionID),
                createdAt: try box.decode(Date.self, forKey: .createdAt))
        case .turn: self = .turn(try box.decode(TranscriptTurn.self, forKey: .turn))
        case .user: self = .user(try box.decode([ContentBlock].self, forKey: .content))
        case .assistant:
            self = .assistant(
                try box.decode([ContentBlock].self, forKey: .content), try box.decodeIfPresent(AssistantNote.self, forKey: .note) ?? AssistantNote())
        case .toolResults:
            self = .toolResults(
                try box.decode([ContentBlock].self, forKey: .content).compactMap { if case .toolResult(let result) = $0 { result } else { nil } })
        case .compaction:
            self = .compaction(summary: try box.decode(String.self, forKey: .summary), kept: try box.decode([ChatMessage].self, forKey: .kept))
        case .end: self = .end(try box.decode(TranscriptTurn.Outcome.self, forKey: .outcome))
        case .mediaDropped: self = .mediaDropped
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var box = encoder.container(keyedBy: Key.self)
        switch self {
        case .meta(let version, let sessionID, let createdAt):
            try box.encode(Kind.meta, forKey: .type)
            try box.encode(version, forKey: .version)
            try box.encode(sessionID, forKey: .sessionID)
            try box.encode(createdAt, forKey: .createdAt)
        case .turn(let turn):
            try box.encode(Kind.turn, forKey: .type)
            try box.encode(turn, forKey: .turn)
        case .user(let content):
            try box.encode(Kind.user, forKey: .type)
            try box.encode(content, forKey: .content)
        case .assistant(let content, let note):
            try box.encode(Kind.assistant, forKey: .type)
            try box.encode(content, forKey: .content)
            try box.encode(note, forKey: .note)
        case .toolResults(let results):
            try box.encode(Kind.toolResults, forKey: .type)
            try box.encode(results.map(ContentBlock.toolResult), forKey: .content)
        case .compaction(let summary, let kept):
            try box.encode(Kind.compaction, forKey: .type)
            try box.encode(summary, forKey: .summary)
            try box.encode(kept, forKey: .kept)
        case .end(let outcome):
            try box.encode(Kind.end, forKey: .type)
            try box.encode(outcome, forKey: .outcome)
        case .mediaDropped: try box.encode(Kind.mediaDropped, forKey: .type)
        }
    }
}
