import Foundation
import NIOCore
import Platform

/// Serves ``DemoModel`` as a provider, in exactly the wire form of the Messages API, so that the whole real path runs.
public struct DemoProvider: ModelProvider {
    private let time: any TimeSource
    public init(time: any TimeSource = SystemTime()) { self.time = time }

    public func send(_ call: ModelCall) async throws(ModelFailure) -> ModelResponse {
        guard let request = try? JSON.value(Data(call.body.readableBytesView)) else {
            return ModelError(status: 400, message: "The request body is not valid JSON.").response
        }
        let inputTokens = call.body.readableBytes / 4 + 1
        if call.operation == .countTokens {
            return ModelResponse(status: 200, json: ByteBuffer(string: "{\"input_tokens\":\(inputTokens)}"))
        }
        guard let turn = DemoModel.respond(to: request, now: time.now()) else {
            return ModelError(status: 400, message: "messages: the last message must be the user's.").response
        }
        let message = DemoMessage(turn, of: call, inputTokens: inputTokens, maxTokens: request["max_tokens"]?.int ?? 4096)
        if call.streams {
            let events = message.events
            return ModelResponse(status: 200, headers: [("content-type", "text/event-stream; charset=utf-8")]) { write in
                for event in events { try await write(event) }
            }
        }
        return ModelResponse(status: 200, json: ByteBuffer(bytes: (try? JSON.data(message.json)) ?? Data()))
    }
}

/// A turn as message object and as event stream. Shapes: https://docs.anthropic.com/en/docs/build-with-claude/streaming
private struct DemoMessage {
    private let id: String
    private let model: String
    private let text: String
    private let tool: DemoModel.Turn.ToolUse?
    private let toolID: String
    private let inputTokens: Int
    private let outputTokens: Int
    private let stopReason: String

    init(_ turn: DemoModel.Turn, of call: ModelCall, inputTokens: Int, maxTokens: Int) {
        // Ids follow from the request, so that the same request has the same answer.
        let hash = Digest.sha256Hex(Data(call.body.readableBytesView))
        id = "msg_demo_\(hash.prefix(20))"
        toolID = "toolu_demo_\(hash.suffix(20))"
        model = call.model
        let room = maxTokens * 4
        let cut = turn.tool == nil && turn.text.utf8.count > room
        text = cut ? String(decoding: turn.text.utf8.prefix(room), as: UTF8.self) : turn.text
        tool = turn.tool
        self.inputTokens = inputTokens
        outputTokens = max(1, text.utf8.count / 4 + (turn.tool.map { Self.inputText($0).utf8.count / 4 + 10 } ?? 0))
        stopReason = turn.tool != nil ? "tool_use" : cut ? "max_tokens" : "end_turn"
    }

    private static func inputText(_ tool: DemoModel.Turn.ToolUse) -> String {
        (try? JSON.data(.object(tool.input))).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    private func usage(output: Int) -> Value {
        .object(["input_tokens": .int(inputTokens), "output_tokens": .int(output), "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0])
    }

    var json: Value {
        var content: [Value] = []
        if !text.isEmpty { content.append(.object(["type": "text", "text": .string(text)])) }
        if let tool {
            content.append(.object(["type": "tool_use", "id": .string(toolID), "name": .string(tool.name), "input": .object(tool.input)]))
        }
        return .object([
            "id": .string(id), "type": "message", "role": "assistant", "model": .string(model), "content": .array(content),
            "stop_reason": .string(stopReason), "stop_sequence": .null, "usage": usage(output: outputTokens),
        ])
    }

    var events: [ByteBuffer] {
        var events = [
            ServerSentEvents.event(
                "message_start",
                .object([
                    "type": "message_start",
                    "message": .object([
                        "id": .string(id), "type": "message", "role": "assistant", "model": .string(model), "content": .array([]),
                        "stop_reason": .null, "stop_sequence": .null, "usage": usage(output: 1),
                    ]),
                ]))
        ]
        var index = 0
        func block(_ start: Value, deltas: [Value]) {
            events.append(
                ServerSentEvents.event("content_block_start", .object(["type": "content_block_start", "index": .int(index), "content_block": start])))
            if index == 0 { events.append(ServerSentEvents.event("ping", .object(["type": "ping"]))) }
            events += deltas.map {
                ServerSentEvents.event("content_block_delta", .object(["type": "content_block_delta", "index": .int(index), "delta": $0]))
            }
            events.append(ServerSentEvents.event("content_block_stop", .object(["type": "content_block_stop", "index": .int(index)])))
            index += 1
        }
        if !text.isEmpty {
            block(
                .object(["type": "text", "text": ""]), deltas: Self.pieces(text, of: 24).map { .object(["type": "text_delta", "text": .string($0)]) })
        }
        if let tool {
            block(
                .object(["type": "tool_use", "id": .string(toolID), "name": .string(tool.name), "input": .object([:])]),
                deltas: [.object(["type": "input_json_delta", "partial_json": ""])]
                    + Self.pieces(Self.inputText(tool), of: 40).map { .object(["type": "input_json_delta", "partial_json": .string($0)]) })
        }
        events.append(
            ServerSentEvents.event(
                "message_delta",
                .object([
                    "type": "message_delta", "delta": .object(["stop_reason": .string(stopReason), "stop_sequence": .null]),
                    "usage": .object(["output_tokens": .int(outputTokens)]),
                ])))
        events.append(ServerSentEvents.event("message_stop", .object(["type": "message_stop"])))
        return events
    }

    private static func pieces(_ text: String, of length: Int) -> [String] {
        var pieces: [String] = [], rest = Substring(text)
        while !rest.isEmpty { pieces.append(String(rest.prefix(length))); rest = rest.dropFirst(length) }
        return pieces
    }
}
