import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite(.paced) struct TranscriptTests {
    private let call = ContentBlock.toolUse(ToolUse(id: "t1", name: "Bash", input: .object(["command": "ls"])))
    private let otherCall = ContentBlock.toolUse(ToolUse(id: "t2", name: "Read", input: .object(["file_path": "a\nb"])))

    private func path(_ folder: String, _ id: String) -> String { "\(folder)/transcripts/\(id).jsonl" }

    /// Two turns: one plain, one with two calls at once, thinking, and a compaction between.
    private func record(_ transcript: Transcript) async throws {
        try await transcript.beginTurn(InvocationID("i1"), answering: "m1")
        try await transcript.append(user: [.text("Hallo, grüß dich 👋")])
        try await transcript.append(assistant: [.text("Hello.")], note: AssistantNote(model: "m", stopReason: "end_turn"))
        try await transcript.endTurn(.answered)
        try await transcript.compact(summary: "They said hello.", keeping: [.assistant("Hello.")])
        try await transcript.beginTurn(InvocationID("i2"), answering: "m2")
        try await transcript.append(user: [.text("List"), .image(.base64(mediaType: "image/png", data: "aGFsbG8="))])
        try await transcript.append(assistant: [.thinking("hm", signature: "s"), .text("Now"), call, otherCall])
        try await transcript.append(results: [
            ToolResultContent(toolUseID: "t1", content: [.text("a.txt")]), .error("t2", "There is no such file."),
        ])
        try await transcript.append(assistant: [.text("Done.")])
        try await transcript.endTurn(.answered)
        // A turn that reads pictures the model cannot read, is steered meanwhile, and is stopped within its last calls.
        try await transcript.beginTurn(InvocationID("i3"), answering: "m3")
        try await transcript.append(user: [.text("Look"), .document(.base64(mediaType: "application/pdf", data: "JVBERg=="), title: "a.pdf")])
        try await transcript.append(assistant: [.redactedThinking(data: "x"), .toolUse(ToolUse(id: "t3", name: "Read", input: .object([:])))])
        try await transcript.append(results: [ToolResultContent(toolUseID: "t3", content: [.image(.base64(mediaType: "image/png", data: "aGFsbG8="))])])
        try await transcript.append(user: [.text("<messages>hurry</messages>")])
        try await transcript.dropMedia()
        try await transcript.append(assistant: [.thinking("two", signature: "s2"), .toolUse(ToolUse(id: "t4", name: "Bash", input: .object([:]))), .toolUse(ToolUse(id: "t5", name: "Bash", input: .object([:])))])
        try await transcript.endTurn(.stopped)
    }

    @Test("what was written is read again, word for word")
    func roundTrip() async throws {
        try await withFolder { folder in
            let transcript = try await Transcript.create("s1", in: folder)
            try await record(transcript)
            let again = try await Transcript.open("s1", in: folder)
            #expect(await again.messages == transcript.messages)
            #expect(await again.messages.map(\.role) == [.user, .assistant, .user, .assistant, .user, .assistant, .user, .assistant, .user, .assistant, .user])
            #expect(await again.messages[6].content == [.text("Look"), .text("(A document, a.pdf, was here that could not be read.)")])
            #expect(await again.messages[3].content == [.thinking("hm", signature: "s"), .text("Now"), call, otherCall])
            #expect(await again.unfinishedTurn == nil)
            #expect(await again.damagedLines == 0)
        }
    }

    @Test("cut at any byte, it opens as a valid conversation and takes the next turn")
    func everyByte() async throws {
        try await withFolder { folder in
            let transcript = try await Transcript.create("whole", in: folder)
            try await record(transcript)
            let bytes = try Data(contentsOf: URL(filePath: path(folder, "whole")))
            let whole = await transcript.messages
            for length in 0...bytes.count {
                try bytes.prefix(length).write(to: URL(filePath: path(folder, "cut")))
                let cut = try await Transcript.open("cut", in: folder)
                let messages = await cut.messages
                #expect(brokenRule(in: messages) == nil, "cut at \(length)")
                #expect(await cut.damagedLines == 0)
                if length == bytes.count { #expect(messages == whole) }
                if length % 3 == 0 { #expect(try brokenRule(inRequestFor: messages) == nil, "request after a cut at \(length)") }
                guard length % 5 == 0 || length == bytes.count else { continue }
                try await cut.beginTurn(InvocationID("i9"), answering: "m9")
                try await cut.append(user: [.text("And now?")])
                #expect(brokenRule(in: await cut.messages) == nil, "next turn after a cut at \(length)")
                #expect(try brokenRule(inRequestFor: await cut.messages) == nil, "next request after a cut at \(length)")
                let again = try await Transcript.open("cut", in: folder)
                #expect(await again.messages == cut.messages)
                #expect(await again.damagedLines == 0)
            }
        }
    }

    @Test("a torn last line is cut off; damage elsewhere costs that line only")
    func damage() async throws {
        try await withFolder { folder in
            let transcript = try await Transcript.create("s1", in: folder)
            try await record(transcript)
            let url = URL(filePath: path(folder, "s1"))
            var bytes = try Data(contentsOf: url)
            let whole = bytes.count
            bytes.append(Data(#"{"type":"assistant","content":[{"ty"#.utf8))
            try bytes.write(to: url)
            #expect(await (try Transcript.open("s1", in: folder)).messages == transcript.messages)
            #expect(try Data(contentsOf: url).count == whole)
            // A line of nonsense, one of bytes that are no text, one that is a number, and one longer than any request.
            let noise =
                Data("nonsense\n".utf8) + Data([0xff, 0x00, 0x0a]) + Data("17\n".utf8) + Data(count: TranscriptFile.maxLine + 1) + Data("\n".utf8)
            try (bytes.prefix(whole) + noise + Data(#"{"type":"user","content":[{"type":"text","text":"still here"}]}"#.utf8) + Data("\n".utf8))
                .write(to: url)
            let opened = try await Transcript.open("s1", in: folder)
            #expect(await opened.damagedLines == 4)
            #expect(await opened.messages.last?.content.last == .text("still here"))
        }
    }

    @Test("an unknown, malformed or odd session id is a stale session")
    func stale() async throws {
        try await withFolder { folder in
            try FileManager.default.createDirectory(atPath: folder + "/transcripts", withIntermediateDirectories: true)
            try Data().write(to: URL(filePath: folder + "/secret.jsonl"))
            mkfifo(path(folder, "fifo"), 0o600)
            symlink(folder + "/secret.jsonl", path(folder, "link"))
            try FileManager.default.createDirectory(atPath: path(folder, "folder"), withIntermediateDirectories: true)
            for id in ["unknown", "../secret", "", "a/b", "fifo", "link", "folder", String(repeating: "x", count: 300)] {
                await #expect(throws: TranscriptError.staleSession(id)) { _ = try await Transcript.open(id, in: folder) }
            }
        }
    }

    @Test("a new try begins from the prefix of the dead one")
    func newTry() async throws {
        try await withFolder { folder in
            let first = try await Transcript.create("s1", in: folder)
            try await record(first)
            let prefix = await first.messages
            try await first.beginTurn(InvocationID("i3"), answering: "n3")
            try await first.append(user: [.text("Write")])
            try await first.append(assistant: [call])
            // Killed here: the call has no result.
            let second = try await Transcript.open("s1", in: folder)
            #expect(await second.unfinishedTurn?.invocationID == InvocationID("i3"))
            #expect(brokenRule(in: await second.messages) == nil)
            try await second.beginTurn(InvocationID("i4"), answering: "n3")
            #expect(await second.messages == prefix)
            try await second.append(user: [.text("Write")])
            try await second.append(assistant: [.text("Written.")])
            try await second.endTurn(.answered)
            // Killed after the turn, before the reply was accepted: the same message comes again.
            let third = try await Transcript.open("s1", in: folder)
            try await third.beginTurn(InvocationID("i5"), answering: "n3")
            #expect(await third.messages == prefix)
            try await third.append(user: [.text("Write")])
            try await third.append(assistant: [.text("Written again.")])
            try await third.endTurn(.answered)
            // Another message keeps it.
            try await third.beginTurn(InvocationID("i6"), answering: "n4")
            #expect(await third.messages.last == .assistant("Written again."))
            #expect(await (try Transcript.open("s1", in: folder)).messages == third.messages)
        }
    }

    @Test("rollback forgets everything after the marker, a compaction included")
    func rollback() async throws {
        try await withFolder { folder in
            let transcript = try await Transcript.create("s1", in: folder)
            try await record(transcript)
            let before = await transcript.messages
            let marker = try await transcript.beginTurn(InvocationID("i3"))
            try await transcript.append(user: [.text("Much")])
            try await transcript.compact(summary: "All forgotten")
            #expect(await transcript.messages == [.user("All forgotten")])
            try await transcript.rollback(to: marker)
            #expect(await transcript.messages == before)
            #expect(await transcript.unfinishedTurn == nil)
            #expect(await (try Transcript.open("s1", in: folder)).messages == before)
        }
    }

    @Test("a stopped turn leaves its open calls closed")
    func stopped() async throws {
        try await withFolder { folder in
            let transcript = try await Transcript.create(in: folder)
            try await transcript.beginTurn(InvocationID("i1"))
            try await transcript.append(user: [.text("Go")])
            try await transcript.append(assistant: [call, otherCall])
            try await transcript.endTurn(.stopped)
            let again = try await Transcript.open(transcript.sessionID, in: folder)
            #expect(await again.messages.count == 3)
            #expect(brokenRule(in: await again.messages) == nil)
            #expect(await again.unfinishedTurn == nil)
        }
    }

    @Test("history beyond the limit is left out from its beginning, and what remains is valid")
    func bounded() async throws {
        try await withFolder { folder in
            let transcript = try await Transcript.create("s1", in: folder)
            for turn in 0..<40 {
                try await transcript.beginTurn(InvocationID("i\(turn)"))
                try await transcript.append(user: [.text("question \(turn) " + String(repeating: "x", count: 500))])
                try await transcript.append(assistant: [.toolUse(ToolUse(id: "t\(turn)", name: "Bash", input: .object([:])))])
                try await transcript.append(results: [ToolResultContent(toolUseID: "t\(turn)", content: [.text("r")])])
                try await transcript.append(assistant: [.text("answer \(turn)")])
                try await transcript.endTurn(.answered)
            }
            for limit in [100, 1000, 3000, 3100, 3200, 5000] {
                let bounded = try await Transcript.open("s1", in: folder, maxHistory: limit)
                let messages = await bounded.messages
                #expect(brokenRule(in: messages) == nil)
                #expect(messages.count < 40)
                if limit >= 3000 { #expect(messages.last == .assistant("answer 39")) }
            }
        }
    }

    @Test("repair makes any order of blocks valid, and leaves a valid conversation as it is")
    func repair() {
        let blocks: [ContentBlock] = [
            .text("a"), .text("  "), .thinking("t", signature: "s"), .thinking("cut", signature: ""), .redactedThinking(data: "d"), call, otherCall,
            .toolUse(ToolUse(id: "t3", name: "x", input: "not an object")), .toolResult(ToolResultContent(toolUseID: "t1", content: [])),
            .toolResult(.error("t2", "")), .toolResult(.error("t9", "orphan")), .image(.url("https://example.com/a.png")),
        ]
        var generator = Steps(state: 42)
        for _ in 0..<2000 {
            let raw = (0..<Int.random(in: 0...9, using: &generator)).map { _ in
                ChatMessage(
                    role: Bool.random(using: &generator) ? .user : .assistant,
                    content: (0..<Int.random(in: 0...4, using: &generator)).map { _ in blocks[Int.random(in: 0..<blocks.count, using: &generator)] })
            }
            let valid = ConversationRepair.valid(raw)
            #expect(brokenRule(in: valid) == nil, "\(raw)")
            #expect(ConversationRepair.valid(valid) == valid)
        }
    }

    @Test("blocks have the JSON of the Messages API, unknown ones stay whole")
    func json() throws {
        let text = #"""
            {"content":[{"text":"hi","type":"text"},{"signature":"sig","thinking":"t","type":"thinking"},{"data":"x","type":"redacted_thinking"},{"id":"1","input":{"a":[1,2.5,null,true]},"name":"n","type":"tool_use"},{"content":[{"text":"r","type":"text"}],"is_error":true,"tool_use_id":"1","type":"tool_result"},{"source":{"data":"AA==","media_type":"image/png","type":"base64"},"type":"image"},{"source":{"type":"url","url":"https://e.com/a.pdf"},"title":"A","type":"document"},{"id":"s","input":{"query":"q"},"name":"web_search","type":"server_tool_use"}],"role":"assistant"}
            """#
        let message = try JSON.decode(ChatMessage.self, from: text)
        #expect(try JSON.text(message) == text)
        #expect(try JSON.decode(ChatMessage.self, from: #"{"role":"user","content":"hi"}"#) == .user("hi"))
        let short = try JSON.decode(ChatMessage.self, from: #"{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"r"}]}"#)
        #expect(short.content == [.toolResult(ToolResultContent(toolUseID: "1", content: [.text("r")]))])
    }

    /// Reproducible randomness (SplitMix64).
    private struct Steps: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var z = state
            z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
            z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
            return z ^ (z >> 31)
        }
    }
}
