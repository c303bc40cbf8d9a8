import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Requests to chat completions", .paced) struct ChatRequestTests {
    private func translated(_ json: String, dialect: ChatDialect = ChatDialect(), streams: Bool = true) throws -> Value {
        try ChatRequest(JSON.value(Data(json.utf8)), model: "m", streams: streams, dialect: dialect).body
    }
    private func messages(_ json: String) throws -> [String] {
        try (translated(#"{"max_tokens":5,"messages":\#(json)}"#)["messages"]?.array ?? []).map { try JSON.text($0) }
    }

    @Test("system, turns and settings keep their meaning") func plain() throws {
        let body = try translated(
            #"{"max_tokens":5,"temperature":0.5,"top_k":3,"stop_sequences":["END"],"system":[{"type":"text","text":"A","cache_control":{"type":"ephemeral"}},{"type":"text","text":"B"}],"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]},{"role":"user","content":[{"type":"text","text":"more"}]}]}"#)
        #expect(
            try JSON.text(body)
                == #"{"max_tokens":5,"messages":[{"content":"A\n\nB","role":"system"},{"content":"hi","role":"user"},{"content":"x\n\ny","role":"assistant"},{"content":"more","role":"user"}],"model":"m","stop":["END"],"stream":true,"stream_options":{"include_usage":true},"temperature":0.5}"#)
    }

    @Test("tool calls and results become messages of their own, in order; errors are named") func tools() throws {
        let all = try messages(
            #"[{"role":"user","content":"go"},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"Bash","input":{"command":"x"}},{"type":"tool_use","id":"b","name":"Read","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"out"},{"type":"tool_result","tool_use_id":"b","is_error":true,"content":[{"type":"text","text":"no file"}]},{"type":"text","text":"and?"}]}]"#)
        #expect(
            all == [
                #"{"content":"go","role":"user"}"#,
                #"{"content":null,"role":"assistant","tool_calls":[{"function":{"arguments":"{\"command\":\"x\"}","name":"Bash"},"id":"a","type":"function"},{"function":{"arguments":"{}","name":"Read"},"id":"b","type":"function"}]}"#,
                #"{"content":"out","role":"tool","tool_call_id":"a"}"#, #"{"content":"Error: no file","role":"tool","tool_call_id":"b"}"#,
                #"{"content":"and?","role":"user"}"#,
            ])
    }

    @Test("an empty tool result says that it is empty") func emptyResult() throws {
        let all = try messages(
            #"[{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"B","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}]"#)
        #expect(all.last == #"{"content":"(no output)","role":"tool","tool_call_id":"a"}"#)
    }

    @Test("images become data URLs; those of a tool follow it in the user's name") func images() throws {
        let all = try messages(
            #"[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}},{"type":"text","text":"what?"}]},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"Read","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"image","source":{"type":"url","url":"https://x/y.png"}}]}]}]"#)
        #expect(all[0] == #"{"content":[{"image_url":{"url":"data:image/png;base64,QUJD"},"type":"image_url"},{"text":"what?","type":"text"}],"role":"user"}"#)
        #expect(all[2] == #"{"content":"(An image follows in the next message.)","role":"tool","tool_call_id":"a"}"#)
        #expect(all[3].contains("https://x/y.png") && all[3].contains(#""role":"user""#))
    }

    @Test("documents that are text are shown, others named") func documents() throws {
        let all = try messages(
            #"[{"role":"user","content":[{"type":"document","title":"a.txt","source":{"type":"text","media_type":"text/plain","data":"hello"}},{"type":"document","title":"b.pdf","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"}}]}]"#)
        #expect(all[0].contains(#"Document \"a.txt\":\nhello"#) && all[0].contains(#"Document \"b.pdf\", application/pdf"#) && !all[0].contains("JVBE"))
    }

    @Test("thinking goes back while its tool loop lasts, and not afterwards") func thinking() throws {
        let loop =
            #"{"role":"assistant","content":[{"type":"thinking","thinking":"T1","signature":""},{"type":"tool_use","id":"a","name":"B","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"r"}]}"#
        let during = try messages(#"[{"role":"user","content":"go"},\#(loop)]"#)
        #expect(during[1].contains(#""reasoning_content":"T1""#))
        let after = try messages(#"[{"role":"user","content":"go"},\#(loop),{"role":"assistant","content":"done"},{"role":"user","content":"next"}]"#)
        #expect(!after.joined().contains("T1"))
    }

    @Test("tools and the choice among them are translated; the vendor's own server tools stay away") func toolDefinitions() throws {
        let tools = #""tools":[{"name":"Bash","description":"run","input_schema":{"type":"object","properties":{}}},{"type":"web_search_20250305","name":"web_search"}]"#
        for (choice, expected) in [
            (#"{"type":"auto"}"#, #""auto""#), (#"{"type":"any"}"#, #""required""#), (#"{"type":"none"}"#, #""none""#),
            (#"{"type":"tool","name":"Bash"}"#, #"{"function":{"name":"Bash"},"type":"function"}"#),
        ] {
            let body = try translated(#"{"max_tokens":5,\#(tools),"tool_choice":\#(choice),"messages":[{"role":"user","content":"x"}]}"#)
            #expect(try JSON.text(body["tool_choice"] ?? .null) == expected)
            #expect(body["tools"]?.array?.count == 1 && body["parallel_tool_calls"] == nil)
        }
        let single = try translated(
            #"{"max_tokens":5,\#(tools),"tool_choice":{"type":"auto","disable_parallel_tool_use":true},"messages":[{"role":"user","content":"x"}]}"#)
        #expect(single["parallel_tool_calls"] == false)
    }

    @Test("an endpoint is asked to think in its own words, and only when the agent asked")
    func thinkingRequests() throws {
        let asked = #"{"max_tokens":5,"thinking":{"type":"enabled","budget_tokens":9},"messages":[{"role":"user","content":"x"}]}"#
        let plain = #"{"max_tokens":5,"messages":[{"role":"user","content":"x"}]}"#
        for (base, model, field) in [
            ("https://dashscope.aliyuncs.com/compatible-mode/v1", "qwen3-max", "enable_thinking"), ("https://api.deepseek.com", "deepseek-chat", "thinking"),
            ("https://open.bigmodel.cn/api/paas/v4", "glm-4.7", "thinking"), ("https://api.openai.com", "gpt-5.2", "reasoning_effort"),
        ] {
            let dialect = ChatDialect(baseURL: base, model: model)
            #expect(try translated(asked, dialect: dialect)[field] != nil, "\(base)")
            #expect(try translated(plain, dialect: dialect)[field] == nil, "\(base)")
        }
        let local = try translated(asked, dialect: ChatDialect(baseURL: "http://127.0.0.1:11434", model: "qwen3"))
        #expect(local["enable_thinking"] == nil && local["thinking"] == nil && local["reasoning_effort"] == nil)
    }

    @Test("what an endpoint refuses by name is left out the next time") func corrections() {
        let common = ChatDialect()
        #expect(common.corrected(by: "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")?.completionTokens == true)
        #expect(common.corrected(by: "Unrecognized request argument supplied: stream_options")?.streamOptions == false)
        #expect(common.corrected(by: "the model is on fire") == nil)
        var openAI = ChatDialect(baseURL: "https://api.openai.com/v1", model: "gpt-4o")
        #expect(openAI.completionTokens)
        openAI = openAI.corrected(by: "Unrecognized request argument: max_completion_tokens")!
        #expect(!openAI.completionTokens)
    }

    @Test(
        "a base URL is taken in every spelling that vendors print",
        arguments: [
            ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1/chat/completions"), ("https://api.openai.com/v1/", "https://api.openai.com/v1/chat/completions"),
            ("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("https://api.deepseek.com", "https://api.deepseek.com/v1/chat/completions"),
            ("https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
            ("https://dashscope.aliyuncs.com/compatible-mode/v1", "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions"),
            ("https://generativelanguage.googleapis.com/v1beta/openai//", "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ])
    func baseURLs(_ base: String, _ expected: String) { #expect(ChatDialect.endpoint(base) == expected) }

    @Test("ids of any spelling survive the way to the agent and back", arguments: ["call_1", "functions.Bash:0", "", "toolu_x-Y", "日本", "oai64_x", String(repeating: "x", count: 200)])
    func ids(_ id: String) {
        let inner = ToolCallID.inner(id)
        #expect(!inner.isEmpty && inner.wholeMatch(of: /[A-Za-z0-9_-]+/) != nil)
        #expect(ToolCallID.outer(inner) == id)
    }

    @Test("errors are told in the words in which engines look for a cure") func errors() throws {
        func read(_ json: String, _ status: Int?, asked: Int = 16_000) throws -> ModelError {
            CompletionError.read(try JSON.value(Data(json.utf8)), status: status, asked: asked, key: Secret("sk-canary"))
        }
        let long = try read(#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}"#, 400)
        #expect(long.status == 400 && long.message.hasPrefix("prompt is too long"))
        let llama = try read(#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error"}}"#, 400)
        #expect(llama.message.hasPrefix("prompt is too long"))
        for (text, most) in [
            ("max_tokens is too large: 16000. This model supports at most 8192 completion tokens.", 8192),
            ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
            ("'max_tokens' or 'max_completion_tokens' is too large: 16000. This model's maximum context length is 9000 tokens and your request has 1000 input tokens (16000 > 9000 - 1000).", 8000),
        ] {
            #expect(try read(#"{"error":{"message":"\#(text)"}}"#, 400).message.hasPrefix("max_tokens: 16000 > \(most),"), "\(text)")
        }
        #expect(try read(#"{"error":"model 'x' not found"}"#, 404).message == "model 'x' not found")
        #expect(try read(#"{"error":{"message":"bad sk-canary"}}"#, 400).message == "bad \(KeyScrubber.mark)")
        #expect(try read(#"[{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}]"#, nil).status == 429)
        #expect(try read(#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#, 429).code == ModelError.refusedCode)
        #expect(try read(#"{"error":{"message":"Incorrect API key provided: sk-canary"}}"#, 401) == ModelHTTP.refusal(status: 401))
        #expect(try read(#"{"object":"error","message":"boom","code":50001}"#, nil).status == 500)
    }
}
