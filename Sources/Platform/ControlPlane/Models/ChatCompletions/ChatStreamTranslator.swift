import Foundation
import NIOCore
import Platform

/// A stream of chat completion chunks as the Messages API's events
/// (https://docs.anthropic.com/en/docs/build-with-claude/streaming).
///
/// Thinking is always passed on as thinking blocks: endpoints that think want it back while a tool loop lasts, and the gateway counts
/// what it sees. Input tokens are an estimate until the endpoint reports them, at its end; the last report counts.
struct ChatStreamTranslator {
    private enum Open: Equatable { case text(Int), thinking(Int) }

    private let model: String
    private let asked: Int?
    private let key: Secret?
    private let estimatedInput: Int
    private var id: String
    private var hasBegun = false
    private var open: Open?
    private var nextBlock = 0
    private var inline = InlineThinking()
    private var tools: ToolCallAssembly
    private var finishReason: String?
    private var usage: ChatUsage?
    private var contentBytes = 0
    private var events: [ByteBuffer] = []
    /// Nothing more is to be read: the answer is complete, or has failed and said so.
    private(set) var isOver = false

    /// - Parameter seed: of invented ids; random outside of tests.
    init(model: String, asked: Int?, key: Secret?, estimatedInput: Int, seed: String = Digest.randomToken(bytes: 9)) {
        self.model = model; self.asked = asked; self.key = key; self.estimatedInput = estimatedInput
        id = "msg_\(seed)"
        tools = ToolCallAssembly(seed: seed)
    }

    /// - Returns: events to pass on.
    mutating func take(_ item: ChatStreamReader.Item) -> [ByteBuffer] {
        guard !isOver else { return [] }
        switch item {
        case .done: finish()
        case .chunk(let chunk): read(chunk)
        }
        return flush()
    }

    /// The end of the stream without `[DONE]`.
    /// - Throws: ``ModelFailure/unreachable`` when the answer is not complete.
    mutating func end() throws(ModelFailure) -> [ByteBuffer] {
        guard !isOver else { return [] }
        guard finishReason != nil else { throw .unreachable }
        finish()
        return flush()
    }

    // MARK: Chunks

    private mutating func read(_ chunk: Value) {
        let choices = chunk["choices"]?.array
        if let error = chunk["error"], error != .null { return fail(chunk) }
        if choices == nil, chunk["object"]?.string == "error" { return fail(chunk) }
        if !hasBegun {
            if let given = chunk["id"]?.string, !given.isEmpty, given.utf8.count <= 128 { id = given }
            begin()
        }
        let choice = choices?.first { ($0["index"]?.int ?? 0) == 0 }
        if let reported = ChatUsage(chunk["usage"]) ?? ChatUsage(choice?["usage"]) { usage = reported }
        guard let choice else { return }
        // A whole message where a delta is meant: servers that do not stream some answers.
        let delta = choice["delta"] ?? choice["message"] ?? .null
        if let thought = Self.thought(delta) { think(thought) }
        if let text = Self.text(delta["content"]) ?? delta["refusal"]?.string { say(text) }
        for fragment in delta["tool_calls"]?.array ?? [] { call(fragment) }
        // The form before tools had numbers.
        if let function = delta["function_call"], function != .null { call(.object(["index": 0, "function": function])) }
        if let reason = choice["finish_reason"]?.string, !reason.isEmpty { finishReason = reason }
    }

    /// DeepSeek, Qwen, GLM, Kimi and llama.cpp say `reasoning_content`, Ollama and others `reasoning`.
    static func thought(_ delta: Value) -> String? {
        (delta["reasoning_content"]?.string ?? delta["reasoning"]?.string).flatMap { $0.isEmpty ? nil : $0 }
    }
    static func text(_ content: Value?) -> String? {
        if let parts = content?.array { return parts.compactMap { $0["text"]?.string }.joined() }
        return content?.string.flatMap { $0.isEmpty ? nil : $0 }
    }

    private mutating func think(_ thought: String) {
        contentBytes += thought.utf8.count
        show(.thinking(thought))
    }

    private mutating func say(_ text: String) {
        contentBytes += text.utf8.count
        for piece in inline.take(text) { show(piece) }
    }

