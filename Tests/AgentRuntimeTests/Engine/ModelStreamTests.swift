import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("Reading a model's stream", .paced)
struct ModelStreamTests {
    @Test("events are the same wherever the chunks end, with LF, CRLF and CR")
    func chunks() throws {
        for lineEnd in ["\n", "\r\n", "\r"] {
            let text = ["event: a", "data: {\"x\":\"é\"}", "", ": comment", "id: 7", "event:b", "data:one", "data: two", "", "event: no data", "", "data: last", "", ""]
                .joined(separator: lineEnd)
            let bytes = Array(text.utf8)
            for size in 1...bytes.count {
                var parser = ServerSentEvents()
                var events: [ServerSentEvents.Event] = []
                for start in stride(from: 0, to: bytes.count, by: size) { events += try parser.feed(bytes[start..<min(bytes.count, start + size)]) }
                #expect(events.map(\.name) == ["a", "b", ""])
                #expect(events.map { String(decoding: $0.data, as: UTF8.self) } == ["{\"x\":\"é\"}", "one\ntwo", "last"])
            }
        }
    }

    @Test("an event without end is refused before it fills the memory")
    func endless() {
        var parser = ServerSentEvents()
        #expect(throws: ServerSentEvents.TooLong.self) {
            for _ in 0..<40 { _ = try parser.feed([UInt8](repeating: 0x78, count: 1 << 19)) }
        }
    }

    @Test("statuses and error events are told apart by what helps")
    func failures() {
        func kind(_ status: Int?, _ type: String, _ message: String = "") -> ModelFailure { ModelFailure(status: status, type: type, message: message, retryAfter: .seconds(3)) }
        #expect(kind(401, "authentication_error") == .runEnded)
        #expect(kind(403, "quota-exceeded") == .quotaExceeded)
        #expect(kind(nil, "quota-exceeded") == .quotaExceeded)
        #expect(kind(400, "invalid_request_error", "prompt is too long: 3 tokens") == .tooLong)
        #expect(kind(400, "invalid_request_error", "max_tokens: 9 > 8, which is") == .outputLimit(8))
        #expect(kind(400, "invalid_request_error", "Invalid `signature` in `thinking` block") == .thinkingRejected)
        for (status, type) in [(429, "rate_limit_error"), (529, "overloaded_error"), (500, "api_error"), (502, "upstream-failed"), (408, "")] {
            guard case .again(let after, _) = kind(status, type) else { Issue.record("\(status)"); continue }
            #expect(after == .seconds(3))
        }
        for (status, type) in [(400, "invalid_request_error"), (403, "forbidden"), (404, "not_found_error")] {
            guard case .refused = kind(status, type) else { Issue.record("\(status)"); continue }
        }
    }

    @Test("addresses of gateways are https or an absolute socket path, nothing else")
    func addresses() {
        #expect(GatewayAddress("https://gw.example.org/")?.base == "https://gw.example.org")
        #expect(GatewayAddress("unix:/run/agent/gateway.sock")?.base == "http+unix://%2Frun%2Fagent%2Fgateway.sock")
        for bad in ["http://gw.example.org", "https://", "https://user@host", "https://h?x", "unix:run/x", "unix:", "ftp://x", "", "https:///x"] {
            #expect(GatewayAddress(bad) == nil, "\(bad)")
        }
    }

    @Test("long texts are cut at paragraphs, never inside a character")
    func splitting() {
        let text = String(repeating: "äöü ", count: 100) + "\n\n" + String(repeating: "日本語", count: 100)
        let parts = ReplySplitter.split(text, limit: 900)
        #expect(parts.joined() == text)
        #expect(parts.allSatisfy { $0.utf8.count <= 900 && !$0.contains("\u{fffd}") })
        #expect(parts[0].hasSuffix("\n\n"))
        #expect(ReplySplitter.split("", limit: 10) == [""])
    }

    @Test("the prompt's parts have a fixed order, and nothing in it changes with time")
    func prompt() throws {
        let world = AgentWorld(directory: URL(fileURLWithPath: "/tmp"), gateway: FakeGateway(in: URL(fileURLWithPath: "/tmp")), socket: "/tmp/x", key: nil)
        let payload = try world.payload { $0.systemPrompt = "You like plums."; $0.isScheduledTask = true }
        var memory = WorkspaceMemory(parts: [])
        for (layer, text) in [(WorkspaceMemory.Layer.policy, "No gambling."), (.bot, "MANUAL"), (.group, "GROUP")] {
            memory.parts.append(.init(layer: layer, path: "/x/\(layer).md", text: text, importedBy: nil, isWritable: true))
        }
        let prompt = SystemPrompt(payload, memory: memory)
        #expect(prompt.parts.map(\.name) == ["System prompt", "Managed policy", "Bot's instructions", "Bot manual", "Group memory", "Channel", "Scheduled task", "Runtime"])
        #expect(prompt.text == SystemPrompt(payload, memory: memory).text)
        #expect(prompt.text.contains("You like plums."))
    }
}
