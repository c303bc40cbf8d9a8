import AsyncHTTPClient
import Foundation
import Logging
import NIOPosix
import Platform
import Synchronization

/// `clawbot mcp`: the platform tools as an MCP server on standard input and output, for engines that are not ours. It talks to the
/// gateway of the run that started it.
///
/// | variable | meaning |
/// |---|---|
/// | `CLAWBOT_GATEWAY` | `https://…`, or `unix:` and a socket path |
/// | `CLAWBOT_GRANT` | the run's grant; wiped once read |
/// | `CLAWBOT_TIMEZONE` | default of scheduled tasks; `UTC` |
/// | `CLAWBOT_TOOL_WHITELIST` | the run's `ToolWhitelist` as JSON; absent = the gateway alone decides |
public enum MCPStdioServer {
    /// Serves until standard input ends. Exit status: 0, 64 (EX_USAGE) wrongly configured.
    public static func main(environment: [String: String], version: String) async -> Int32 {
        ProcessLimits.apply()
        let grant = ProcessLimits.takeSecret("CLAWBOT_GRANT") ?? environment["CLAWBOT_GRANT"]
        func refuse(_ sentence: String) -> Int32 {
            FileHandle.standardError.write(Data("clawbot mcp: \(sentence)\n".utf8))
            return 64
        }
        guard let address = environment["CLAWBOT_GATEWAY"].flatMap(GatewayAddress.init) else {
            return refuse("CLAWBOT_GATEWAY must be an https URL, or unix: and a socket path.")
        }
        guard let token = grant, let claims = Self.claims(token) else { return refuse("CLAWBOT_GRANT must be the grant of a run.") }
        var whitelist = ToolWhitelist()
        if let text = environment["CLAWBOT_TOOL_WHITELIST"], !text.isEmpty {
            guard let given = try? JSON.decode(ToolWhitelist.self, from: text) else { return refuse("CLAWBOT_TOOL_WHITELIST must be a complete ToolWhitelist.") }
            whitelist = given
        }
        var logger = Logger(label: "clawbot.mcp", factory: { StreamLogHandler.standardError(label: $0) })
        logger.logLevel = .warning
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let http = GatewayClient.makeHTTP(on: group)
        let gateway = GatewayClient(address: address, grant: Secret(token), http: http, deadline: claims.expiresAt, logger: logger)
        let session = MCPToolSession(
            tools: PlatformTools(
                conversation: .init(userId: claims.userId, botId: claims.botId, groupJid: claims.groupJid, timezone: environment["CLAWBOT_TIMEZONE"] ?? "UTC"),
                gateway: gateway, outbox: ReplyOutbox(client: gateway, isShared: true)
            ).all, whitelist: whitelist, context: ToolContext(workspace: FileManager.default.currentDirectoryPath), version: version)
        await session.serve(StandardStreams.lines(limit: MCPLimits().messageBytes)) { StandardStreams.put($0) }
        try? await http.shutdown()
        try? await group.shutdownGracefully()
        return 0
    }

    /// What a grant says of itself; whether it is true, only the gateway can tell.
    private static func claims(_ token: String) -> Grant? {
        let parts = token.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "v1", let data = Digest.fromBase64URL(parts[1]) else { return nil }
        return try? JSON.decode(Grant.self, from: data)
    }
}

/// One client's conversation with the tools.
final class MCPToolSession: Sendable {
    static let callsAtOnce = 8
    private let tools: [any AgentTool]
    private let context: ToolContext
    private let version: String
    /// What the tools' full names begin with here; a client puts its own name of the server there.
    private let prefix: String
    private let running = Mutex<[Value: Task<Void, Never>]>([:])

    init(tools: [any AgentTool], prefix: String = PlatformTools.prefix, whitelist: ToolWhitelist, context: ToolContext, version: String) {
        self.tools = tools.filter { whitelist.allows(tool: $0.name) }
        self.context = context; self.version = version; self.prefix = prefix
    }

