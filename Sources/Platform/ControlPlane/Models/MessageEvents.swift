import NIOCore
import Platform

/// A whole message as the events in which it would have streamed.
enum MessageEvents {
    /// Text is cut into pieces of this many characters.
    private static let piece = 40

    static func events(of message: Value) -> [ByteBuffer] {
        var head = message.object ?? [:]
        let content = head["content"]?.array ?? []
        let delta: Value = .object(["stop_reason": head["stop_reason"] ?? .null, "stop_sequence": head["stop_sequence"] ?? .null])
        let usage = head["usage"] ?? .object([:])
        head["content"] = .array([])
        head["stop_reason"] = .null
        var events = [event("message_start", ["message": .object(head)])]
        for (index, block) in content.enumerated() {
            let (start, deltas) = parts(block)
            events.append(event("content_block_start", ["index": .int(index), "content_block": start]))
            events += deltas.map { event("content_block_delta", ["index": .int(index), "delta": $0]) }
            events.append(event("content_block_stop", ["index": .int(index)]))
        }
        events.append(event("message_delta", ["delta": delta, "usage": usage]))
        events.append(event("message_stop", [:]))
        return events
    }

    private static func parts(_ block: Value) -> (start: Value, deltas: [Value]) {
        var start = block.object ?? [:]
        func deltas(_ text: String, _ type: Value, _ field: String) -> [Value] { pieces(text).map { .object(["type": type, field: .string($0)]) } }
        switch block["type"]?.string {
        case "text":
            start["text"] = ""
            return (.object(start), deltas(block["text"]?.string ?? "", "text_delta", "text"))
        case "thinking":
            start["thinking"] = ""
            return (.object(start), deltas(block["thinking"]?.string ?? "", "thinking_delta", "thinking"))
        case "tool_use":
            start["input"] = .object([:])
            return (.object(start), deltas((try? JSON.text(block["input"] ?? .object([:]))) ?? "{}", "input_json_delta", "partial_json"))
        default: return (block, [])
        }
    }

    private static func pieces(_ text: String) -> [String] {
        var pieces: [String] = [], rest = Substring(text)
        while !rest.isEmpty { pieces.append(String(rest.prefix(piece))); rest = rest.dropFirst(piece) }
        return pieces
    }
    private static func event(_ name: String, _ fields: [String: Value]) -> ByteBuffer {
        ServerSentEvents.event(name, .object(fields.merging(["type": .string(name)]) { $1 }))
    }
}
