import ControlPlane
import Foundation
import Platform

extension API {
    var groupRoutes: [Route] {
        let path = "/api/bots/{botId}/groups"
        return [
            Route(
                .get, path, "A bot's conversations, latest message first.", query: .page(.choice("channelType", "Only these.", ChannelType.self)),
                answers: [.page(Schemas.group)], resource: ownBot) { call, bot in
                let type = call.choice("channelType", ChannelType.self)
                let page = try paging.request(call, filters: [type?.rawValue])
                let found = try await services.groups.list(bot.botId, type: type, limit: page.limit, cursor: page.cursor)
                let activity = try await services.groups.activity(of: found.items)
                return paging.answer(found.items.map { Views.group($0, activity[$0.groupJid] ?? .terminated) }, found.cursor, page)
            },
            Route(.get, path + "/{groupJid}", "A conversation.", answers: [.ok(Schemas.group)], resource: ownGroup) { _, group in .json(try await view(group)) },
            Route(
                .get, path + "/{groupJid}/messages", "Its messages, newest first; kept 90 days.", query: .page(), answers: [.page(Schemas.message)], resource: ownGroup) { call, group in
                let page = try paging.request(call)
                let found = try await services.groups.messages(group.session, limit: page.limit, cursor: page.cursor)
                return paging.answer(found.items.map(Views.message), found.cursor, page)
            },
            Route(
                .get, path + "/{groupJid}/messages/{messageId}", "A message, and its way through the platform.", answers: [.ok(Schemas.tracedMessage)],
                resource: { call in try await services.groups.message(try await ownGroup(call).session, MessageID(call.parameter("messageId"))) },
                handle: { _, message in
                    var fields = Views.message(message).object ?? [:]
                    fields["trace"] = try Value(encoding: message.trace ?? [])
                    return .json(.object(fields))
                }),
        ]
            + Route.merge(
                path + "/{groupJid}", "Renames a conversation, or sets whether the bot must be called there.", body: .json(Shapes.groupChanges),
                answers: [.ok(Schemas.group)], resource: ownGroup) { call, group in
                .json(try await view(services.groups.update(group, name: call.body["name"]?.string, requiresTrigger: call.body["requiresTrigger"]?.bool)))
            }
    }

    func ownGroup(_ call: Call) async throws -> Group {
        let bot = try await ownBot(call)
        return try await services.groups.get(bot.botId, GroupJID(call.parameter("groupJid")))
    }

    private func view(_ group: Group) async throws -> Value {
        Views.group(group, try await services.groups.activity(of: [group])[group.groupJid] ?? .terminated)
    }
}
