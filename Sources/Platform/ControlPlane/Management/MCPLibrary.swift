import Foundation
import Platform

/// The platform's library of MCP servers: written by administrators, enabled per bot.
public struct MCPLibrary: Sendable {
    private let records: any RecordStore
    private let secrets: any SecretStore
    private let trail: AuditTrail
    private let stage: String
    private let egress: EgressGuard
    private let time: any TimeSource

    public init(
        records: any RecordStore, secrets: any SecretStore, stage: String, egress: EgressGuard, time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.secrets = secrets; self.stage = stage; self.egress = egress; self.time = time
        trail = AuditTrail(records: records)
    }

    /// By slug; there are few.
    public func list(status: MCPServer.Status? = nil) async throws -> [MCPServer] {
        try await records.all(MCPServer.self, RecordQuery(Tables.mcpServers, partition: "platform", limit: 200))
            .filter { status == nil || $0.status == status }.sorted { ($0.slug, $0.mcpServerId) < ($1.slug, $1.mcpServerId) }
    }

    public func get(_ id: MCPServerID) async throws -> MCPServer {
        guard let server = try await records.get(MCPServer.self, MCPServer.key(id)) else { throw ManagementError.notFound }
        return server
    }

    public func create(_ fields: Document, by: By) async throws -> MCPServer {
        let definition = try MCPRules.new(fields)
        try MCPRules.check(definition, egress)
        let now = time.now()
        let server = MCPServer(mcpServerId: MCPServerID(ULID.make(at: now)), definition: definition, createdBy: by.userId ?? UserID(AuditEntry.system), at: now)
        try await write(
            [
                .put(Self.uniqueName(server.slug), ["mcpServerId": .string(server.mcpServerId.rawValue)], if: .recordAbsent),
                try server.putting(if: .recordAbsent),
            ], "mcp.create", server, by)
        return server
    }

    /// Merge update. A server whose target changes is another one: secrets that bots gave it are erased (SEC-50).
    public func update(_ old: MCPServer, _ fields: Document, by: By) async throws -> MCPServer {
        let definition = try MCPRules.merged(fields, into: old.definition)
        try MCPRules.check(definition, egress)
        var server = old
        server.definition = definition
        server.slug = definition.slug
        if let status = fields["status"]?.string.flatMap(MCPServer.Status.init) { server.status = status }
        server.revision += 1
        server.updatedAt = time.now()
        if !definition.hasSameTarget(as: old.definition) { try await eraseSecrets(of: old.mcpServerId) }
        var writes: [RecordWrite] = [try server.putting(if: .equals("revision", .value(.int(old.revision))))]
        if server.slug != old.slug {
            writes.insert(.put(Self.uniqueName(server.slug), ["mcpServerId": .string(server.mcpServerId.rawValue)], if: .recordAbsent), at: 0)
            writes.append(.delete(Self.uniqueName(old.slug)))
        }
        try await write(writes, "mcp.update", server, by)
        return server
    }

    /// Removes it from every bot and erases what bots gave it.
    public func delete(_ server: MCPServer, by: By) async throws {
        try await write([.delete(server.key), .delete(Self.uniqueName(server.slug))], "mcp.delete", server, by)
        for use in try await uses(of: server.mcpServerId) {
            try await secrets.delete(BotMCPServer.secretName(stage, use.botId, server.mcpServerId))
            try await records.delete(use.key)
        }
    }

    private func uses(of id: MCPServerID) async throws -> [BotMCPServer] {
        try await records.all(BotMCPServer.self, RecordQuery(Tables.botMcpConfigs, index: Tables.mcpServerIndex, partition: id.rawValue, limit: 200))
    }

    private func eraseSecrets(of id: MCPServerID) async throws {
        for use in try await uses(of: id) where !use.configuredSecrets.isEmpty || !use.agentVisible.isEmpty {
            try await secrets.delete(BotMCPServer.secretName(stage, use.botId, id))
            try await records.update(use.key, [.set("configuredSecrets", .array([])), .set("agentVisible", .array([])), .add("revision", 1)])
        }
    }

    private func write(_ writes: [RecordWrite], _ action: String, _ server: MCPServer, _ by: By) async throws {
        do {
            try await trail.transact(
                writes, by.entry(action, trail: AuditEntry.platform, target: server.mcpServerId.rawValue, at: time.now()))
        } catch RecordStoreError.conditionFailed(let index, let current) {
            if writes[index].key.table == Tables.uniques { throw ManagementError.alreadyExists("A server of the library has that name already.") }
            if current == nil { throw ManagementError.notFound }
            throw ManagementError.invalidState("The server is being changed by someone else. Please try again.")
        }
    }

    private static func uniqueName(_ slug: String) -> RecordKey { RecordKey(Tables.uniques, "mcp/platform/\(slug)", "unique") }
}
