import Foundation
import Platform

/// The MCP servers that a run is given, and the one that a gateway call names: both from the same records by the same rules.
struct MCPSelection: Sendable {
    let records: any RecordStore
    let secrets: any SecretStore
    let stage: String

    struct Server: Sendable {
        var use: BotMCPServer
        var definition: MCPDefinition
        var slug: String { definition.slug }
    }

    /// Enabled servers of a bot, by slug. Disabled items of the library are skipped.
    func servers(of bot: BotID) async throws -> [Server] {
        let uses = try await records.all(BotMCPServer.self, RecordQuery(Tables.botMcpConfigs, partition: bot.rawValue, limit: 200)).filter(\.enabled)
        let library = try await records.batchGet(uses.filter { $0.definition == nil }.map { MCPServer.key($0.mcpServerId) })
        var servers: [Server] = []
        for use in uses {
            if let definition = use.definition { servers.append(Server(use: use, definition: definition)); continue }
            guard let record = library[MCPServer.key(use.mcpServerId)] else { continue }
            let server = try MCPServer(record: record)
            if server.status == .active { servers.append(Server(use: use, definition: server.definition)) }
        }
        // A renamed item of the library may have come to share a slug: then the bot's own is it (SEC-88).
        servers.sort { ($0.slug, $0.use.definition == nil ? 1 : 0, $0.use.mcpServerId) < ($1.slug, $1.use.definition == nil ? 1 : 0, $1.use.mcpServerId) }
        var seen = Set<String>()
        return servers.filter { seen.insert($0.slug).inserted }
    }

    func server(_ id: MCPServerID, of bot: BotID) async throws -> Server? { try await servers(of: bot).first { $0.use.mcpServerId == id } }

    func secrets(of server: Server) async throws -> [String: Secret] {
        guard !server.use.configuredSecrets.isEmpty else { return [:] }
        guard let sealed = try await secrets.get(BotMCPServer.secretName(stage, server.use.botId, server.use.mcpServerId)) else { return [:] }
        return try JSON.decode([String: String].self, from: sealed.reveal()).mapValues { Secret($0) }
    }

    /// What goes into the payload: servers that the whitelist leaves at least one tool (SEC-87), secrets only where the owner made
    /// them visible (SEC-92).
    func configs(for bot: Bot) async throws -> [MCPConfig] {
        var configs: [MCPConfig] = []
        for server in try await servers(of: bot.botId) where bot.toolWhitelist.mayAllow(server: server.slug) {
            configs.append(try await config(of: server))
        }
        return configs
    }

    private func config(of server: Server) async throws -> MCPConfig {
        let definition = server.definition
        var config = MCPConfig(mcpServerId: server.use.mcpServerId, name: server.slug, type: definition.type)
        let missing = definition.neededSecrets.filter { !server.use.configuredSecrets.contains($0) }
        guard missing.isEmpty else {
            config.unavailable = "its owner has not given it \(missing.joined(separator: ", "))"
            return config
        }
        guard definition.type == .stdio else {
            config.url = "/agent/v1/mcp/\(server.use.mcpServerId.rawValue)"
            return config
        }
        config.command = definition.command
        config.args = definition.args
        config.npmPackages = definition.npmPackages
        let visible = Set(server.use.agentVisible)
        let hidden = definition.neededSecrets.filter { !visible.contains($0) }
        guard hidden.isEmpty else {
            config.unavailable = "its owner has not made \(hidden.joined(separator: ", ")) visible to the agent"
            return config
        }
        let stored = try await secrets(of: server).filter { visible.contains($0.key) }
        var variables: [String: String] = [:]
        for variable in definition.envVars ?? [] {
            // What an optional variable lacks leaves it out.
            variables[variable.name] = variable.template.map { SecretTemplate.fill($0, from: stored) } ?? stored[variable.name]?.reveal()
        }
        config.envVars = variables
        return config
    }
}
