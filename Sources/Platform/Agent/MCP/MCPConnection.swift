import Foundation
import Logging
import Platform

/// One server of this process's conversation: started, listed, started again once a run when it broke.
actor MCPConnection {
    let config: MCPConfig
    private let places: MCPPlaces
    private let limits: MCPLimits
    private let logger: Logger
    private var client: MCPClient?
    private var door: MCPDoor?
    private var http: StreamableHTTPTransport?
    private var listed: [MCPClient.Tool]?
    private var failure: MCPFailure?
    private var mayRestart = true
    private var starting: Task<Void, Never>?

    init(_ config: MCPConfig, places: MCPPlaces, limits: MCPLimits, logger: Logger) {
        self.config = config; self.places = places; self.limits = limits
        var logger = logger
        logger[metadataKey: "mcp"] = "\(config.name)"
        self.logger = logger
    }

    /// Makes it ready for a run: starts it if it does not run, and lists its tools where they are not known or have changed.
    /// - Returns: the tools, or why there are none.
    func prepare(_ gateway: GatewayClient) async -> Result<[MCPClient.Tool], MCPFailure> {
        mayRestart = true
        failure = nil
        door?.renew(gateway, config.mcpServerId)
        // The stream of a legacy server ended with the run before.
        if config.type == .sse { await stop() }
        http?.listen()
        if client?.failure != nil { await stop() }
        if let client, listed != nil, client.toolsHaveChanged {
            do throws(MCPFailure) { note(try await client.listTools()) } catch { await stop() }
        }
        if client == nil { await start(gateway) }
        if let listed, failure == nil { return .success(listed) }
        return .failure(failure ?? .ended("it is not running"))
    }

    func stop() async {
        let old = client
        client = nil
        http = nil
        await old?.close()
    }

    /// - Throws: ``ToolError`` with a sentence for the model; `CancellationError`; ``GatewayError/runEnded``.
    func call(_ tool: String, _ arguments: Value, gateway: GatewayClient, timeout: Duration, imageBytes: Int, progress: @escaping @Sendable (String) -> Void) async throws -> ToolResult {
        if client?.failure != nil || client == nil { try await again(gateway) }
        guard let client else { throw ToolError(unavailable(failure, nil)) }
        do throws(MCPFailure) {
            return MCPContent.result(try await client.call(tool, arguments, timeout: timeout, progress: progress), limits, imageBytes: imageBytes)
        } catch {
            try Task.checkCancellation()
            switch error {
            case .refused(let own):
                throw ToolError("The server \(config.name) refused: \(MCPContent.text(own.message, most: 2000)) (error \(own.code))")
            case .runEnded: throw GatewayError.runEnded
            case .timedOut(let time): throw ToolError("The server \(config.name) did not answer within \(time.milliseconds / 1000) s; the call was cancelled.")
            default:
                logger.notice("a call failed", metadata: ["why": "\(error.sentence)"])
                throw ToolError(unavailable(error, client.failure?.detail))
            }
        }
    }

    private func unavailable(_ failure: MCPFailure?, _ detail: String?) -> String {
        let words = "The server \(config.name) is not available: \(failure?.sentence ?? "it is not running")."
        return words + (mayRestart ? " It is started again with the next call." : " Do without it.") + (detail.map { " Its last words: \($0)" } ?? "")
    }

    /// Starts it once more; a second break in the same run is final.
    private func again(_ gateway: GatewayClient) async throws {
        if let starting { return await starting.value }
        guard mayRestart else { throw ToolError(unavailable(client?.failure?.0 ?? failure, client?.failure?.detail)) }
        mayRestart = false
        await start(gateway)
    }

    /// Calls that come together start it together.
    private func start(_ gateway: GatewayClient) async {
        if let starting { return await starting.value }
        let task = Task {
            await stop()
            await begin(gateway)
        }
        starting = task
        await withTaskCancellationHandler { await task.value } onCancel: { task.cancel() }
        starting = nil
    }

    private func begin(_ gateway: GatewayClient) async {
        let started = ContinuousClock.now
        do throws(MCPFailure) {
            if let sentence = config.unavailable { throw MCPFailure.cannotStart(ToolSummary.oneLine(sentence, most: 300)) }
            let transport = try await makeTransport(gateway)
            let client = MCPClient(transport, limits: limits)
            let tools: [MCPClient.Tool]
            do throws(MCPFailure) {
                tools = try await Self.within(limits.startTime) { () async throws(MCPFailure) -> [MCPClient.Tool] in
                    try await client.connect()
                    return try await client.listTools()
                }
            } catch {
                // What the process says of its own end tells more than the broken conversation.
                let cause = client.failure?.0 ?? error
                await client.close()
                throw cause
            }
            self.client = client
            http = transport as? StreamableHTTPTransport
            failure = nil
            note(tools)
            logger.info("server started", metadata: ["tools": "\(tools.count)", "ms": "\((ContinuousClock.now - started).milliseconds)"])
        } catch {
            failure = error
            logger.notice("server not available", metadata: ["why": "\(error.sentence)"])
        }
    }

    /// Keeps the list; that it changed is recorded (SEC-93).
    private func note(_ tools: [MCPClient.Tool]) {
        if let listed, listed != tools {
            logger.notice(
                "the server's tools have changed",
                metadata: ["before": "\(listed.count)", "now": "\(tools.count)", "digest": "\(Digest.sha256Hex(tools.map { "\($0.name)\u{0}\($0.description)" }.joined(separator: "\u{1}")).prefix(16))"])
        }
        listed = tools
    }

    private func makeTransport(_ gateway: GatewayClient) async throws(MCPFailure) -> any MCPTransport {
        switch config.type {
        case .stdio: return StdioTransport(try await launch(), limits: limits, groups: places.groups)
        case .http, .sse:
            let door = door ?? MCPDoor(gateway, config.mcpServerId)
            self.door = door
            return config.type == .http ? StreamableHTTPTransport(door, limits: limits) : LegacySSETransport(door, limits: limits)
        }
    }

    private func launch() async throws(MCPFailure) -> StdioTransport.Launch {
        guard let command = config.command else { throw .cannotStart("no command is given") }
        var environment = places.environment
        for (name, value) in config.envVars ?? [:] { environment[name] = value }
        var programs: String?
        if let packages = config.npmPackages, !packages.isEmpty {
            let store = MCPPackages(packages: packages, directory: "\(places.workspace)/.mcp/\(config.name)", environment: places.environment)
            try await store.install(time: limits.installTime, groups: places.groups)
            programs = store.programs
        }
        guard let program = StdioTransport.Launch.find(command, in: environment, first: programs, directory: places.workspace) else {
            throw .cannotStart("there is no program \(command)")
        }
        return .init(executable: program, arguments: config.args ?? [], environment: environment, directory: places.workspace)
    }

    private static func within<T: Sendable>(_ limit: Duration, _ body: @escaping @Sendable () async throws(MCPFailure) -> T) async throws(MCPFailure) -> T {
        do {
            return try await withThrowingTaskGroup(of: T.self) { group in
                defer { group.cancelAll() }
                group.addTask { try await body() }
                group.addTask { try await Task.sleep(for: limit); throw MCPFailure.timedOut(limit) }
                guard let first = try await group.next() else { throw MCPFailure.timedOut(limit) }
                return first
            }
        } catch { throw error as? MCPFailure ?? .ended("it was ended") }
    }
}

/// Where servers run, and with what.
struct MCPPlaces: Sendable {
    var workspace: String
    /// The same clean one that commands have.
    var environment: [String: String]
    var groups: CommandGroups
}