    private mutating func show(_ piece: InlineThinking.Piece) {
        switch piece {
        case .thinking(let thought):
            let block = opened(thinking: true)
            delta(block, ["type": "thinking_delta", "thinking": .string(thought)])
        case .text(let text):
            let block = opened(thinking: false)
            delta(block, ["type": "text_delta", "text": .string(text)])
        }
    }

    private mutating func opened(thinking: Bool) -> Int {
        switch open {
        case .thinking(let block) where thinking: return block
        case .text(let block) where !thinking: return block
        default: break
        }
        closeOpen()
        let block = start(thinking ? ["type": "thinking", "thinking": "", "signature": ""] : ["type": "text", "text": ""])
        open = thinking ? .thinking(block) : .text(block)
        return block
    }

    private mutating func call(_ fragment: Value) {
        for piece in inline.end() { show(piece) }
        closeOpen()
        let (place, arguments) = tools.take(fragment)
        contentBytes += arguments.utf8.count
        guard let block = tools.calls[place].block else {
            // The block's head holds the name, which may still grow until the arguments begin.
            tools.hold(place, arguments)
            if !arguments.isEmpty, !tools.calls[place].name.isEmpty { openCall(place) }
            return
        }
        if !arguments.isEmpty { delta(block, ["type": "input_json_delta", "partial_json": .string(arguments)]) }
    }

    private mutating func openCall(_ place: Int) {
        let call = tools.open(place, as: nextBlock)
        contentBytes += call.name.utf8.count
        let block = start(["type": "tool_use", "id": .string(call.id), "name": .string(call.name), "input": .object([:])])
        if !call.waiting.isEmpty { delta(block, ["type": "input_json_delta", "partial_json": .string(call.waiting)]) }
    }

    // MARK: Beginning and end

    private mutating func begin() {
        hasBegun = true
        let message: [String: Value] = [
            "id": .string(id), "type": "message", "role": "assistant", "model": .string(model), "content": .array([]), "stop_reason": .null,
            "stop_sequence": .null, "usage": ChatUsage(estimatedInput: estimatedInput, contentBytes: 0).json,
        ]
        event("message_start", ["message": .object(message)])
    }

    private mutating func finish() {
        guard hasBegun else {
            // `[DONE]` and nothing before it.
            return fail(.object(["error": .object(["message": "The model provider's answer is empty.", "code": 500])]))
        }
        for piece in inline.end() { show(piece) }
        closeOpen()
        for (place, call) in tools.calls.enumerated() where call.block == nil && !call.name.isEmpty { openCall(place) }
        for call in tools.calls { if let block = call.block { event("content_block_stop", ["index": .int(block)]) } }
        switch ChatFinish(finishReason, calledTools: tools.calls.contains { $0.block != nil }) {
        case .failed(let error): events.append(error.event)
        case .reason(let reason):
            let usage = usage ?? ChatUsage(estimatedInput: estimatedInput, contentBytes: contentBytes)
            event("message_delta", ["delta": .object(["stop_reason": .string(reason), "stop_sequence": .null]), "usage": usage.json])
            event("message_stop", [:])
        }
        isOver = true
    }

    private mutating func fail(_ chunk: Value) {
        events.append(CompletionError.read(chunk, status: nil, asked: asked, key: key).event)
        isOver = true
    }

    // MARK: Events

    private mutating func closeOpen() {
        switch open {
        case .text(let block), .thinking(let block): event("content_block_stop", ["index": .int(block)])
        case nil: break
        }
        open = nil
    }

    private mutating func start(_ block: Value) -> Int {
        defer { nextBlock += 1 }
        event("content_block_start", ["index": .int(nextBlock), "content_block": block])
        return nextBlock
    }
    private mutating func delta(_ block: Int, _ delta: Value) { event("content_block_delta", ["index": .int(block), "delta": delta]) }
    private mutating func event(_ name: String, _ fields: [String: Value]) {
        events.append(ServerSentEvents.event(name, .object(fields.merging(["type": .string(name)]) { $1 })))
    }
    private mutating func flush() -> [ByteBuffer] {
        defer { events.removeAll(keepingCapacity: true) }
        return events
    }
}
