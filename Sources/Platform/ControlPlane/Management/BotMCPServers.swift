import Foundation
import Platform

/// The MCP servers of a bot: those of the library that it uses, its own, and the secrets of both.
public struct BotMCPServers: Sendable {
    /// Servers of each source that a bot may have.
    public static let most = 20

    /// One server as a bot's owner sees it.
    public struct View: Sendable {
        public var use: BotMCPServer
        public var definition: MCPDefinition
        public var isCustom: Bool
        public var slug: String { definition.slug }
        public var missingSecrets: [String] { definition.neededSecrets.filter { !use.configuredSecrets.contains($0) } }
    }

    private let records: any RecordStore
    private let secrets: any SecretStore
    private let library: MCPLibrary
    private let trail: AuditTrail
    private let stage: String
    private let egress: EgressGuard
    private let notices: ManagementNotices
    private let time: any TimeSource

    public init(
        records: any RecordStore, secrets: any SecretStore, library: MCPLibrary, stage: String, egress: EgressGuard,
        notices: ManagementNotices = ManagementNotices(), time: any TimeSource = SystemTime()
    ) {
        self.records = records; self.secrets = secrets; self.library = library; self.stage = stage; self.egress = egress
        self.notices = notices; self.time = time
        trail = AuditTrail(records: records)
    }

    // MARK: Reading

    /// Active servers of the library, then the bot's own; each by slug.
    public func list(_ bot: Bot) async throws -> [View] {
        let uses = try await uses(of: bot.botId)
        let platform = try await library.list(status: .active).map { server in
            View(
                use: uses.first { $0.mcpServerId == server.mcpServerId }
                    ?? BotMCPServer(botId: bot.botId, mcpServerId: server.mcpServerId, definition: nil, enabled: false, at: server.createdAt),
                definition: server.definition, isCustom: false)
        }
        return platform + custom(uses)
    }

    private func custom(_ uses: [BotMCPServer]) -> [View] {
        uses.compactMap { use in use.definition.map { View(use: use, definition: $0, isCustom: true) } }.sorted { $0.slug < $1.slug }
    }

    /// Ids of the library's active servers that the bots use.
    public func enabledPlatformServers(of bots: [Bot]) async throws -> [BotID: [MCPServerID]] {
        guard bots.contains(where: { $0.mcpServers?.isEmpty == false }) else { return [:] }
        let active = Set(try await library.list(status: .active).map(\.mcpServerId))
        return Dictionary(bots.map { ($0.botId, ($0.mcpServers ?? []).filter(active.contains).sorted()) }, uniquingKeysWith: { a, _ in a })
    }

    public func get(_ bot: Bot, _ id: MCPServerID) async throws -> View {
        let use = try await records.get(BotMCPServer.self, BotMCPServer.key(bot.botId, id))
        if let use, let definition = use.definition { return View(use: use, definition: definition, isCustom: true) }
        let server = try await library.get(id)
        guard server.status == .active else { throw ManagementError.notFound }
        return View(
            use: use ?? BotMCPServer(botId: bot.botId, mcpServerId: id, definition: nil, enabled: false, at: time.now()), definition: server.definition,
            isCustom: false)
    }

    /// - Throws: ``ManagementError/notFound`` also for a server of the library.
    public func getCustom(_ bot: Bot, _ id: MCPServerID) async throws -> View {
        let view = try await get(bot, id)
        guard view.isCustom else { throw ManagementError.notFound }
        return view
    }

    // MARK: Writing

