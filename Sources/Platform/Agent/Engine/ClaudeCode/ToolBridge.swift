import Foundation
import Platform
import Synchronization

/// The platform's tools and those of the bot's MCP servers, served to the CLI as MCP servers over its own control channel: the same
/// sessions that `clawbot mcp` serves on standard input and output. What the whitelist does not have is not offered (SEC-87).
final class ToolBridge: Sendable {
    /// Server → what it is fed with.
    private let lines: [String: AsyncStream<Result<[UInt8], MCPFailure>>.Continuation]
    private let feeds: [String: (MCPToolSession, AsyncStream<Result<[UInt8], MCPFailure>>)]
    /// Requests of the CLI that wait for an answer of a server, by server and id.
    private let waiting = Mutex<[String: String]>([:])

    init(tools: [any AgentTool], whitelist: ToolWhitelist, context: ToolContext) {
        var lines: [String: AsyncStream<Result<[UInt8], MCPFailure>>.Continuation] = [:]
        var feeds: [String: (MCPToolSession, AsyncStream<Result<[UInt8], MCPFailure>>)] = [:]
        let allowed = tools.filter { whitelist.allows(tool: $0.name) }
        for (server, own) in Dictionary(grouping: allowed, by: { Self.server(of: $0.name) }) {
            let (stream, continuation) = AsyncStream.makeStream(of: Result<[UInt8], MCPFailure>.self)
            lines[server] = continuation
            feeds[server] = (MCPToolSession(tools: own, prefix: "mcp__\(server)__", whitelist: whitelist, context: context, version: "1"), stream)
        }
        self.lines = lines
        self.feeds = feeds
    }

    var servers: [String] { lines.keys.sorted() }

    /// `mcp__<server>__<tool>`
    private static func server(of tool: String) -> String {
        let rest = tool.dropFirst("mcp__".count)
        return String(rest[..<(rest.range(of: "__")?.lowerBound ?? rest.endIndex)])
    }

    /// Answers the messages that ``take(_:server:request:)`` brings, until ``finish()``.
    func serve(_ answer: @escaping @Sendable (_ request: String, _ response: Value) -> Void) async {
        await withDiscardingTaskGroup { group in
            for (server, (session, stream)) in feeds {
                group.addTask {
                    await session.serve(stream) { data in
                        guard let message = try? JSON.value(data), let id = message["id"],
                            let request = self.waiting.withLock({ $0.removeValue(forKey: Self.key(server, id)) })
                        else { return }
                        answer(request, ["mcp_response": message])
                    }
                }
            }
        }
    }

    func finish() { for continuation in lines.values { continuation.finish() } }

    /// - Returns: the answer, where there is one at once: notifications have none of their own, but the CLI waits for one.
    func take(_ message: Value, server: String, request: String) -> Value? {
        guard let feed = lines[server], let data = try? JSON.data(message) else {
            return ["mcp_response": ["jsonrpc": "2.0", "id": message["id"] ?? .null, "error": ["code": -32601, "message": "There is no such server."]]]
        }
        if let id = message["id"] { waiting.withLock { $0[Self.key(server, id)] = request } }
        feed.yield(.success(Array(data)))
        return message["id"] == nil ? ["mcp_response": ["jsonrpc": "2.0", "id": 0, "result": .object([:])]] : nil
    }

    private static func key(_ server: String, _ id: Value) -> String { "\(server) \(id.string ?? id.int.map(String.init) ?? "")" }
}
