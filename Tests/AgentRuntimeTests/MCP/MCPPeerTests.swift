import AsyncHTTPClient
import Foundation
import NIOCore
import Pace
import Platform
import Synchronization
import Testing

@testable import AgentRuntime

/// Our client against servers of the official SDK, over each transport.
@Suite("MCP peers", .paced, .enabled(if: MCPWorld.hasSDK, "needs scripts/python-venv"))
struct MCPPeerTests {
    /// A server on a port of its own, ended afterwards.
    private func serving(_ arguments: String..., path: String, _ body: @Sendable (MCPDoor) async throws -> Void) async throws {
        let process = Process(), output = Pipe()
        process.executableURL = URL(fileURLWithPath: MCPWorld.sdkPython)
        process.arguments = [MCPWorld.peerScript] + arguments
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let port = try #require(Int(line.split(separator: "\n").first?.split(separator: " ").last ?? ""))
        let base = "http://127.0.0.1:\(port)"
        try await eventually("the server listens") {
            (try? await HTTPClient.shared.execute(HTTPClientRequest(url: base + "/none"), timeout: .seconds(5)).status.code) != nil
        }
        try await body(MCPDoor(http: HTTPClient.shared) { method, endpoint in
            var request = HTTPClientRequest(url: base + (endpoint ?? path))
            request.method = method
            return request
        })
    }

    private func exercise(_ client: MCPClient, images: Bool = true) async throws {
        try await client.connect()
        let tools = try await client.listTools()
        #expect(tools.contains { $0.name == "add" && $0.isReadOnly && $0.inputSchema["properties"]?["a"] != nil })
        #expect(try await client.act(["a": 2, "b": 40], tool: "add").text == "42")
        let failed = try await client.act(tool: "fails")
        // What went wrong inside, the SDK keeps to itself.
        #expect(failed.isError && failed.text.contains("fails"))
        #expect(try await client.act(tool: "mixed").text == "see\nLink: x, file:///x.txt")
        #expect(try await client.act(["city": "Ulm"], tool: "structured").text.contains("fog"))
        let picture = try await client.act(tool: "picture")
        #expect(picture.content.contains { if case .image("image/png", let data) = $0 { data.count > 60 } else { false } })
        let steps = Mutex<[String]>([])
        let slow = try await client.call("slow", ["steps": 3], timeout: .seconds(20)) { text in steps.withLock { $0.append(text) } }
        #expect(MCPContent.result(slow, MCPWorld.limits, imageBytes: 1).text == "3 steps")
        #expect(steps.withLock { $0 } == ["step 0", "step 1", "step 2"])
        try await client.ping()
    }

    @Test("over standard input and output")
    func stdio() async throws {
        try await MCPWorld.with(MCPWorld.transport([MCPWorld.peerScript, "stdio"], python: MCPWorld.sdkPython)) { client async throws in
            try await exercise(client)
            _ = try await client.act(tool: "more")
            try await eventually("the change is heard of") { client.toolsHaveChanged }
            #expect(try await client.listTools().contains { $0.name == "extra" })
            #expect(!client.toolsHaveChanged)
        }
    }

    @Test("over streamable HTTP with a session: events, unasked messages, and an answer that is fetched by resuming")
    func streamable() async throws {
        try await serving("http", path: "/mcp") { door async throws in
            try await MCPWorld.with(StreamableHTTPTransport(door, limits: MCPWorld.limits)) { client async throws in
                try await exercise(client)
                #expect(try await client.act(tool: "dropped").text == "resumed")
                _ = try await client.act(tool: "more")
                try await eventually("the change is heard of") { client.toolsHaveChanged }
                #expect(try await client.listTools().contains { $0.name == "extra" })
            }
        }
    }

    @Test("over streamable HTTP that answers in JSON, without sessions")
    func json() async throws {
        try await serving("http", "--json", "--stateless", path: "/mcp") { door async throws in
            try await MCPWorld.with(StreamableHTTPTransport(door, limits: MCPWorld.limits)) { client async throws in
                try await client.connect()
                #expect(try await client.act(["a": 1, "b": 2], tool: "add").text == "3")
            }
        }
    }

    @Test("a session that the server has forgotten is begun anew")
    func lostSession() async throws {
        try await serving("http", path: "/mcp") { door async throws in
            let transport = StreamableHTTPTransport(door, limits: MCPWorld.limits)
            try await MCPWorld.with(transport) { client async throws in
                try await client.connect()
                let session = Mutex("")
                session.withLock { $0 = transport.session ?? "" }
                var goodbye = door.request(.DELETE)
                goodbye.headers.add(name: "mcp-session-id", value: session.withLock { $0 })
                _ = try await door.http.execute(goodbye, timeout: .seconds(10))
                #expect(try await client.act(["a": 1, "b": 2], tool: "add").text == "3")
                #expect(transport.session != session.withLock { $0 })
            }
        }
    }

    @Test("over HTTP+SSE of protocol 2024-11-05")
    func legacy() async throws {
        try await serving("sse", path: "/sse") { door async throws in
            try await MCPWorld.with(LegacySSETransport(door, limits: MCPWorld.limits)) { client async throws in try await exercise(client) }
        }
    }
}
