import Foundation
import NIOCore
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Streams of chat completions", .paced) struct ChatStreamTests {
    /// What an agent makes of the events: text and thinking joined, tool calls with their input, and how it ended.
    private struct Heard: Equatable {
        var order: [String] = []
        var text = "", thinking = ""
        var tools: [String] = []
        var stop: String?
        var usage: Value?
        var error: String?
        var isWhole = false
    }

    private func translate(_ stream: [UInt8], splitAt split: Int? = nil) throws -> [ByteBuffer] {
        var reader = ChatStreamReader()
        var translator = ChatStreamTranslator(model: "m", asked: 100, key: nil, estimatedInput: 77, seed: "seed")
        var events: [ByteBuffer] = []
        let parts = split.map { [stream[..<$0], stream[$0...]] } ?? [stream[...]]
        for part in parts { for item in try reader.feed(ByteBuffer(bytes: part)) { events += translator.take(item) } }
        for item in try reader.end() { events += translator.take(item) }
        return events + (try translator.end())
    }

    /// Reads the events strictly: blocks open and close once, deltas belong to open blocks.
    private func hear(_ events: [ByteBuffer]) throws -> Heard {
        var heard = Heard(), open: [Int: String] = [:], inputs: [Int: String] = [:], names: [Int: String] = [:], started = false
        for event in events {
            let text = String(buffer: event)
            #expect(text.hasPrefix("event: ") && text.hasSuffix("\n\n"))
            let json = try JSON.value(Data(text.split(separator: "\n")[1].dropFirst(6).utf8))
            let index = json["index"]?.int ?? -1
            switch json["type"]?.string {
            case "message_start":
                #expect(!started)
                started = true
            case "content_block_start":
                let kind = try #require(json["content_block"]?["type"]?.string)
                #expect(open[index] == nil && !heard.order.contains("\(index)"))
                open[index] = kind
                heard.order.append("\(index)")
                if kind == "tool_use" { names[index] = "\(json["content_block"]?["id"]?.string ?? "") \(json["content_block"]?["name"]?.string ?? "")"; inputs[index] = "" }
            case "content_block_delta":
                let delta = try #require(json["delta"])
                switch delta["type"]?.string {
                case "text_delta": #expect(open[index] == "text"); heard.text += delta["text"]?.string ?? ""
                case "thinking_delta": #expect(open[index] == "thinking"); heard.thinking += delta["thinking"]?.string ?? ""
                case "input_json_delta": #expect(open[index] == "tool_use"); inputs[index]! += delta["partial_json"]?.string ?? ""
                default: Issue.record("\(text)")
                }
            case "content_block_stop":
                #expect(open.removeValue(forKey: index) != nil)
            case "message_delta":
                heard.stop = json["delta"]?["stop_reason"]?.string
                heard.usage = json["usage"]
            case "message_stop":
                #expect(open.isEmpty && started)
                heard.isWhole = true
            case "error": heard.error = json["error"]?["type"]?.string
            default: Issue.record("\(text)")
            }
        }
        heard.tools = names.keys.sorted().map { "\(names[$0]!) \(inputs[$0]!)" }
        return heard
    }
    private func heard(_ lines: [String], end: String = "\n\n") throws -> Heard { try hear(translate(Array(lines.map { $0 + end }.joined().utf8))) }
    private static func delta(_ fields: String, finish: String = "null") -> String {
        #"data: {"id":"c1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{\#(fields)},"finish_reason":\#(finish)}]}"#
    }
    private static let stop = delta("", finish: #""stop""#)
    private static let called = delta("", finish: #""tool_calls""#)
    private static let usage = #"data: {"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":9,"total_tokens":109,"prompt_tokens_details":{"cached_tokens":40}}}"#
    private static let done = "data: [DONE]"

    /// Everything at once: comments, thinking, text with wide characters, two tool calls in fragments, usage last.
    private static let rich = [
        ": keep-alive", delta(#""role":"assistant","content":"""#), delta(#""reasoning_content":"Hm, 思考"#  + #"…""#), delta(#""content":"Grüße \ud83d\ude00 ""#),
        delta(#""content":"und mehr""#), delta(#""tool_calls":[{"index":0,"id":"call_a","type":"function","function":{"name":"Bash","arguments":""}}]"#),
        delta(#""tool_calls":[{"index":0,"function":{"arguments":"{\"command\""}}]"#), delta(#""tool_calls":[{"index":0,"function":{"arguments":":\"ls\"}"}}]"#),
        delta(#""tool_calls":[{"index":1,"id":"call_b","function":{"name":"Read","arguments":"{}"}}]"#), called, usage, done,
    ]
    private static let expected = Heard(
        order: ["0", "1", "2", "3"], text: "Grüße 😀 und mehr", thinking: "Hm, 思考…", tools: [#"call_a Bash {"command":"ls"}"#, "call_b Read {}"], stop: "tool_use",
        usage: .object(["input_tokens": 60, "output_tokens": 9, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0]), isWhole: true)

    @Test("a stream means the same wherever its bytes are split, with any line end", arguments: ["\n\n", "\r\n\r\n", "\r\r", "\n"])
    func everySplit(_ end: String) throws {
        let bytes = Array(Self.rich.map { $0 + end }.joined().utf8)
        let whole = try translate(bytes)
        #expect(try hear(whole) == Self.expected)
        for split in 0...bytes.count {
            let events = try translate(bytes, splitAt: split)
            #expect(events == whole, "split at \(split)")
        }
    }

    @Test("a byte at a time") func byteByByte() throws {
        var reader = ChatStreamReader()
        var translator = ChatStreamTranslator(model: "m", asked: 100, key: nil, estimatedInput: 77, seed: "seed")
        var events: [ByteBuffer] = []
        for byte in Self.rich.map({ $0 + "\r\n\r\n" }).joined().utf8 {
            for item in try reader.feed(ByteBuffer(bytes: [byte])) { events += translator.take(item) }
        }
        #expect(try hear(events) == Self.expected)
    }

    @Test("interleaved fragments, numbers and ids that are missing, equal or repeated: each call gets its own arguments")
    func toolQuirks() throws {
        func tools(_ fragments: String...) throws -> [String] {
            try heard(fragments.map { Self.delta(#""tool_calls":[\#($0)]"#) } + [Self.called, Self.done]).tools
        }
        let interleaved = try tools(
            #"{"index":0,"id":"a","function":{"name":"A","arguments":"{\"x\""}}"#, #"{"index":1,"id":"b","function":{"name":"B","arguments":"{\"y\""}}"#,
            #"{"index":0,"function":{"arguments":":1}"}}"#, #"{"index":1,"function":{"arguments":":2}"}}"#)
        #expect(interleaved == [#"a A {"x":1}"#, #"b B {"y":2}"#])
        // Google: whole calls, all of them number 0 or without a number.
        #expect(try tools(#"{"index":0,"id":"a","function":{"name":"A","arguments":"{}"}}"#, #"{"index":0,"id":"b","function":{"name":"B","arguments":"{}"}}"#) == ["a A {}", "b B {}"])
        #expect(try tools(#"{"id":"a","function":{"name":"A","arguments":"{"}}"#, #"{"function":{"arguments":"}"}}"#, #"{"id":"b","function":{"name":"B","arguments":"{}"}}"#) == ["a A {}", "b B {}"])
        // Without ids some are made, which differ.
        #expect(try tools(#"{"index":0,"function":{"name":"A","arguments":"{}"}}"#, #"{"index":1,"function":{"name":"A","arguments":"{}"}}"#) == ["call_seed_0 A {}", "call_seed_1 A {}"])
        // The same id twice within a message.
        #expect(Set(try tools(#"{"index":0,"id":"c","function":{"name":"A","arguments":"{}"}}"#, #"{"index":1,"id":"c","function":{"name":"B","arguments":"{}"}}"#)).count == 2)
        // The name in pieces, or at every fragment; arguments as an object; no arguments at all.
        #expect(try tools(#"{"index":0,"id":"a","function":{"name":"Ba"}}"#, #"{"index":0,"function":{"name":"sh","arguments":"{}"}}"#) == ["a Bash {}"])
        #expect(try tools(#"{"index":0,"id":"a","function":{"name":"Bash","arguments":"{"}}"#, #"{"index":0,"id":"a","function":{"name":"Bash","arguments":"}"}}"#) == ["a Bash {}"])
        #expect(try tools(#"{"index":0,"id":"a","function":{"name":"A","arguments":{"x":1}}}"#) == [#"a A {"x":1}"#])
        #expect(try tools(#"{"index":0,"id":"functions.A:0","function":{"name":"A"}}"#) == ["\(ToolCallID.inner("functions.A:0")) A "])
        let old = try heard([Self.delta(#""function_call":{"name":"A","arguments":"{"}"#), Self.delta(#""function_call":{"arguments":"}"}"#), Self.delta("", finish: #""function_call""#), Self.done])
        #expect(old.tools == ["call_seed_0 A {}"] && old.stop == "tool_use")
    }

    @Test(
        "why an answer ended is translated",
        arguments: [
            ("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"), ("sensitive", "refusal"),
            ("model_context_window_exceeded", "model_context_window_exceeded"), ("eos", "end_turn"),
        ])
    func finishReasons(_ given: String, _ expected: String) throws {
        #expect(try heard([Self.delta(#""content":"x""#), Self.delta("", finish: "\"\(given)\""), Self.done]).stop == expected)
    }

    @Test("`stop` after tool calls means that tools are called") func stopWithTools() throws {
        #expect(try heard([Self.delta(#""tool_calls":[{"index":0,"id":"a","function":{"name":"A","arguments":"{}"}}]"#), Self.stop, Self.done]).stop == "tool_use")
    }

    @Test("an end without a reason is one after [DONE]; an end without either is a break") func ends() throws {
        #expect(try heard([Self.delta(#""content":"x""#), Self.done]).stop == "end_turn")
        #expect(try heard([Self.delta(#""content":"x""#), Self.stop]).isWhole)
        #expect(throws: ModelFailure.unreachable) { try heard([Self.delta(#""content":"x""#)]) }
        #expect(throws: ModelFailure.unreachable) { try heard([]) }
        #expect(try heard([Self.done]).error == "api_error")
        // The last line without its end.
        #expect(try hear(translate(Array((Self.delta(#""content":"x""#) + "\n\n" + Self.done).utf8))).isWhole)
    }

    @Test("what no endpoint reported is estimated, and marked so") func estimate() throws {
        let usage = try heard([Self.delta(#""content":"\#(String(repeating: "x", count: 400))""#), Self.stop, Self.done]).usage
        #expect(usage?["estimated"] == true && usage?["input_tokens"] == 77 && usage?["output_tokens"] == 100)
    }

    @Test("usage is found wherever vendors put it, and the last report counts") func usagePlaces() throws {
        let moonshot = #"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop","usage":{"prompt_tokens":10,"completion_tokens":3,"cached_tokens":4}}]}"#
        #expect(try heard([Self.delta(#""content":"x""#), moonshot, Self.done]).usage?["cache_read_input_tokens"] == 4)
        let deepSeek = #"data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"prompt_cache_hit_tokens":6}}"#
        #expect(try heard([deepSeek, Self.done]).usage?["input_tokens"] == 4)
        let running = #"data: {"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":10,"completion_tokens":1}}"#
        #expect(try heard([running, Self.stop, Self.usage, Self.done]).usage?["output_tokens"] == 9)
        #expect(try heard([Self.usage, Self.delta(#""content":"x""#), Self.stop, #"data: {"choices":[],"usage":null}"#, Self.done]).usage?["output_tokens"] == 9)
    }

    @Test("errors in mid-stream end it as errors", arguments: [
        (#"data: {"error":{"message":"The server is overloaded","type":"server_error","code":"overloaded"}}"#, "overloaded_error"),
        (#"data: {"error":{"message":"Rate limit reached","type":"rate_limit_error"}}"#, "rate_limit_error"), (#"data: {"error":"boom"}"#, "api_error"),
        (#"data: {"object":"error","message":"boom","code":500}"#, "api_error"), (ChatStreamTests.delta("", finish: #""insufficient_system_resource""#), "overloaded_error"),
    ])
    func errorsInStream(_ line: String, _ type: String) throws {
        let heard = try heard([Self.delta(#""content":"x""#), line, Self.done])
        #expect(heard.error == type && !heard.isWhole)
    }

    @Test("what is no JSON is a break, not an answer", arguments: ["data: {\"choices\": [{\"del", "data: nonsense", "data: 5", "data: \u{FFFD}{"])
    func malformed(_ line: String) {
        #expect(throws: ModelFailure.self) { try heard([Self.delta(#""content":"x""#), line, Self.stop, Self.done]) }
    }

    @Test("thinking inside <think> is taken out, wherever the tags are cut", arguments: ["<think>\nA < b\n</think>\n\nanswer", "  <think>\nA < b\n</think>answer"])
    func inlineThinking(_ text: String) {
        let characters = Array(text)
        for first in 0...characters.count {
            for second in first...characters.count {
                var inline = InlineThinking(), thinking = "", said = ""
                let parts = [characters[..<first], characters[first..<second], characters[second...]].map { String($0) }
                for piece in parts.flatMap({ inline.take($0) }) + inline.end() {
                    switch piece {
                    case .thinking(let text): thinking += text
                    case .text(let text): said += text
                    }
                }
                #expect(thinking == "\nA < b\n" && said == "answer", "\(first) \(second)")
            }
        }
    }

    @Test("a text that only speaks of the tag keeps it", arguments: ["Use <think> here", "<thin", "<b>x</b>", "  \n"])
    func noInlineThinking(_ text: String) {
        var inline = InlineThinking()
        #expect(inline.take(text) + inline.end() == [.text(text)])
    }

    @Test("reasoning in Ollama's field, and a whole message where a delta is meant") func otherForms() throws {
        #expect(try heard([Self.delta(#""reasoning":"R""#), Self.delta(#""content":"x""#), Self.stop, Self.done]).thinking == "R")
        let whole = #"data: {"choices":[{"index":0,"message":{"role":"assistant","content":"all"},"finish_reason":"stop"}]}"#
        #expect(try heard([whole, Self.done]).text == "all")
        #expect(try heard([Self.delta(#""content":[{"type":"text","text":"parts"}]"#), Self.stop, Self.done]).text == "parts")
    }

    @Test("a whole answer is translated, and told as a stream when one was asked for") func wholeAnswer() throws {
        let json = #"{"id":"c","choices":[{"message":{"content":"<think>T</think>hello","tool_calls":[{"id":"a","type":"function","function":{"name":"A","arguments":"{\"x\":1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#
        let message = try ChatAnswer.message(JSON.value(Data(json.utf8)), model: "m", asked: 9, key: nil, estimatedInput: 1)
        #expect(message["stop_reason"] == "tool_use" && message["usage"]?["input_tokens"] == 7)
        let heard = try hear(MessageEvents.events(of: message))
        #expect(heard.text == "hello" && heard.thinking == "T" && heard.tools == [#"a A {"x":1}"#] && heard.isWhole && heard.stop == "tool_use")
        for (bad, status) in [(#"{"error":{"message":"Rate limit reached","code":429}}"#, 429), (#"{"hello":1}"#, 502)] {
            do {
                _ = try ChatAnswer.message(JSON.value(Data(bad.utf8)), model: "m", asked: 9, key: nil, estimatedInput: 1)
                Issue.record("\(bad)")
            } catch let error as ModelError { #expect(error.status == status) }
        }
    }
}
