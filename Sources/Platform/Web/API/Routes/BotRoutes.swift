import ControlPlane
import Foundation
import Platform

extension API {
    private enum ListedStatus: String, CaseIterable { case created, active, paused }
    private enum DenialKind: String, CaseIterable { case egress, tool, skill }

    /// The platform's tools (AGENT.md §3) in words for a bot's owner; what the model is told stands with each tool in the agent.
    private static let platformTools: [(name: String, about: String)] = [
        ("send_message", "Sends a message to the conversation before the final answer."),
        ("send_file", "Sends a file of its workspace to the conversation."),
        ("schedule_task", "Plans a task for later or again and again."),
        ("list_tasks", "Lists the planned tasks of the conversation."),
        ("pause_task", "Pauses a planned task."),
        ("resume_task", "Lets a paused task go on."),
        ("cancel_task", "Deletes a planned task."),
        ("update_task", "Changes the time or the text of a planned task."),
        ("search_history", "Searches earlier messages of the conversation."),
    ]

    var botRoutes: [Route] {
        [
            Route(.get, "/api/bots", "Your bots, newest first.", query: .page(.choice("status", "Only these.", ListedStatus.self)), answers: [.page(Schemas.bot)]) { call in
                let status = call.choice("status", ListedStatus.self)
                let page = try paging.request(call, filters: [status?.rawValue])
                let found = try await services.bots.list(
                    try call.user, status: status.flatMap { Bot.Status(rawValue: $0.rawValue) }, limit: page.limit, cursor: page.cursor)
                let channels = try await services.channels.list(of: found.items.map(\.botId))
                let servers = try await services.mcpServers.enabledPlatformServers(of: found.items)
                let skills = try await services.botSkills.enabled(of: found.items)
                let items = try found.items.map { try Views.bot($0, channels: channels[$0.botId] ?? [], mcpServers: servers[$0.botId] ?? [], skills: skills[$0.botId] ?? []) }
                return paging.answer(items, found.cursor, page)
            },
            Route(
                .post, "/api/bots", "Makes a bot.", body: .json(Shapes.newBot), idempotent: true, answers: [.created(Schemas.bot)], problems: [.quotaExceeded]
            ) { call in
                let bot = try await services.bots.create(for: try call.user, call.body)
                return .created(try Views.bot(bot, channels: []), at: "/api/bots/\(bot.botId.rawValue)")
            },
            Route(.get, "/api/bots/available-tools", "The platform's tools and skills, for whitelists.", answers: [.ok(Schemas.tools)]) { _ in
                let folders = try await services.skills.list(status: .active).flatMap(\.folders).sorted { $0.directory < $1.directory }
                return .json(.object([
                    "mcpTools": .array(Self.platformTools.map { .object(["name": .string("mcp__clawbot__" + $0.name), "description": .string($0.about)]) }),
                    "skills": .array(folders.map { .object(["name": .string($0.directory), "description": .string($0.description)]) }),
                ]))
            },
            Route(.get, "/api/bots/{botId}", "A bot.", answers: [.ok(Schemas.bot)], resource: ownBot) { _, bot in .json(try await view(bot)) },
            Route(.delete, "/api/bots/{botId}", "Deletes a bot with its channels and schedules; data is purged later.", answers: [.noContent], resource: ownBot) { call, bot in
                try await services.bots.delete(bot, by: call.by)
                return .noContent
            },
            Route(
                .get, "/api/bots/{botId}/denials", "What its agents were refused, newest first.", query: .page(.choice("kind", "Only these.", DenialKind.self)),
                answers: [.page(Schemas.denial)], resource: ownBot) { call, bot in
                let kind = call.choice("kind", DenialKind.self)
                return try await journal(
                    call, Tables.denials, bot, filters: [kind?.rawValue], filter: kind.map { .equals("kind", .value(.string($0.rawValue))) },
                    fields: ["groupJid", "invocationId", "kind", "target", "origin"])
            },
            Route(
                .get, "/api/bots/{botId}/failures", "What failed, newest first.", query: .page(), answers: [.page(Schemas.failure)], resource: ownBot) { call, bot in
                try await journal(
                    call, Tables.failures, bot, filters: [], filter: nil, fields: ["groupJid", "messageId", "taskId", "invocationId", "code"])
            },
        ]
            + Route.merge(
                "/api/bots/{botId}", "Changes a bot.", body: .json(Shapes.botChanges), answers: [.ok(Schemas.bot)], problems: [.invalidState], resource: ownBot) { call, bot in
                .json(try await view(services.bots.update(bot, call.body, by: call.by)))
            }
    }

    private func view(_ bot: Bot) async throws -> Value {
        let servers = try await services.mcpServers.enabledPlatformServers(of: [bot])
        let skills = try await services.botSkills.enabled(of: [bot])
        return try Views.bot(bot, channels: await services.channels.list(bot.botId), mcpServers: servers[bot.botId] ?? [], skills: skills[bot.botId] ?? [])
    }

    /// Records of a bot's journal, newest first: sort key `timestamp#id`, only the named attributes shown.
    private func journal(_ call: Call, _ table: Table, _ bot: Bot, filters: [String?], filter: Condition?, fields: [String]) async throws -> Answer {
        let page = try paging.request(call, filters: filters)
        let found = try await services.records.query(
            RecordQuery(table, partition: bot.botId.rawValue, filter: filter, descending: true, limit: page.limit, cursor: page.cursor))
        let items = found.records.map { record -> Value in
            let parts = record.key.sort.split(separator: "#", maxSplits: 1).map(String.init)
            var row: [String: Value?] = ["timestamp": .string(parts.first ?? ""), "id": .string(parts.last ?? "")]
            for field in fields { row[field] = record.document[field] }
            return .fields(row)
        }
        return paging.answer(items, found.cursor, page)
    }
}
