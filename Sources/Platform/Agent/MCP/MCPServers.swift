import Foundation
import Logging
import Platform

/// The MCP servers of this process's conversation. Started at its first run, kept for its life, changed with the payload.
actor MCPServers {
    /// What a run gets of them.
    struct Offer: Sendable {
        var tools: [any AgentTool] = []
        /// A line of the system prompt about what is missing; in our own words only.
        var note: String?
        /// Which servers are ready, and why others are not.
        var reports: [(id: MCPServerID, problem: String?)] = []
    }
    /// Servers of one bot: 20 of the platform's and 20 of its own (API.md §3.9).
    static let most = 40
    static let mostTools = 256

    private let places: MCPPlaces
    private let limits: MCPLimits
    private let logger: Logger
    private var connections: [MCPServerID: MCPConnection] = [:]

    init(places: MCPPlaces, limits: MCPLimits = MCPLimits(), logger: Logger) { self.places = places; self.limits = limits; self.logger = logger }

    /// Brings the servers to what the payload says. Those that could not be allowed a single tool are not started (SEC-87).
    func prepare(_ run: EngineRun) async -> Offer {
        let wanted = Array((run.payload.mcpConfigs ?? []).filter { run.payload.toolWhitelist.mayAllow(server: $0.name) }.prefix(Self.most))
        for (id, connection) in connections {
            if let same = wanted.first(where: { $0.mcpServerId == id }), connection.config == same { continue }
            connections[id] = nil
            await connection.stop()
        }
        for config in wanted where connections[config.mcpServerId] == nil {
            connections[config.mcpServerId] = MCPConnection(config, places: places, limits: limits, logger: logger)
        }
        let all = wanted.compactMap { connections[$0.mcpServerId] }
        let gateway = run.gateway
        let results = await withTaskGroup(of: (Int, Result<[MCPClient.Tool], MCPFailure>).self) { group in
            for (index, connection) in all.enumerated() { group.addTask { (index, await connection.prepare(gateway)) } }
            var results = [Result<[MCPClient.Tool], MCPFailure>?](repeating: nil, count: all.count)
            for await (index, result) in group { results[index] = result }
            return results
        }
        return offer(zip(zip(wanted, all), results).map { ($0.0, $0.1, $1) }, gateway)
    }

    private func offer(_ servers: [(MCPConfig, MCPConnection, Result<[MCPClient.Tool], MCPFailure>?)], _ gateway: GatewayClient) -> Offer {
        var offer = Offer(), names = Set<String>(), missing: [String] = []
        for (config, connection, result) in servers {
            switch result {
            case .success(let tools)?:
                offer.reports.append((config.mcpServerId, nil))
                for tool in tools {
                    // Two tools whose names come out the same would be one to the whitelist: the first is it.
                    guard offer.tools.count < Self.mostTools, let name = MCPToolName.full(slug: config.name, tool: tool.name), names.insert(name).inserted
                    else {
                        logger.notice("a tool is left out", metadata: ["mcp": "\(config.name)"])
                        continue
                    }
                    offer.tools.append(MCPTool(name: name, tool: tool, connection: connection, gateway: gateway, timeout: limits.callTime))
                }
            case .failure(let failure)?:
                offer.reports.append((config.mcpServerId, failure.sentence))
                missing.append("\(config.name) (\(failure.sentence))")
            case nil: missing.append(config.name)
            }
        }
        if !missing.isEmpty { offer.note = "These tool servers are not available in this run; say so if they would be needed: " + missing.joined(separator: ", ") + "." }
        return offer
    }

    func stopAll() async {
        let all = connections.values
        connections = [:]
        for connection in all { await connection.stop() }
    }
}

/// A tool of a server, as the model calls it.
struct MCPTool: AgentTool {
    let name: String
    let tool: MCPClient.Tool
    let connection: MCPConnection
    let gateway: GatewayClient
    let timeout: Duration
    var description: String { tool.description }
    var inputSchema: Value { tool.inputSchema }
    var isReadOnly: Bool { tool.isReadOnly }

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        try await connection.call(
            tool.name, input, gateway: gateway, timeout: context.timeLeft(timeout), imageBytes: context.limits.imageBytes, progress: context.progress)
    }
}
