import Foundation
import NIOCore
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("The demo model", .paced) struct DemoModelTests {
    private static let tools =
        ["Read", "Write", "Edit", "Glob", "Bash"].map { tool($0, []) } + [
            tool("mcp__clawbot__send_file", ["file_path", "caption"]),
            tool("mcp__clawbot__schedule_task", ["prompt", "scheduleType", "scheduleValue", "timezone"]),
        ]
    private static func tool(_ name: String, _ parameters: [String]) -> Value {
        .object([
            "name": .string(name),
            "input_schema": .object(["properties": .object(Dictionary(uniqueKeysWithValues: parameters.map { ($0, Value.object([:])) }))]),
        ])
    }
    private func user(_ text: String) -> Value {
        let envelope =
            "<context timezone=\"Europe/Berlin\" now=\"2026-03-01T09:00:00\" />\n<messages><message sender=\"Ann\" time=\"09:00\">\(text)</message></messages>"
        return .object(["role": "user", "content": .array([.object(["type": "text", "text": .string(envelope)])])])
    }
    /// Runs the demo's tool loop with a scripted workspace; returns the calls and the last words.
    private func converse(_ text: String, _ run: (DemoModel.Turn.ToolUse) -> (String, Bool) = { _ in ("ok", false) }) throws -> (
        calls: [DemoModel.Turn.ToolUse], said: String
    ) {
        var messages = [user(text)], calls: [DemoModel.Turn.ToolUse] = []
        for round in 0..<10 {
            let turn = try #require(DemoModel.respond(to: .object(["messages": .array(messages), "tools": .array(Self.tools)])))
            guard let tool = turn.tool else { return (calls, turn.text) }
            calls.append(tool)
            let (result, isError) = run(tool)
            messages.append(
                .object([
                    "role": "assistant",
                    "content": .array([
                        .object(["type": "tool_use", "id": .string("t\(round)"), "name": .string(tool.name), "input": .object(tool.input)])
                    ]),
                ]))
            messages.append(
                .object([
                    "role": "user",
                    "content": .array([
                        .object(["type": "tool_result", "tool_use_id": .string("t\(round)"), "content": .string(result), "is_error": .bool(isError)])
                    ]),
                ]))
        }
        Issue.record("the demo does not come to an end")
        return (calls, "")
    }

    @Test(
        "it greets, helps and echoes, always labelled",
        arguments: ["hi", "Hello!", "help", "what can you do?", "the weather is fine", "count to 3", "is it late?"])
    func labelled(_ text: String) throws {
        #expect(try converse(text).said.hasPrefix("[demo] "))
    }

    @Test("a first note makes the memory file") func remembersFirst() throws {
        let (calls, said) = try converse("remember that my favourite colour is teal") {
            $0.name == "Read" ? ("File does not exist.", true) : ("ok", false)
        }
        #expect(calls.map(\.name) == ["Read", "Write"])
        #expect(calls[1].input["file_path"] == "/workspace/group/CLAUDE.md")
        #expect(calls[1].input["content"]?.string?.hasSuffix("- my favourite colour is teal\n") == true)
        #expect(said.contains("teal"))
    }

    @Test("a further note is appended at a place that occurs once") func remembersMore() throws {
        let file = "     1→# Notes\n     2→\n     3→- a\n     4→- b\n     5→- b\n"
        let (calls, _) = try converse("Please remember: Ann &amp; Bob like tea") { $0.name == "Read" ? (file, false) : ("ok", false) }
        #expect(calls.map(\.name) == ["Read", "Edit"])
        #expect(calls[1].input["old_string"] == "- b\n- b")
        #expect(calls[1].input["new_string"] == "- b\n- b\n- Ann & Bob like tea")
    }

    @Test("what it was told it reads back, all of it or the part that was asked for") func recalls() throws {
        let file = "     1→# Notes\n     2→\n     3→- my favourite colour is teal\n     4→- the cat is called Tom"
        #expect(try converse("What do you remember?") { _ in (file, false) }.said.contains("teal"))
        let answer = try converse("what is my favourite colour?") { _ in (file, false) }.said
        #expect(answer.contains("teal") && !answer.contains("Tom"))
    }

    @Test("it writes a file and sends it back, reading it first where the tool insists") func files() throws {
        var reads = 0
        let (calls, said) = try converse("write a file notes.txt with hello world and send it back to me") { use in
            if use.name == "Read" { reads += 1; return ("     1→old", false) }
            if use.name == "Write", reads == 0 { return ("File has not been read yet.", true) }
            return ("ok", false)
        }
        #expect(calls.map(\.name) == ["Write", "Read", "Write", "mcp__clawbot__send_file"])
        #expect(calls[2].input["content"] == "hello world")
        #expect(calls[3].input == ["file_path": "/workspace/group/notes.txt"])
        #expect(said.contains("sent"))
    }

    @Test("it runs a command and shows what it printed") func runs() throws {
        let (calls, said) = try converse("run uname -a") { _ in ("Linux sandbox", false) }
        #expect(calls.map(\.name) == ["Bash"])
        #expect(calls[0].input["command"] == "uname -a")
        #expect(said.contains("Linux sandbox"))
    }

    @Test(
        "reminders become tasks in the person's time zone",
        arguments: [
            ("remind me in 1 minute to stretch", "once", "2026-03-01T09:01:00"), ("Remind me to stretch in 2 hours", "once", "2026-03-01T11:00:00"),
            ("in 5 minutes remind me to stretch", "once", "2026-03-01T09:05:00"), ("every 10 minutes remind me to stretch", "interval", "600000"),
            ("every hour stretch", "interval", "3600000"), ("remind me every day at 7:30 to stretch", "cron", "30 7 * * *"),
        ])
    func reminders(_ text: String, _ type: String, _ value: String) throws {
        let (calls, said) = try converse(text)
        #expect(calls.map(\.name) == ["mcp__clawbot__schedule_task"])
        #expect(
            calls.first?.input == [
                "prompt": "Reminder: stretch", "scheduleType": .string(type), "scheduleValue": .string(value), "timezone": "Europe/Berlin",
            ])
        #expect(said.contains("stretch"))
    }

    @Test("a reminder that is due is said") func due() throws {
        #expect(try converse("Reminder: stretch").said == "[demo] ⏰ Reminder: stretch")
    }

    @Test("tools that fail for ever end the loop") func endless() throws {
        for text in ["remember x", "write a file a with b", "send me the file a", "list files", "remind me in 1 minute to x"] {
            #expect(try converse(text) { _ in ("no", true) }.said.hasPrefix("[demo] "))
        }
    }

    @Test("its stream has the events of the Messages API in their order, and its usage is counted") func wire() async throws {
        let body = try JSON.data(
            .object(["model": "demo", "max_tokens": 1000, "stream": true, "messages": .array([user("run ls")]), "tools": .array(Self.tools)]))
        let call = ModelCall(
            operation: .messages, body: ByteBuffer(bytes: body), model: "demo", streams: true,
            provider: Provider(providerId: Provider.demoID, name: "Demo", type: .demo, modelIds: ["demo"], at: Date()), key: nil)
        var usage = StreamUsage(streams: true)
        var names: [String] = [], json = ""
        try await DemoProvider().send(call).body { chunk in
            usage.take(chunk)
            let lines = String(buffer: chunk).split(separator: "\n")
            names.append(String(lines[0].dropFirst("event: ".count)))
            let data = try JSON.value(Data(lines[1].dropFirst("data: ".count).utf8))
            #expect(data["type"]?.string == names.last)
            json += data["delta"]?["partial_json"]?.string ?? ""
        }
        #expect(names.first == "message_start" && names.suffix(2) == ["message_delta", "message_stop"])
        #expect(try JSON.value(Data(json.utf8))["command"] == "ls")
        #expect(usage.finished && usage.hasInput && usage.hasOutput && usage.usage.outputTokens > 0)
    }
}
