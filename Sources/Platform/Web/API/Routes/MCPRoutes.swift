import ControlPlane
import Foundation
import Platform

extension API {
    /// MCP servers of a bot (API.md §3.9).
    var mcpRoutes: [Route] {
        let path = "/api/bots/{botId}/mcp-servers", own = path + "/custom"
        return [
            Route(.get, path, "A bot's MCP servers: the library's active ones, then its own.", query: .page(), answers: [.page(Schemas.botMCPServer)], resource: ownBot) { call, bot in
                let page = try paging.request(call)
                let found = paging.slice(try await services.mcpServers.list(bot), page) { "\($0.isCustom ? 1 : 0)\u{0}\($0.slug)\u{0}\($0.use.mcpServerId)" }
                return paging.answer(try found.items.map(Views.botMCPServer), found.next, page)
            },
            Route(
                .put, path, "Chooses the servers of the library that a bot uses, all of them at once.", body: .json(MCPShapes.selection), answers: [.ok(Schemas.mcpSelection)],
                problems: [.alreadyExists, .invalidState], resource: ownBot) { call, bot in
                let wanted = (call.body["mcpServers"]?.array ?? []).compactMap { $0.string.map { MCPServerID($0) } }
                let enabled = try await services.mcpServers.replacePlatformServers(of: bot, with: wanted, by: call.by)
                return .json(["mcpServers": .array(enabled.map { .string($0.rawValue) })])
            },
            Route(
                .post, own, "Adds a server of the bot's own.", body: .json(MCPShapes.custom), idempotent: true, answers: [.created(Schemas.botMCPServer)],
                problems: [.quotaExceeded, .alreadyExists, .invalidState], resource: ownBot) { call, bot in
                let made = try await services.mcpServers.createCustom(bot, call.body, by: call.by)
                return .created(try Views.botMCPServer(made), at: "/api/bots/\(bot.botId.rawValue)/mcp-servers/custom/\(made.use.mcpServerId.rawValue)")
            },
            Route(.delete, own + "/{mcpServerId}", "Removes a server of the bot's own and its secrets.", answers: [.noContent], problems: [.invalidState], resource: ownCustomServer) { call, found in
                try await services.mcpServers.deleteCustom(found.bot, found.server, by: call.by)
                return .noContent
            },
        ]
            + Route.merge(
                own + "/{mcpServerId}", "Changes a server of the bot's own; another type, command or URL drops its secrets.", body: .json(MCPShapes.customChanges),
                answers: [.ok(Schemas.botMCPServer)], problems: [.alreadyExists, .invalidState], resource: ownCustomServer) { call, found in
                .json(try Views.botMCPServer(try await services.mcpServers.updateCustom(found.bot, found.server, call.body, by: call.by)))
            }
            + Route.merge(
                path + "/{mcpServerId}/secrets", "Sets or removes secrets, and says which of them the agent may see.", body: .json(MCPShapes.secrets),
                answers: [.ok(Schemas.mcpSecrets)], problems: [.invalidState], resource: ownServer) { call, found in
                let changes = try secretChanges(call.body["secrets"]?.object ?? [:])
                let visible = call.body["agentVisible"]?.array?.compactMap(\.string)
                return .json(Views.mcpSecrets(try await services.mcpServers.setSecrets(found.bot, found.server, changes, agentVisible: visible, by: call.by)))
            }
    }

    /// The library of MCP servers (API.md §3.10).
    var adminMCPRoutes: [Route] {
        let path = "/api/admin/mcp-servers"
        return [
            Route(
                .get, path, "The library of MCP servers, by slug.", access: .admin, query: .page(.choice("status", "Only these.", MCPServer.Status.self)),
                answers: [.page(Schemas.mcpServer)]) { call in
                let status = call.choice("status", MCPServer.Status.self)
                let page = try paging.request(call, filters: [status?.rawValue])
                let found = paging.slice(try await services.mcpLibrary.list(status: status), page) { "\($0.slug)\u{0}\($0.mcpServerId)" }
                return paging.answer(try found.items.map(Views.mcpServer), found.next, page)
            },
            Route(
                .post, path, "Adds a server to the library.", access: .admin, body: .json(MCPShapes.library), idempotent: true, answers: [.created(Schemas.mcpServer)],
                problems: [.alreadyExists]
            ) { call in
                let server = try await services.mcpLibrary.create(call.body, by: call.by)
                return .created(try Views.mcpServer(server), at: "\(path)/\(server.mcpServerId.rawValue)")
            },
            Route(.get, path + "/{mcpServerId}", "A server of the library.", access: .admin, answers: [.ok(Schemas.mcpServer)], resource: someServer) { _, server in
                .json(try Views.mcpServer(server))
            },
            Route(.delete, path + "/{mcpServerId}", "Removes a server from the library and from every bot.", access: .admin, answers: [.noContent], resource: someServer) { call, server in
                try await services.mcpLibrary.delete(server, by: call.by)
                return .noContent
            },
        ]
            + Route.merge(
                path + "/{mcpServerId}", "Changes a server of the library; another target drops the secrets that bots gave it.", access: .admin,
                body: .json(MCPShapes.libraryChanges), answers: [.ok(Schemas.mcpServer)], problems: [.alreadyExists, .invalidState], resource: someServer) { call, server in
                .json(try Views.mcpServer(try await services.mcpLibrary.update(server, call.body, by: call.by)))
            }
    }

    private struct OwnServer: Sendable { var bot: Bot; var server: BotMCPServers.View }

    private func serverID(_ call: Call) throws -> MCPServerID {
        let id = call.parameter("mcpServerId")
        guard id.utf8.count <= 64 else { throw Problem.notFound }
        return MCPServerID(id)
    }
    private func someServer(_ call: Call) async throws -> MCPServer { try await services.mcpLibrary.get(try serverID(call)) }
    private func ownServer(_ call: Call) async throws -> OwnServer {
        let bot = try await ownBot(call)
        return OwnServer(bot: bot, server: try await services.mcpServers.get(bot, try serverID(call)))
    }
    private func ownCustomServer(_ call: Call) async throws -> OwnServer {
        let bot = try await ownBot(call)
        return OwnServer(bot: bot, server: try await services.mcpServers.getCustom(bot, try serverID(call)))
    }

    private func secretChanges(_ given: Document) throws -> [String: Secret?] {
        var changes: [String: Secret?] = [:], errors: [FieldProblem] = []
        for (name, value) in given.sorted(by: { $0.key < $1.key }) {
            let field = "secrets.\(name.prefix(64))"
            switch value {
            case .null: changes.updateValue(nil, forKey: name)
            case .string(let text):
                switch TextRule.secret.check(text) {
                case .success(let text): changes.updateValue(Secret(text), forKey: name)
                case .failure(let wrong): errors.append(FieldProblem(field, wrong.sentence))
                }
            default: errors.append(FieldProblem(field, "Must be a string or null."))
            }
        }
        if !errors.isEmpty { throw Problem.invalid(errors) }
        return changes
    }
}
