import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import AgentRuntime

@Suite("The platform tools over MCP", .paced)
struct MCPToolSessionTests {
    /// Feeds lines, answers what was written.
    private func talk(_ lines: [String], tools: [any AgentTool], whitelist: ToolWhitelist = ToolWhitelist()) async -> [Value] {
        let written = Mutex<[Data]>([])
        let session = MCPToolSession(tools: tools, whitelist: whitelist, context: ToolContext(workspace: "/tmp"), version: "9")
        let (stream, continuation) = AsyncStream<Result<[UInt8], MCPFailure>>.makeStream()
        let serving = Task { await session.serve(stream) { data in written.withLock { $0.append(data) } } }
        for line in lines { continuation.yield(.success(Array(line.utf8))) }
        // Calls run beside the conversation: their answers are waited for before it ends.
        let expected = lines.filter { $0.contains(#""id""#) || !$0.hasPrefix("{") }.count
        try? await eventually("the answers", seconds: 20) { written.withLock { $0.count } >= expected }
        continuation.finish()
        await serving.value
        return written.withLock { $0 }.map { (try? JSON.value($0)) ?? .null }
    }
    private var tools: [any AgentTool] { [EchoTool(name: "mcp__clawbot__echo"), EchoTool(name: "mcp__clawbot__other")] }

    @Test("it is initialised in the client's version, lists tools under short names and calls them")
    func conversation() async {
        let answers = await talk(
            [
                #"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-03-26","capabilities":{},"clientInfo":{}}}"#,
                #"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, #"{"jsonrpc":"2.0","id":"two","method":"tools/list"}"#,
                #"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"text":"hi"}}}"#,
            ], tools: tools)
        #expect(answers[0]["result"]?["protocolVersion"] == "2025-03-26")
        #expect(answers[1]["id"] == "two")
        #expect(answers[1]["result"]?["tools"]?.array?.map { $0["name"] } == ["echo", "other"])
        #expect(answers[2]["result"]?["content"]?.array?.first?["text"] == "hi")
        #expect(answers[2]["result"]?["isError"] == false)
    }

    @Test("an unknown version is answered with the newest, unknown methods and tools with an error, nonsense with a parse error")
    func errors() async {
        let answers = await talk(
            [
                #"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"1999-01-01"}}"#, "nonsense",
                #"{"jsonrpc":"2.0","id":2,"method":"server/discover"}"#, #"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"nope"}}"#,
            ], tools: tools)
        #expect(answers[0]["result"]?["protocolVersion"]?.string == ProtocolVersion.latest)
        #expect(answers[1]["error"]?["code"] == -32700)
        #expect(answers[2]["error"]?["code"] == -32601)
        #expect(answers[3]["error"]?["code"] == -32602)
    }

    @Test("SEC-87 tools that the whitelist does not have are neither listed nor called")
    func SEC_87_whitelist() async {
        let answers = await talk(
            [#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, #"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"other"}}"#], tools: tools,
            whitelist: ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__clawbot__echo"]))
        #expect(answers[0]["result"]?["tools"]?.array?.count == 1)
        #expect(answers[1]["error"]?["code"] == -32602)
    }

    @Test("a reply whose sequence another process of the run has used is sent under the next")
    func sharedSequence() async throws {
        try await AgentWorld.with(.init(withoutAgent: true)) { world async throws in
            let payload = try world.payload()
            let address = try #require(GatewayAddress(world.gateway.url))
            func client() -> GatewayClient {
                GatewayClient(address: address, grant: Secret(payload.grant), http: .shared, deadline: Date() + 30, logger: quietLogger)
            }
            world.gateway.change { $0.mismatchIsProblem = true }
            try await ReplyOutbox(client: client()).post(AgentReply(kind: .message, text: "engine"))
            let shared = ReplyOutbox(client: client(), isShared: true)
            try await shared.post(AgentReply(kind: .message, text: "tools"))
            #expect(world.gateway.replies.map { $0["sequence"] } == [0, 1])
        }
    }
}

struct EchoTool: AgentTool {
    let name: String
    let description = "Says it back."
    let inputSchema = Schema.object(["text": Schema.string("What")], required: ["text"])
    let isReadOnly = true
    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult { .text(input["text"]?.string ?? "") }
}
