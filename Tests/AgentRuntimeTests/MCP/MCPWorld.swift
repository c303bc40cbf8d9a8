import Foundation
import Platform

@testable import AgentRuntime

/// Servers written in Python: the hostile ones need the language only, the peers the official SDK.
enum MCPWorld {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let hostileScript = root.appendingPathComponent("Fakes/mcp/hostile.py").path
    static let peerScript = root.appendingPathComponent("Fakes/mcp/peer.py").path
    static let python = ["/usr/bin/python3", "/usr/local/bin/python3"].first { FileManager.default.isExecutableFile(atPath: $0) } ?? "/usr/bin/python3"
    /// A Python that has the SDK: the tests' own environment, where it was made.
    static let sdkPython = root.deletingLastPathComponent().appendingPathComponent(".build/test-venv/bin/python").path
    static var hasSDK: Bool {
        let library = root.deletingLastPathComponent().appendingPathComponent(".build/test-venv/lib").path
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: library)) ?? []
        return versions.contains { FileManager.default.fileExists(atPath: "\(library)/\($0)/site-packages/mcp_types") }
    }

    /// Bounds that are reached within moments.
    static var limits: MCPLimits {
        var limits = MCPLimits()
        limits.startTime = .seconds(20)
        limits.callTime = .seconds(20)
        limits.goodbye = .milliseconds(200)
        limits.unasked = 500
        limits.reconnect = Backoff(first: .milliseconds(5), most: .milliseconds(50))
        return limits
    }

    static func hostile(_ mode: String...) -> MCPConfig {
        var config = MCPConfig(mcpServerId: MCPServerID("s-\(mode[0])"), name: "h", type: .stdio)
        config.command = python
        config.args = [hostileScript] + mode
        return config
    }

    static func transport(_ arguments: [String], python: String = python, groups: CommandGroups = CommandGroups(), limits: MCPLimits = MCPWorld.limits) -> StdioTransport {
        StdioTransport(
            .init(executable: python, arguments: arguments, environment: ["PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"], directory: "/tmp"), limits: limits, groups: groups)
    }

    /// A client of a hostile server; closed afterwards.
    @discardableResult
    static func with<T: Sendable>(_ mode: String..., limits: MCPLimits = MCPWorld.limits, _ body: @Sendable (MCPClient) async throws -> T) async throws -> T {
        try await with(transport([hostileScript] + mode, limits: limits), limits, body)
    }
    @discardableResult
    static func with<T: Sendable>(_ transport: any MCPTransport, _ limits: MCPLimits = MCPWorld.limits, _ body: @Sendable (MCPClient) async throws -> T) async throws -> T {
        let client = MCPClient(transport, limits: limits)
        do {
            let result = try await body(client)
            await client.close()
            return result
        } catch {
            await client.close()
            throw error
        }
    }
}

extension MCPClient {
    func act(_ arguments: Value = .object([:]), tool: String = "act", timeout: Duration = .seconds(20)) async throws(MCPFailure) -> ToolResult {
        MCPContent.result(try await call(tool, arguments, timeout: timeout, progress: { _ in }), MCPWorld.limits, imageBytes: 1 << 20)
    }
}