    /// The complete set of the library's servers that the bot uses.
    public func replacePlatformServers(of bot: Bot, with wanted: [MCPServerID], by: By) async throws -> [MCPServerID] {
        let uses = try await uses(of: bot.botId)
        let servers = try await library.list()
        var slugs = Dictionary(custom(uses).map { ($0.slug, true) }, uniquingKeysWith: { a, _ in a })
        for (index, id) in wanted.enumerated() {
            guard let server = servers.first(where: { $0.mcpServerId == id && $0.status == .active }) else {
                throw ManagementError.invalid("mcpServers[\(index)]", "There is no such server in the library.")
            }
            guard slugs.updateValue(true, forKey: server.slug) == nil else {
                throw ManagementError.alreadyExists("The bot has a server of its own that is called \(server.slug).")
            }
        }
        let now = time.now()
        var writes: [RecordWrite] = []
        for use in uses where use.definition == nil {
            let enabled = wanted.contains(use.mcpServerId)
            // Disabled servers of the library stay in lists of bots (API.md §3.10).
            let isHidden = servers.first { $0.mcpServerId == use.mcpServerId }?.status == .disabled
            guard use.enabled != enabled, !isHidden else { continue }
            writes.append(.update(use.key, [.set("enabled", .bool(enabled)), .set("updatedAt", .string(Timestamp.text(now))), .add("revision", 1)], if: .recordExists))
        }
        for id in wanted where !uses.contains(where: { $0.mcpServerId == id }) {
            writes.append(try BotMCPServer(botId: bot.botId, mcpServerId: id, definition: nil, enabled: true, at: now).putting())
        }
        let hidden = uses.filter { use in use.definition == nil && use.enabled && servers.first { $0.mcpServerId == use.mcpServerId }?.status == .disabled }
        let listed = (wanted + hidden.map(\.mcpServerId)).sorted()
        let note = RecordWrite.update(
            bot.key, [.set("mcpServers", .array(listed.map { .string($0.rawValue) })), .add("revision", 1)], if: .notEquals("status", "deleted"))
        // A transaction holds 25 writes, two of them the trail's; the list of the bot's record comes with the last.
        while writes.count > 20 {
            try await write(Array(writes.prefix(20)), "mcp.enable", bot, bot.botId.rawValue, by)
            writes.removeFirst(20)
        }
        try await write(writes + [note], "mcp.enable", bot, bot.botId.rawValue, by)
        return wanted.sorted()
    }

    /// A server of the bot's own, from validated fields.
    public func createCustom(_ bot: Bot, _ fields: Document, by: By) async throws -> View {
        let definition = try MCPRules.new(fields)
        try MCPRules.check(definition, egress)
        let now = time.now()
        let use = BotMCPServer(
            botId: bot.botId, mcpServerId: MCPServerID(ULID.make(at: now)), definition: definition, enabled: fields["enabled"]?.bool ?? true, at: now)
        try await checkClash(bot, definition.slug, except: use.mcpServerId)
        for _ in 0..<8 {
            let count = try await records.get(counterKey(bot))?.document["count"]?.int
            guard count ?? 0 < Self.most else { throw ManagementError.quotaExceeded("A bot has at most \(Self.most) servers of its own.") }
            do {
                try await write(
                    [
                        .put(uniqueName(bot, definition.slug), ["mcpServerId": .string(use.mcpServerId.rawValue)], if: .recordAbsent),
                        .update(counterKey(bot), [.add("count", 1)], orCreate: true, if: count.map { .equals("count", .value(.int($0))) } ?? .recordAbsent),
                        try use.putting(if: .recordAbsent),
                    ], "mcp.create", bot, use.mcpServerId.rawValue, by)
                return View(use: use, definition: definition, isCustom: true)
            } catch ManagementError.invalidState { continue }
        }
        throw ManagementError.invalidState("The bot's servers are being changed by someone else. Please try again.")
    }

    /// Merge update; another type, command or URL (or what goes with them) drops the stored secrets (SEC-50).
    public func updateCustom(_ bot: Bot, _ old: View, _ fields: Document, by: By) async throws -> View {
        let definition = try MCPRules.merged(fields, into: old.definition)
        try MCPRules.check(definition, egress)
        var use = old.use
        use.definition = definition
        use.lastFailure = nil
        if let enabled = fields["enabled"]?.bool { use.enabled = enabled }
        use.revision += 1
        use.updatedAt = time.now()
        let keepsSecrets = definition.hasSameTarget(as: old.definition)
        if !keepsSecrets {
            use.configuredSecrets = []
            use.agentVisible = []
            // Before the new target is stored: there is no moment in which it could be sent an old secret.
            try await secrets.delete(BotMCPServer.secretName(stage, bot.botId, use.mcpServerId))
        } else {
            let names = definition.secretNames
            use.configuredSecrets.removeAll { !names.contains($0) }
            use.agentVisible.removeAll { !names.contains($0) }
        }
        var writes: [RecordWrite] = [try use.putting(if: .equals("revision", .value(.int(old.use.revision))))]
        if definition.slug != old.slug {
            try await checkClash(bot, definition.slug, except: use.mcpServerId)
            writes.insert(.put(uniqueName(bot, definition.slug), ["mcpServerId": .string(use.mcpServerId.rawValue)], if: .recordAbsent), at: 0)
            writes.append(.delete(uniqueName(bot, old.slug)))
        }
        try await write(writes, "mcp.update", bot, use.mcpServerId.rawValue, by)
        return View(use: use, definition: definition, isCustom: true)
    }

