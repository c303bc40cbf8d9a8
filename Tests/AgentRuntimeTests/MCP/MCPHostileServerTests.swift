import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

/// SEC-93: a server that crashes, hangs, floods or lies harms its own calls only.
@Suite("Hostile MCP servers", .paced)
struct MCPHostileServerTests {
    private func ready(_ client: MCPClient) async throws -> [MCPClient.Tool] {
        try await client.connect()
        return try await client.listTools()
    }

    @Test("a good server is initialised, listed and called, and ends when its input ends")
    func good() async throws {
        let groups = CommandGroups()
        try await MCPWorld.with(MCPWorld.transport([MCPWorld.hostileScript, "good"], groups: groups)) { client async throws in
            #expect(try await ready(client).map(\.name) == ["act"])
            #expect(try await client.act(["x": 1]).text == #"did {"x": 1}"#)
        }
        #expect(groups.count == 0)
    }

    @Test("versions are negotiated", arguments: ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
    func versions(_ version: String) async throws {
        try await MCPWorld.with("old", version) { client async throws in
            #expect(try await ready(client).count == 1)
            #expect(try await client.act().text == "did {}")
        }
    }

    @Test("a version that nobody knows is refused")
    func unknownVersion() async throws {
        try await MCPWorld.with("old", "2099-01-01") { client async throws in
            await #expect(throws: MCPFailure.unsupportedVersion) { try await client.connect() }
        }
    }

    @Test("a server without a handshake is spoken to in the way of 2026-07-28")
    func stateless() async throws {
        try await MCPWorld.with("stateless") { client async throws in
            #expect(try await ready(client).count == 1)
            #expect(try await client.act().text == "did {}")
        }
    }

    @Test("tools come in pages; a cursor that goes on for ever ends")
    func pages() async throws {
        try await MCPWorld.with("paged") { client async throws in #expect(try await ready(client).map(\.name) == ["first", "second"]) }
        try await MCPWorld.with("endless-pages") { client async throws in #expect(try await ready(client).count == MCPWorld.limits.pages) }
    }

    @Test("SEC-93 tools, descriptions and schemas are cut to what a model may be shown")
    func SEC_93_bounds() async throws {
        try await MCPWorld.with("many-tools") { client async throws in #expect(try await ready(client).count == MCPWorld.limits.tools) }
        try await MCPWorld.with("long-text") { client async throws in
            #expect(try await ready(client)[0].description.utf8.count < MCPWorld.limits.descriptionBytes + 40)
        }
        try await MCPWorld.with("bad-schema") { client async throws in
            #expect(try await ready(client).map(\.inputSchema) == [["type": "object"], ["type": "object"], ["type": "object"]])
        }
        try await MCPWorld.with("big-result") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().text.utf8.count < MCPWorld.limits.resultBytes + 40)
        }
        try await MCPWorld.with("bad-names") { client async throws in #expect(try await ready(client).contains { $0.name == "fine" }) }
    }

    @Test("answers with wrong ids answer nothing; of two answers the first counts")
    func lies() async throws {
        try await MCPWorld.with("wrong-ids") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().text == "true")
        }
        try await MCPWorld.with("duplicate") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().text == "first")
            #expect(try await client.act().text == "first")
        }
        try await MCPWorld.with("wrong-types") { client async throws in
            await #expect(throws: MCPFailure.unsupportedVersion) { try await client.connect() }
        }
        try await MCPWorld.with("no-result") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().isError)
        }
        try await MCPWorld.with("batch") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().text == "in a batch")
        }
    }

    @Test("words before the first message are passed over")
    func noise() async throws {
        try await MCPWorld.with("noise") { client async throws in #expect(try await ready(client).count == 1) }
    }

    @Test("floods end the server", arguments: ["flood", "endless-line", "garbage", "huge-line"])
    func floods(_ mode: String) async throws {
        try await MCPWorld.with(mode) { client async throws in
            _ = try await ready(client)
            await #expect(throws: MCPFailure.self) { try await client.act() }
            #expect(client.failure != nil)
        }
    }

    @Test("standard error may be as long as it likes")
    func errors() async throws {
        try await MCPWorld.with("flood-errors") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().text == "survived")
        }
    }

    @Test("a crash fails the call with its status, and keeps the last words apart")
    func crash() async throws {
        try await MCPWorld.with("crash-call") { client async throws in
            _ = try await ready(client)
            await #expect(throws: MCPFailure.ended("it ended by itself with status 3")) { try await client.act() }
            #expect(client.failure?.detail == "it broke because token=‹redacted›")
        }
        try await MCPWorld.with("crash-start") { client async throws in await #expect(throws: MCPFailure.self) { try await client.connect() } }
    }

    @Test("a server that ends and leaves a child behind takes the child with it")
    func grandchild() async throws {
        try await MCPWorld.with("grandchild") { client async throws in
            _ = try await ready(client)
            await #expect(throws: MCPFailure.self) { try await client.act() }
        }
    }

    @Test("no answer in time fails the call, and the server is told that nobody waits")
    func hang() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent(ULID.make()).path
        defer { try? FileManager.default.removeItem(atPath: file) }
        try await MCPWorld.with("hang-call", file) { client async throws in
            _ = try await ready(client)
            await #expect(throws: MCPFailure.timedOut(.milliseconds(100))) { try await client.act(timeout: .milliseconds(100)) }
            try await eventually("the cancellation arrives") { (try? String(contentsOfFile: file, encoding: .utf8))?.contains("cancelled 3") ?? false }
        }
    }

    @Test("a stopped run cancels its call at once")
    func cancellation() async throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent(ULID.make()).path
        defer { try? FileManager.default.removeItem(atPath: file) }
        try await MCPWorld.with("hang-call", file) { client async throws in
            _ = try await ready(client)
            let call = Task { try await client.act() }
            try await eventually("the call arrives") { FileManager.default.fileExists(atPath: file) }
            call.cancel()
            await #expect(throws: MCPFailure.self) { try await call.value }
            try await eventually("the cancellation arrives") { (try? String(contentsOfFile: file, encoding: .utf8))?.contains("cancelled") ?? false }
        }
    }

    @Test("a server that says nothing is not waited for")
    func silent() async throws {
        var limits = MCPWorld.limits
        limits.startTime = .milliseconds(200)
        try await MCPWorld.with("silent", limits: limits) { client async throws in
            await #expect(throws: MCPFailure.timedOut(.milliseconds(200))) { try await client.connect() }
        }
    }

    @Test("one that ignores every request to end is killed", arguments: ["stubborn", "silent"])
    func stubborn(_ mode: String) async throws {
        let groups = CommandGroups()
        var limits = MCPWorld.limits
        limits.startTime = .seconds(1)
        let client = MCPClient(MCPWorld.transport([MCPWorld.hostileScript, mode], groups: groups, limits: limits), limits: limits)
        try? await client.connect()
        await client.close()
        #expect(groups.count == 0)
    }

    @Test("one that closes its output is done with")
    func closesOutput() async throws {
        try await MCPWorld.with("closes-output") { client async throws in
            _ = try await ready(client)
            await #expect(throws: MCPFailure.ended("it closed its output")) { try await client.act() }
        }
    }

    @Test("what a server asks of us is answered: ping yes, roots, sampling and questions no")
    func asks() async throws {
        try await MCPWorld.with("asks") { client async throws in
            _ = try await ready(client)
            #expect(try await client.act().text == #"["ok", -32601, -32601, -32601]"#)
        }
    }

    @Test("what cannot be shown is named instead")
    func content() async throws {
        try await MCPWorld.with("bad-image") { client async throws in
            _ = try await ready(client)
            let result = try await client.act()
            #expect(result.text.contains("(an image of type image/png that cannot be shown)"))
            #expect(result.text.contains("audio/wav"))
            #expect(result.text.contains("Resource file:///a:\ninside"))
            #expect(result.text.contains("(2 further parts of the answer were left out.)"))
            #expect(!result.content.contains { if case .image = $0 { true } else { false } })
        }
    }
}
