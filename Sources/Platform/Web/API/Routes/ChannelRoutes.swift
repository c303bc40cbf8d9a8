import ControlPlane
import Foundation
import Platform

extension API {
    var channelRoutes: [Route] {
        let path = "/api/bots/{botId}/channels"
        return [
            Route(.get, path, "A bot's channels, by type.", query: .page(), answers: [.page(Schemas.channel)], resource: ownBot) { call, bot in
                let page = try paging.request(call)
                let found = paging.slice(try await services.channels.list(bot.botId).sorted { $0.channelType.rawValue < $1.channelType.rawValue }, page) {
                    $0.channelType.rawValue
                }
                return paging.answer(found.items.map(view), found.next, page)
            },
            Route(
                .post, path, "Connects a channel; the credentials are checked with the vendor first.", buckets: [.provider], body: .json(Shapes.newChannel),
                idempotent: true, showOnce: ["verifyToken"], answers: [.created(Schemas.connectedChannel)],
                problems: [.alreadyExists, .credentialsRejected, .upstreamFailed, .upstreamTimeout], resource: ownBot) { call, bot in
                let type = ChannelType(rawValue: call.body["channelType"]?.string ?? "") ?? .web
                let (credentials, config) = try settings(type, call.body)
                let connected = try await services.channels.connect(bot, type, credentials: credentials ?? [:], config: config ?? [:], by: call.by)
                return .created(view(connected), at: "/api/bots/\(bot.botId.rawValue)/channels/\(type.rawValue)")
            },
            Route(.get, path + "/{channelType}", "A channel.", answers: [.ok(Schemas.channel)], resource: ownChannel) { _, found in .json(view(found.channel)) },
            Route(
                .post, path + "/{channelType}/test", "Asks the vendor whether the credentials still work; a refusal is ok: false.", buckets: [.provider],
                body: .json(Shapes.empty), answers: [.ok(Schemas.channelTest)], resource: ownChannel) { _, found in
                let result = try await services.channels.test(found.channel)
                return .json(.fields(["ok": .bool(result.ok), "checkedAt": .time(result.checkedAt), "detail": result.detail.map(Value.string)]))
            },
            Route(.delete, path + "/{channelType}", "Disconnects a channel; conversations stay.", answers: [.noContent], resource: ownChannel) { call, found in
                try await services.channels.delete(found.channel, of: found.bot, by: call.by)
                return .noContent
            },
        ]
            + Route.merge(
                path + "/{channelType}", "Changes credentials (a complete set) or settings.", buckets: [.provider], body: .json(Shapes.channelChanges),
                answers: [.ok(Schemas.connectedChannel)], problems: [.invalidState, .credentialsRejected, .upstreamFailed, .upstreamTimeout], resource: ownChannel) { call, found in
                let (credentials, config) = try settings(found.channel.channelType, call.body)
                return .json(view(try await services.channels.update(found.bot, found.channel, credentials: credentials, config: config, by: call.by)))
            }
    }

    private struct OwnChannel: Sendable { var bot: Bot; var channel: Channel }

    private func ownChannel(_ call: Call) async throws -> OwnChannel {
        let bot = try await ownBot(call)
        guard let type = ChannelType(rawValue: call.parameter("channelType")) else { throw Problem.notFound }
        return OwnChannel(bot: bot, channel: try await services.channels.get(bot.botId, type))
    }

    /// Credentials and config checked against what the type has.
    private func settings(_ type: ChannelType, _ body: Document) throws -> ([String: Secret]?, Document?) {
        guard services.channels.types.contains(type), let credentialShape = ChannelShapes.credentials(type), let configShape = ChannelShapes.config(type)
        else { throw Problem.invalid("channelType", "This deployment does not connect \(type.rawValue).") }
        var errors: [FieldProblem] = []
        var credentials: [String: Secret]?, config: Document?
        if let given = body["credentials"] {
            credentials = credentialShape.check(given, at: "credentials", into: &errors).object?.compactMapValues { $0.string.map { Secret($0) } }
        } else if body["channelType"] != nil {
            credentials = credentialShape.check(.object([:]), at: "credentials", into: &errors).object.map { _ in [:] }
        }
        if let given = body["config"] { config = configShape.check(given, at: "config", into: &errors).object }
        if body["channelType"] != nil { config = config?.filter { $0.value != .null } }
        if !errors.isEmpty { throw Problem.invalid(errors) }
        return (credentials, config)
    }

    private func view(_ channel: Channel) -> Value { Views.channel(channel, webhookURL: services.channels.webhookURL(channel)) }

    private func view(_ connected: ChannelService.Connected) -> Value {
        var fields = view(connected.channel).object ?? [:]
        if !connected.setupInstructions.isEmpty { fields["setupInstructions"] = .array(connected.setupInstructions.map(Value.string)) }
        return .object(fields)
    }
}
