import Foundation
import Platform

public enum TranscriptError: Error, Sendable, Hashable, CustomStringConvertible {
    /// There is no such session: start a new one.
    case staleSession(String)
    case cannotRead(String)
    case cannotWrite(String)

    public var description: String {
        switch self {
        case .staleSession(let id): "There is no session \(id)."
        case .cannotRead(let cause): "The transcript cannot be read: \(cause)."
        case .cannotWrite(let cause): "The transcript cannot be written: \(cause)."
        }
    }
}

/// The conversation of a session with its model, on disk as `<directory>/transcripts/<sessionID>.jsonl`.
///
///     let transcript = try Transcript.open(id, in: sessions)       // TranscriptError.staleSession → Transcript.create
///     try await transcript.beginTurn(invocation, answering: key)   // drops what a dead try left
///     try await transcript.append(user: [.text(prompt)])
///     … model call with `transcript.messages`, `append(assistant:)`, `append(results:)` …
///     try await transcript.endTurn(.answered)
///
/// After a crash at any byte `messages` is a conversation that the Messages API accepts. One process writes it at a time.
public actor Transcript {
    /// A place in the transcript to go back to.
    public struct Marker: Sendable, Hashable { fileprivate let offset: Int }

    public nonisolated let sessionID: String
    /// Lines that could not be read when it was opened.
    public private(set) var damagedLines = 0

    private let file: TranscriptFile
    private let time: any TimeSource
    private let maxHistory: Int
    private var length = 0
    private var history: [(message: ChatMessage, size: Int)] = []
    private var historySize = 0
    private var lastTurn: (turn: TranscriptTurn, start: Int, outcome: TranscriptTurn.Outcome?)?

    private init(sessionID: String, file: TranscriptFile, maxHistory: Int, time: any TimeSource) {
        self.sessionID = sessionID; self.file = file; self.maxHistory = maxHistory; self.time = time
    }

    /// How many bytes of history are kept in memory; older messages are left out, whole.
    public static let historyLimit = 64 << 20

    public static func create(
        _ sessionID: String = ULID.make(), in directory: String, maxHistory: Int = historyLimit, time: any TimeSource = SystemTime()
    ) async throws -> Transcript {
        guard isWellFormed(sessionID) else { throw TranscriptError.cannotWrite("'\(sessionID)' is no session id") }
        let transcript = Transcript(sessionID: sessionID, file: try .create(path(sessionID, directory)), maxHistory: maxHistory, time: time)
        try await transcript.writeMeta()
        return transcript
    }

    /// Opens a session again. A torn last line is cut off.
    /// - Throws: `TranscriptError.staleSession` when there is none of that id.
    public static func open(
        _ sessionID: String, in directory: String, maxHistory: Int = historyLimit, time: any TimeSource = SystemTime()
    ) async throws -> Transcript {
        guard isWellFormed(sessionID), let file = try TranscriptFile.open(path(sessionID, directory)) else {
            throw TranscriptError.staleSession(sessionID)
        }
        let transcript = Transcript(sessionID: sessionID, file: file, maxHistory: maxHistory, time: time)
        try await transcript.load()
        return transcript
    }

    static func path(_ sessionID: String, _ directory: String) -> String { "\(directory)/transcripts/\(sessionID).jsonl" }
    private static func isWellFormed(_ id: String) -> Bool {
        (1...128).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == UInt8(ascii: "-")
                    || byte == UInt8(ascii: "_")
            }
    }

    // MARK: - Reading

    /// The conversation as the Messages API accepts it: calls without a result are closed with an error, roles alternate.
    public var messages: [ChatMessage] { ConversationRepair.valid(history.map(\.message)) }

    /// The turn that was begun and not ended: while a run goes on it is its own, after opening it is a dead try's.
    public var unfinishedTurn: TranscriptTurn? { lastTurn.flatMap { $0.outcome == nil ? $0.turn : nil } }

    public var marker: Marker { Marker(offset: length) }

    // MARK: - Writing

    /// Begins a turn from the same prefix that every try of it has: an unfinished turn, and a finished one that answers
    /// the same thing (its reply was lost, else there would be no new try), are dropped from the transcript first.
    /// - Parameter answering: what is answered, the same in each try and in no other message; nil = only unfinished turns are dropped.
    /// - Returns: the place before the turn, for ``rollback(to:)``.
    @discardableResult
    public func beginTurn(_ invocation: InvocationID, answering key: String? = nil) throws -> Marker {
        if let last = lastTurn, last.outcome == nil || (key != nil && last.turn.answers == key) { try rollback(to: Marker(offset: last.start)) }
        let start = marker
        try append(.turn(TranscriptTurn(invocationID: invocation, answers: key, startedAt: time.now())))
        return start
    }

    public func append(user content: [ContentBlock]) throws { try append(.user(content)) }
    public func append(assistant content: [ContentBlock], note: AssistantNote = AssistantNote()) throws { try append(.assistant(content, note)) }
    public func append(results: [ToolResultContent]) throws { try append(.toolResults(results)) }

    /// Replaces the history by its summary; `kept` are the newest messages, word for word. The file keeps the old lines.
    public func compact(summary: String, keeping kept: [ChatMessage] = []) throws {
        try append(.compaction(summary: summary, kept: kept))
        try file.synchronize()
    }

    /// Leaves images and documents out of everything so far; a word stands in their place.
    public func dropMedia() throws { try append(.mediaDropped) }

    /// Ends the turn and waits until the disk has it. Calls still open are closed with an error, so that a stopped run leaves
    /// a valid conversation.
    public func endTurn(_ outcome: TranscriptTurn.Outcome) throws {
        if let last = history.last?.message, last.role == .assistant, !last.toolUses.isEmpty {
            try append(.toolResults(last.toolUses.map { .error($0.id, ConversationRepair.interrupted) }))
        }
        try append(.end(outcome))
        try file.synchronize()
    }

    /// Forgets everything after the marker, compactions included.
    public func rollback(to marker: Marker) throws {
        guard marker.offset < length else { return }
        try file.truncate(to: marker.offset)
        try load()
        try file.synchronize()
    }

    private func append(_ entry: TranscriptEntry) throws {
        let start = length
        length = try file.append(entry, at: start)
        take(entry, start..<length)
    }

    private func writeMeta() throws { try append(.meta(version: 1, sessionID: sessionID, createdAt: time.now())) }

    private func load() throws {
        history = []
        historySize = 0
        lastTurn = nil
        let (end, damaged) = try file.read { take($0, $1) }
        damagedLines = damaged
        length = end
        if file.size > end { try file.truncate(to: end) }
        if end == 0 { try writeMeta() }
    }

    private func take(_ entry: TranscriptEntry, _ range: Range<Int>) {
        switch entry {
        case .meta: break
        case .turn(let turn): lastTurn = (turn, range.lowerBound, nil)
        case .end(let outcome): lastTurn?.outcome = outcome
        case .user(let content): keep(ChatMessage(role: .user, content: content), range.count)
        case .assistant(let content, _): keep(ChatMessage(role: .assistant, content: content), range.count)
        case .toolResults(let results): keep(ChatMessage(role: .user, content: results.map(ContentBlock.toolResult)), range.count)
        case .compaction(let summary, let kept):
            history = []
            historySize = 0
            keep(.user(summary), summary.utf8.count)
            for message in kept { keep(message, range.count / max(1, kept.count)) }
        case .mediaDropped:
            let all = history
            history = []
            historySize = 0
            for entry in all {
                let message = entry.message.withoutMedia
                keep(message, message == entry.message ? entry.size : min(entry.size, 4096))
            }
        }
    }

    private func keep(_ message: ChatMessage, _ size: Int) {
        history.append((message, size))
        historySize += size
        while historySize > maxHistory, history.count > 1 { historySize -= history.removeFirst().size }
    }
}
