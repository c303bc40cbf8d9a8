import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("MCP messages", .paced)
struct MCPFramingTests {
    private static let messages: [RPCMessage] = [
        .request(id: .int(1), method: "tools/call", params: ["name": "n", "arguments": ["text": "ä\n漢 \u{1F600}"]]),
        .notification(method: "notifications/initialized", params: nil),
        .response(id: .int(7), .success(["tools": .array([])])),
        .response(id: .string("q"), .failure(RPCError(code: -32601, message: "no"))),
    ]

    @Test("lines come out the same wherever the stream is cut")
    func everySplit() throws {
        var stream: [UInt8] = []
        for message in Self.messages { stream += Array(message.encoded()) + [0x0d, 0x0a] }
        for cut in 0...stream.count {
            for second in stride(from: cut, through: stream.count, by: 17) {
                var lines = MessageLines(limit: 1 << 16), found: [RPCMessage] = []
                for part in [stream[..<cut], stream[cut..<second], stream[second...]] {
                    try lines.feed(part) { found += RPCMessage.read($0) ?? [] }
                }
                #expect(found == Self.messages, "cut at \(cut) and \(second)")
            }
        }
        var single = MessageLines(limit: 1 << 16), one: [RPCMessage] = []
        for byte in stream { try single.feed([byte]) { one += RPCMessage.read($0) ?? [] } }
        #expect(one == Self.messages)
    }

    @Test("events come out the same, with their ids, wherever the stream is cut")
    func eventSplits() throws {
        let text = ": hi\r\nid: 41\nretry: 250\ndata:\n\nevent: message\nid: 42\ndata: {\"a\":\ndata: 1}\r\n\r\ndata: last\n\n"
        let stream = Array(text.utf8)
        let expected = [
            ServerSentEvents.Event(name: "", data: [], id: "41", retry: 250),
            ServerSentEvents.Event(name: "message", data: Array("{\"a\":\n1}".utf8), id: "42", retry: 250),
            ServerSentEvents.Event(name: "", data: Array("last".utf8), id: "42", retry: 250),
        ]
        for cut in 0...stream.count {
            var events = ServerSentEvents()
            let first = try events.feed(stream[..<cut])
            let second = try events.feed(stream[cut...])
            #expect(first + second == expected, "cut at \(cut)")
        }
    }

    @Test("a line over the limit is refused before it is kept, also when it never ends")
    func tooLong() {
        var lines = MessageLines(limit: 100)
        #expect(throws: MessageLines.TooLong.self) {
            for _ in 0..<1000 { try lines.feed([UInt8](repeating: 0x61, count: 10)) { _ in } }
        }
    }

    @Test("what is no message is none", arguments: [
        "", "{", "[]", "7", "\"x\"", #"{"jsonrpc":"1.0","id":1,"result":{}}"#, #"{"jsonrpc":"2.0"}"#, #"{"jsonrpc":"2.0","id":null,"result":1}"#,
        #"{"jsonrpc":"2.0","id":1,"result":1,"error":{"code":1,"message":""}}"#, #"{"jsonrpc":"2.0","id":[1],"method":"x"}"#,
        #"{"jsonrpc":"2.0","id":1,"id":2,"result":1}"#, #"[{"jsonrpc":"2.0","method":"a"},7]"#, #"{"jsonrpc":"2.0","id":1,"error":"x"}"#,
    ])
    func refused(_ text: String) { #expect(RPCMessage.read(Array(text.utf8)) == nil) }

    @Test("SEC-91 a template is filled in one pass, and what a secret holds is no template")
    func SEC_91_templates() {
        let secrets = ["A": Secret("${secret:B}"), "B": Secret("b")]
        #expect(SecretTemplate.fill("x ${secret:A} y ${secret:B}${secret:B}", from: secrets) == "x ${secret:B} y bb")
        #expect(SecretTemplate.fill("${secret:C}", from: secrets) == nil)
        #expect(SecretTemplate.fill("$A ${A} ${secret:A", from: secrets) == "$A ${A} ${secret:A")
    }

    @Test("SEC-88 names of tools: one server's pattern never reaches another's tools")
    func SEC_88_names() {
        for slug in ["clawbot", "a__b", "_a", "a_", "", "A", "ä", String(repeating: "x", count: 65)] { #expect(!MCPToolName.isSlug(slug), "\(slug)") }
        for slug in ["a", "duckduckgo_evil", "a-b_c9"] { #expect(MCPToolName.isSlug(slug), "\(slug)") }
        #expect(MCPDefinition.slug(of: " My  Server__№1! ") == "my_server_1")
        #expect(MCPToolName.full(slug: "s", tool: "a.b/c") == "mcp__s__a_b_c")
        #expect(MCPToolName.full(slug: "s", tool: "") == nil)
        #expect(MCPToolName.full(slug: "s", tool: String(repeating: "x", count: 130)) == nil)
        let list = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__duckduckgo__*"])
        #expect(list.mayAllow(server: "duckduckgo"))
        for slug in ["duckduckgo_evil", "Duckduckgo", "duck"] {
            #expect(!list.mayAllow(server: slug))
            #expect(!list.allows(tool: "mcp__\(slug)__search"))
        }
    }
}