    /// Answers line by line until the lines end; then what still runs is cancelled.
    func serve(_ lines: AsyncStream<Result<[UInt8], MCPFailure>>, _ write: @escaping @Sendable (Data) -> Void) async {
        @Sendable func send(_ message: RPCMessage) { write(message.encoded()) }
        await withDiscardingTaskGroup { group in
            for await line in lines {
                guard case .success(let text) = line, let messages = RPCMessage.read(text) else {
                    // Its id cannot be told, and JSON-RPC says null then.
                    write(Data(#"{"error":{"code":-32700,"message":"This is no JSON-RPC message."},"id":null,"jsonrpc":"2.0"}"#.utf8))
                    continue
                }
                for message in messages {
                    switch message {
                    case .request(let id, "tools/call", let params): begin(id, params, send)
                    case .request(let id, let method, let params): send(.response(id: id, answer(method, params)))
                    case .notification("notifications/cancelled", let params):
                        if let id = params?["requestId"] { running.withLock { $0.removeValue(forKey: id) }?.cancel() }
                    case .notification, .response: break
                    }
                }
            }
            let left = running.withLock { running in defer { running = [:] }; return Array(running.values) }
            for task in left { task.cancel(); group.addTask { await task.value } }
        }
    }

    private func answer(_ method: String, _ params: Value?) -> Result<Value, RPCError> {
        switch method {
        case "initialize":
            let wanted = params?["protocolVersion"]?.string ?? ""
            return .success(.object([
                // The client's if we speak it, else our newest, which it may refuse.
                "protocolVersion": .string(ProtocolVersion.handshake.contains(wanted) ? wanted : ProtocolVersion.latest),
                "capabilities": ["tools": ["listChanged": false]], "serverInfo": .object(["name": "clawbot", "version": .string(version)]),
            ]))
        case "ping": return .success(.object([:]))
        case "tools/list":
            // All at once: there is no second page to ask for.
            guard params?["cursor"] == nil else { return .failure(RPCError(code: RPCError.invalidParams, message: "There is no such page.")) }
            return .success(.object(["tools": .array(tools.map { tool in
                .object([
                    "name": .string(shortName(tool)), "description": .string(tool.description), "inputSchema": tool.inputSchema,
                    "annotations": .object(["readOnlyHint": .bool(tool.isReadOnly)]),
                ])
            })]))
        default: return .failure(RPCError(code: RPCError.methodNotFound, message: "There is no method \(ToolSummary.oneLine(method, most: 60))."))
        }
    }

    private func begin(_ id: Value, _ params: Value?, _ send: @escaping @Sendable (RPCMessage) -> Void) {
        guard let name = params?["name"]?.string, let tool = tools.first(where: { shortName($0) == name }) else {
            return send(.response(id: id, .failure(RPCError(code: RPCError.invalidParams, message: "There is no such tool."))))
        }
        let arguments = params?["arguments"] ?? .object([:])
        let context = context
        running.withLock { running in
            guard running[id] == nil, running.count < Self.callsAtOnce else {
                return send(.response(id: id, .failure(RPCError(code: RPCError.invalidRequest, message: "Too many calls at once, or an id that is in use."))))
            }
            // Ends with the call, with its cancellation, or with the conversation.
            running[id] = Task { [weak self] in
                let result = try? await tool.outcome(of: arguments, in: context)
                // A cancelled call has no answer.
                guard let self, self.running.withLock({ $0.removeValue(forKey: id) }) != nil else { return }
                send(.response(id: id, .success(Self.content(result ?? .error("The call was stopped.")))))
            }
        }
    }

    private func shortName(_ tool: any AgentTool) -> String { String(tool.name.dropFirst(prefix.count)) }

    private static func content(_ result: ToolResult) -> Value {
        .object([
            "content": .array(result.content.map { part in
                switch part {
                case .text(let text): ["type": "text", "text": .string(text)]
                case .image(let type, let data): ["type": "image", "mimeType": .string(type), "data": .string(data.base64EncodedString())]
                case .document(let type, let data, let title):
                    ["type": "resource", "resource": [
                        "uri": .string("document:" + (title ?? "document")), "mimeType": .string(type), "blob": .string(data.base64EncodedString()),
                    ]]
                }
            }), "isError": .bool(result.isError),
        ])
    }
}

/// Standard input as lines, standard output one line at a time.
enum StandardStreams {
    private static let output = Mutex(())

    static func lines(limit: Int) -> AsyncStream<Result<[UInt8], MCPFailure>> {
        AsyncStream { continuation in
            // Reading blocks, so it has a thread of its own; it ends with the input, or the process.
            Thread.detachNewThread {
                var lines = MessageLines(limit: limit)
                var buffer = [UInt8](repeating: 0, count: 65_536)
                while true {
                    let count = readDescriptor(0, &buffer, buffer.count)
                    if count < 0, errno == EINTR { continue }
                    guard count > 0 else { break }
                    do { try lines.feed(buffer[..<count]) { continuation.yield(.success($0)) } } catch {
                        continuation.yield(.failure(.tooLong(limit)))
                        break
                    }
                }
                continuation.finish()
            }
        }
    }

    static func put(_ line: Data) {
        output.withLock { _ in
            var rest = line + [0x0a]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { write(1, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }
}
