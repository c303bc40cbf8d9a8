import ControlPlane
import Foundation
import Platform

extension API {
    var accountRoutes: [Route] {
        [
            Route(.get, "/api/me", "Who you are, your quota and this month's usage.", answers: [.ok(Schemas.user)]) { call in
                let now = services.time.now()
                var user = try await account(try call.user)
                if now.timeIntervalSince(user.lastLogin ?? .distantPast) >= 3600 {
                    user = try User(record: await services.records.update(user.key, [.set("lastLogin", .time(now))], if: .recordExists))
                }
                return .json(try Views.user(user, now: now))
            },
            Route(
                .get, "/api/usage", "A month's tokens by bot, model and day.",
                query: .parameters([monthParameter]),
                answers: [.ok(Schemas.usage)]
            ) { call in try await usage(call) },
            Route(.get, "/api/providers", "Model providers that bots may use, by name.", query: .page(), answers: [.page(Schemas.publicProvider)]) { call in
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

    var monthParameter: QueryParameter {
        .text("month", "YYYY-MM, UTC; the current one when absent.", .grammar("YYYY-MM, not in the future", pattern: "^20[0-9]{2}-(0[1-9]|1[0-2])$") { isMonth($0) })
    }

    /// `YYYY-MM` that has begun.
    func isMonth(_ month: String) -> Bool {
        let parts = month.split(separator: "-", omittingEmptySubsequences: false)
        guard month.utf8.count == 7, parts.count == 2, parts[0].utf8.count == 4, parts.allSatisfy({ Characters.all($0, Characters.isDigit) }) else { return false }
        return Int(parts[1]).map((1...12).contains) == true && month <= Timestamp.month(services.time.now())
    }

    private func usage(_ call: Call) async throws -> Answer {
        let month = call.text("month") ?? Timestamp.month(services.time.now())
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
        rows.removeAll { $0.id == "deleted" }
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