    public func deleteCustom(_ bot: Bot, _ view: View, by: By) async throws {
        try await write(
            [
                .delete(view.use.key, if: .recordExists), .delete(uniqueName(bot, view.slug)),
                .update(counterKey(bot), [.add("count", -1)], orCreate: true, if: .greaterThan("count", 0)),
            ], "mcp.delete", bot, view.use.mcpServerId.rawValue, by)
        try await secrets.delete(BotMCPServer.secretName(stage, bot.botId, view.use.mcpServerId))
    }

    /// Everything of a bot that is deleted.
    public func deleteAll(of bot: BotID) async throws {
        for use in try await uses(of: bot) {
            try await secrets.delete(BotMCPServer.secretName(stage, bot, use.mcpServerId))
            try await records.delete(use.key)
        }
    }

    /// Merges secrets (nil = removed) and replaces the list of those that the agent may see.
    public func setSecrets(_ bot: Bot, _ view: View, _ changes: [String: Secret?], agentVisible: [String]?, by: By) async throws -> View {
        let names = view.definition.secretNames
        var errors = changes.keys.filter { !names.contains($0) }.sorted().map { FieldProblem("secrets.\($0.prefix(64))", "The server declares no secret of that name.") }
        for (index, name) in (agentVisible ?? []).enumerated() where !names.contains(name) {
            errors.append(FieldProblem("agentVisible[\(index)]", "The server declares no secret of that name."))
        }
        if !errors.isEmpty { throw ManagementError.invalid(errors) }
        let secretName = BotMCPServer.secretName(stage, bot.botId, view.use.mcpServerId)
        let before = try await secrets.get(secretName)
        var values = try before.map { try JSON.decode([String: String].self, from: $0.reveal()) } ?? [:]
        for (name, value) in changes { values[name] = value?.reveal() }
        var use = view.use
        use.configuredSecrets = values.keys.sorted()
        use.lastFailure = nil
        if let agentVisible { use.agentVisible = Set(agentVisible).sorted() }
        use.revision += 1
        use.updatedAt = time.now()
        if values.isEmpty { try await secrets.delete(secretName) } else { try await secrets.put(secretName, Secret(try JSON.text(values))) }
        do {
            let unchanged: Condition = view.use.revision == 0 ? .or([.recordAbsent, .equals("revision", 0)]) : .equals("revision", .value(.int(view.use.revision)))
            try await write([try use.putting(if: unchanged)], "mcp.secrets", bot, use.mcpServerId.rawValue, by)
        } catch {
            if let before { try await secrets.put(secretName, before) } else { try await secrets.delete(secretName) }
            throw error
        }
        return View(use: use, definition: view.definition, isCustom: view.isCustom)
    }

    // MARK: Parts

    private func uses(of bot: BotID) async throws -> [BotMCPServer] {
        try await records.all(BotMCPServer.self, RecordQuery(Tables.botMcpConfigs, partition: bot.rawValue, limit: 200))
    }

    /// A slug names one server of a bot, whichever list it comes from (SEC-88).
    private func checkClash(_ bot: Bot, _ slug: String, except id: MCPServerID) async throws {
        let uses = try await uses(of: bot.botId)
        let enabled = Set(uses.filter { $0.definition == nil && $0.enabled }.map(\.mcpServerId))
        let isPlatforms = try await library.list().contains { enabled.contains($0.mcpServerId) && $0.slug == slug }
        if isPlatforms || custom(uses).contains(where: { $0.slug == slug && $0.use.mcpServerId != id }) {
            throw ManagementError.alreadyExists("The bot has a server that is called \(slug) already.")
        }
    }

    private func write(_ writes: [RecordWrite], _ action: String, _ bot: Bot, _ target: String, _ by: By) async throws {
        do {
            try await trail.transact(
                writes, by.entry(action, trail: bot.userId, target: target, at: time.now()))
        } catch RecordStoreError.conditionFailed(let index, let current) {
            if writes[index].key.partition.hasPrefix("mcp/") { throw ManagementError.alreadyExists("The bot has a server of that name already.") }
            if current == nil, writes[index].key.table == Tables.botMcpConfigs { throw ManagementError.notFound }
            throw ManagementError.invalidState("The server is being changed by someone else. Please try again.")
        }
        await notices.botChanged(bot)
    }

    private func counterKey(_ bot: Bot) -> RecordKey { RecordKey(Tables.uniques, "mcpcount/\(bot.botId.rawValue)", "count") }
    private func uniqueName(_ bot: Bot, _ slug: String) -> RecordKey { RecordKey(Tables.uniques, "mcp/\(bot.botId.rawValue)/\(slug)", "unique") }
}
