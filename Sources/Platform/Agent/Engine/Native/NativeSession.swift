import Foundation
import Platform

/// The conversation of a run: the transcript on disk and the same messages encoded for the model.
///
/// A turn is ended in the transcript, and the disk has it, before its reply is posted. Should the process die before the gateway has
/// accepted that reply, the next try of the message carries the same key, and the transcript drops the turn (see `Transcript.beginTurn`).
struct NativeSession {
    let transcript: Transcript
    var id: String { transcript.sessionID }
    private let marker: Transcript.Marker
    private let archiveDirectory: String
    private(set) var messages: [ChatMessage]
    private var cache = EncodedConversation()
    private(set) var lastUsage: ModelUsage?
    private var tokensAtLastUsage = 0
    private var hasAnswered = false
    private var isEnded = false

    init(transcript: Transcript, marker: Transcript.Marker, lastUsage: ModelUsage?, archiveDirectory: String) async throws {
        self.transcript = transcript; self.marker = marker; self.archiveDirectory = archiveDirectory
        messages = await transcript.messages
        try cache.update(to: messages)
        self.lastUsage = lastUsage
        tokensAtLastUsage = cache.tokens
    }

    mutating func append(user content: [ContentBlock]) async throws {
        try await transcript.append(user: content)
        try await refresh()
    }
    mutating func append(_ turn: TurnAssembler.Turn, model: String) async throws {
        hasAnswered = true
        // Whitespace alone is no answer to keep.
        guard turn.message.content.contains(where: { !($0.text?.allSatisfy(\.isWhitespace) ?? false) }) else { return }
        try await transcript.append(assistant: turn.message.content, note: AssistantNote(model: model, usage: turn.usage.forTranscript))
        try await refresh()
        lastUsage = turn.usage
        tokensAtLastUsage = cache.tokens
    }
    mutating func append(assistant text: String) async throws {
        try await transcript.append(assistant: [.text(text)])
        try await refresh()
    }
    /// Results first, then what else belongs to that turn.
    mutating func append(_ results: [ToolResultContent], news: String?) async throws {
        try await transcript.append(results: results)
        if let news { try await transcript.append(user: [.text(news)]) }
        try await refresh()
    }

    var hasMedia: Bool { TokenEstimate.media(messages.flatMap(\.content)).tokens > 0 }

    /// Puts a word in the place of each image and document: the model cannot read one of them, and would refuse every request.
    mutating func dropMedia() async throws {
        try await transcript.dropMedia()
        try await refresh()
        lastUsage = nil
    }

    private mutating func refresh() async throws {
        messages = await transcript.messages
        try cache.update(to: messages)
    }

    /// Whether a person or a tool spoke last.
    var awaitsAnswer: Bool { messages.last?.role == .user }
    var hasThinking: Bool { messages.contains { $0.content.contains(where: \.isThinking) } }

    func encoded(withoutThinking: Bool) throws -> EncodedConversation {
        guard withoutThinking, hasThinking else { return cache }
        var plain = EncodedConversation()
        try plain.update(to: messages.map { ChatMessage(role: $0.role, content: $0.content.filter { !$0.isThinking }) })
        return plain
    }

    /// Tokens of the next request: what the model counted last, and an estimate for what came since.
    func contextTokens(fixed: Int) -> Int {
        guard let lastUsage, cache.tokens >= tokensAtLastUsage else { return fixed + cache.tokens }
        return lastUsage.context + cache.tokens - tokensAtLastUsage
    }

    /// Archives the conversation in full and puts the summary in its place; `pending` is what still has to be answered.
    mutating func restart(summary: String, pending: [ContentBlock]?) async throws {
        let archive = Compaction.writeArchive(messages, of: id, into: archiveDirectory)
        let kept = pending.map { [ChatMessage(role: .user, content: $0)] } ?? [Compaction.acknowledgement]
        try await transcript.compact(summary: Compaction.opening(summary, archive: archive), keeping: kept)
        try await refresh()
        lastUsage = nil
    }

    // MARK: The end

    /// Makes the turn durable; the conversation then ends with an answer.
    mutating func end(_ text: String) async throws {
        if awaitsAnswer { try await append(assistant: text.allSatisfy(\.isWhitespace) ? "(nothing further to say)" : text) }
        try await transcript.endTurn(.answered)
        isEnded = true
    }

    /// Takes the whole turn back, as if the message had never come.
    mutating func rollBack() async throws {
        try await transcript.rollback(to: marker)
        isEnded = true
        try await refresh()
        lastUsage = nil
    }

    /// Ends a turn that brought no answer: without a word of the model it is taken back, else it is kept, closed.
    mutating func abandon(_ outcome: TranscriptTurn.Outcome) async {
        guard !isEnded else { return }
        do {
            if hasAnswered || outcome == .stopped { try await transcript.endTurn(outcome) } else { try await rollBack() }
        } catch {
            // Left open: the next run drops it.
        }
        isEnded = true
    }
}

extension ModelUsage {
    var forTranscript: TokenUsage {
        var usage = TokenUsage()
        usage.inputTokens = input; usage.outputTokens = output; usage.cacheReadTokens = cacheRead; usage.cacheWriteTokens = cacheWrite
        return usage
    }
    init(_ usage: TokenUsage) {
        self.init()
        input = usage.inputTokens; output = usage.outputTokens; cacheRead = usage.cacheReadTokens; cacheWrite = usage.cacheWriteTokens
    }
}
