import Foundation
import NIOCore
import Platform

/// A whole chat completion (`stream: false`) as a message of the Messages API.
enum ChatAnswer {
    /// - Throws: ``ModelError`` for an error under status 200 and for what is no chat completion.
    static func message(_ answer: Value, model: String, asked: Int?, key: Secret?, estimatedInput: Int) throws(ModelError) -> Value {
        if let error = answer["error"], error != .null { throw CompletionError.read(answer, status: nil, asked: asked, key: key) }
        guard let choice = answer["choices"]?.array?.first, let message = choice["message"] else {
            guard answer["object"]?.string == "error" || answer["message"]?.string != nil else {
                throw ModelError(status: 502, message: "The model provider's answer could not be read.", code: "upstream-failed")
            }
            throw CompletionError.read(answer, status: nil, asked: asked, key: key)
        }
        var content: [Value] = [], bytes = 0
        func add(_ piece: InlineThinking.Piece) {
            switch piece {
            case .thinking(let text): content.append(.object(["type": "thinking", "thinking": .string(text), "signature": ""])); bytes += text.utf8.count
            case .text(let text): content.append(.object(["type": "text", "text": .string(text)])); bytes += text.utf8.count
            }
        }
        if let thought = ChatStreamTranslator.thought(message) { add(.thinking(thought)) }
        var inline = InlineThinking()
        let text = ChatStreamTranslator.text(message["content"]) ?? message["refusal"]?.string ?? ""
        for piece in inline.take(text) + inline.end() { add(piece) }
        var tools = ToolCallAssembly(seed: Digest.randomToken(bytes: 9))
        let calls = (message["tool_calls"]?.array ?? []) + (message["function_call"].flatMap { $0 == .null ? nil : [.object(["function": $0])] } ?? [])
        for (index, call) in calls.enumerated() {
            var fields = call.object ?? [:]
            fields["index"] = .int(index)
            let (place, arguments) = tools.take(.object(fields))
            bytes += arguments.utf8.count
            let input = (try? JSON.value(Data(arguments.utf8))).flatMap { $0.object == nil ? nil : $0 } ?? .object([:])
            content.append(.object(["type": "tool_use", "id": .string(tools.calls[place].id), "name": .string(tools.calls[place].name), "input": input]))
        }
        let usage = ChatUsage(answer["usage"]) ?? ChatUsage(estimatedInput: estimatedInput, contentBytes: bytes)
        switch ChatFinish(choice["finish_reason"]?.string, calledTools: !calls.isEmpty) {
        case .failed(let error): throw error
        case .reason(let reason):
            return .object([
                "id": .string(answer["id"]?.string ?? "msg_\(Digest.randomToken(bytes: 9))"), "type": "message", "role": "assistant",
                "model": .string(model), "content": .array(content), "stop_reason": .string(reason), "stop_sequence": .null, "usage": usage.json,
            ])
        }
    }
}
