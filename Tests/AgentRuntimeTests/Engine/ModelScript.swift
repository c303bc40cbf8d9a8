import Foundation
import Platform

/// Streams as the Messages API sends them.
enum ModelScript {
    static func event(_ value: Value) -> String {
        let name = value["type"]?.string ?? ""
        return "event: \(name)\ndata: \((try? JSON.text(value)) ?? "{}")\n\n"
    }

    static func start(input: Int = 100, cacheRead: Int = 0) -> String {
        event(.object([
            "type": "message_start",
            "message": .object([
                "id": "msg_1", "type": "message", "role": "assistant", "model": "test-model", "content": .array([]),
                "usage": .object(["input_tokens": .int(input), "output_tokens": 1, "cache_read_input_tokens": .int(cacheRead), "cache_creation_input_tokens": 0]),
            ]),
        ]))
    }
    static func text(_ text: String, index: Int = 0) -> String {
        var out = event(.object(["type": "content_block_start", "index": .int(index), "content_block": .object(["type": "text", "text": ""])]))
        for piece in text.split(separator: " ", omittingEmptySubsequences: false).enumerated().map({ $0.offset == 0 ? String($0.element) : " \($0.element)" }) {
            out += event(.object(["type": "content_block_delta", "index": .int(index), "delta": .object(["type": "text_delta", "text": .string(piece)])]))
        }
        return out + event(.object(["type": "content_block_stop", "index": .int(index)]))
    }
    static func tool(_ id: String, _ name: String, _ input: Value, index: Int) -> String {
        let json = (try? JSON.text(input)) ?? "{}"
        let middle = json.index(json.startIndex, offsetBy: json.count / 2)
        return event(.object(["type": "content_block_start", "index": .int(index), "content_block": .object(["type": "tool_use", "id": .string(id), "name": .string(name), "input": .object([:])])]))
            + [json[..<middle], json[middle...]].map {
                event(.object(["type": "content_block_delta", "index": .int(index), "delta": .object(["type": "input_json_delta", "partial_json": .string(String($0))])]))
            }.joined()
            + event(.object(["type": "content_block_stop", "index": .int(index)]))
    }
    static func end(_ reason: String, output: Int = 20) -> String {
        event(.object(["type": "message_delta", "delta": .object(["stop_reason": .string(reason)]), "usage": .object(["output_tokens": .int(output)])]))
            + event(.object(["type": "message_stop"]))
    }
}

extension FakeGateway.ModelAnswer {
    /// A plain answer, in two chunks that cut an event in the middle.
    static func says(_ text: String, reason: String = "end_turn", input: Int = 100, cacheRead: Int = 0) -> Self {
        chunked(ModelScript.start(input: input, cacheRead: cacheRead) + ModelScript.text(text) + ModelScript.end(reason))
    }
    static func calls(_ tools: [(String, String, Value)], text: String = "", reason: String = "tool_use") -> Self {
        var out = ModelScript.start()
        var index = 0
        if !text.isEmpty { out += ModelScript.text(text); index += 1 }
        for (id, name, input) in tools { out += ModelScript.tool(id, name, input, index: index); index += 1 }
        return chunked(out + ModelScript.end(reason))
    }
    static func chunked(_ text: String) -> Self {
        let middle = text.index(text.startIndex, offsetBy: text.count / 2)
        return .stream([String(text[..<middle]), String(text[middle...])], cut: false)
    }
    static func failure(_ status: Int, _ type: String, _ message: String = "trouble", headers: [String: String] = [:]) -> Self {
        .status(status, headers: headers, body: (try? JSON.text(Value.object(["type": "error", "error": .object(["type": .string(type), "message": .string(message)])]))) ?? "")
    }
}
