import ControlPlane
import Foundation
import Platform

extension API {
    var accountRoutes: [Route] {
        [
            Route(.get, "/api/me") { call in
                let now = services.time.now()
                var user = try await account(try call.user)
                if now.timeIntervalSince(user.lastLogin ?? .distantPast) >= 3600 {
                    user = try User(record: await services.records.update(user.key, [.set("lastLogin", .time(now))], if: .recordExists))
                }
                return .json(try Views.user(user, now: now))
            },
            Route(.get, "/api/usage") { call in try await usage(call) },
            Route(.get, "/api/providers") { call in
                let page = try paging.request(call)
                let found = paging.slice(try await services.providers.list(), page) { "\($0.providerName)\u{0}\($0.providerId.rawValue)" }
                return paging.answer(found.items.map { .fields(Views.publicProvider($0)) }, found.next, page)
            },
        ]
    }

    /// The signed-in user's record; a token whose account is gone is no token.
    func account(_ id: UserID) async throws -> User {
        guard let user = try await services.records.get(User.self, User.key(id)), user.status != .deleted else { throw Problem.unauthenticated }
        return user
    }

    private func usage(_ call: Call) async throws -> Answer {
        let current = Timestamp.month(services.time.now())
        let month = call.query["month"]?.first ?? current
        let parts = month.split(separator: "-", omittingEmptySubsequences: false)
        guard month.utf8.count == 7, parts.count == 2, parts[0].utf8.count == 4, parts.allSatisfy({ Characters.all($0, Characters.isDigit) }),
            let number = Int(parts[1]), (1...12).contains(number), month <= current
        else { throw Problem.invalid("query.month", "YYYY-MM, not in the future.") }
        let userId = try call.user
        let user = try await account(userId)
        let report = try await UsageReport.load(userId, month: month, from: services.records)
        let keys = report.bots.keys.map { Bot.key(userId, BotID($0)) }
        let known = try await services.records.batchGet(keys)
        var rows: [(id: String, name: String, share: UsageReport.Share)] = []
        var deleted = UsageReport.Share()
        for (id, share) in report.bots {
            if let bot = try known[Bot.key(userId, BotID(id))].map(Bot.init(record:)), bot.status != .deleted {
                rows.append((id, bot.name, share))
            } else {
                deleted.tokens += share.tokens
                deleted.invocations += share.invocations
            }
        }
        rows.sort { ($0.share.tokens, $1.id) > ($1.share.tokens, $0.id) }
        if deleted.invocations > 0 { rows.append(("deleted", "deleted", deleted)) }
        return .json(.object([
            "month": .string(month), "tokens": .int(report.total.counted), "inputTokens": .int(report.total.inputTokens),
            "outputTokens": .int(report.total.outputTokens), "cacheReadTokens": .int(report.total.cacheReadTokens),
            "cacheWriteTokens": .int(report.total.cacheWriteTokens), "invocations": .int(report.invocations),
            "maxMonthlyTokens": .int(user.quota.maxMonthlyTokens),
            "bots": .array(rows.map {
                .object(["botId": .string($0.id), "name": .string($0.name), "tokens": .int($0.share.tokens), "invocations": .int($0.share.invocations)])
            }),
            "models": .array(report.models.sorted { $0.key < $1.key }.map { .object(["model": .string($0.key), "tokens": .int($0.value)]) }),
            "days": .array(report.days.sorted { $0.key < $1.key }.map {
                .object(["date": .string($0.key), "tokens": .int($0.value.tokens), "invocations": .int($0.value.invocations)])
            }),
        ]))
    }
}
