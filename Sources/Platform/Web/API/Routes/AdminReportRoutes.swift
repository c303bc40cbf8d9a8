import ControlPlane
import Foundation
import Platform

extension API {
    /// Plans, everybody's usage, and who did what.
    var adminReportRoutes: [Route] {
        [
            Route(.get, "/api/admin/plans", "What each plan allows.", access: .admin, answers: [.ok(Schemas.plans)]) { _ in try view(await services.plans.table()) },
            Route(
                .put, "/api/admin/plans", "Replaces the plans; existing users keep their quota.", access: .admin, body: .json(Shapes.plans), answers: [.ok(Schemas.plans)]
            ) { call in
                let table = try Dictionary(uniqueKeysWithValues: Plan.allCases.map { ($0, try DocumentCoder.decode(Quota.self, from: call.body[$0.rawValue]?.object ?? [:])) })
                try await services.plans.replace(table, by: call.by)
                return try view(table)
            },
            Route(
                .get, "/api/admin/usage", "A month's tokens of every user, in the order of the users list.", access: .admin,
                query: .page(monthParameter), answers: [.page(Schemas.userUsage)]
            ) { call in try await usageOfAll(call) },
            Route(
                .get, "/api/admin/audit", "Who did what to a user, or (platform) to the platform, newest first; kept 400 days.", access: .admin,
                query: .page(
                    .text("userId", "Whose trail: a user, or platform.", .grammar("a user id or platform", pattern: "^[A-Za-z0-9-]{1,64}$") {
                        $0.utf8.count <= 64 && Characters.all($0, Characters.isWord)
                    }, required: true),
                    .text("action", "Only these, such as user.login.", .grammar("an action's name", pattern: "^[a-z0-9.-]{1,64}$") {
                        $0.utf8.count <= 64 && Characters.all($0) { Characters.isLower($0) || Characters.isDigit($0) || $0 == 0x2e || $0 == 0x2d }
                    })), answers: [.page(Schemas.auditEntry)]
            ) { call in
                let owner = call.text("userId") ?? "", action = call.text("action")
                let page = try paging.request(call, filters: [owner, action])
                let found = try await AuditTrail(records: services.records).entries(of: owner, action: action, limit: page.limit, cursor: page.cursor)
                return paging.answer(found.items.map(Views.auditEntry), found.cursor, page)
            },
        ]
    }

    private func view(_ table: [Plan: Quota]) throws -> Answer {
        .json(.object(try Dictionary(uniqueKeysWithValues: table.map { ($0.key.rawValue, try Value(encoding: $0.value)) })))
    }

    /// Two reads a page: the users, and their sums of the month.
    private func usageOfAll(_ call: Call) async throws -> Answer {
        let month = call.text("month") ?? Timestamp.month(services.time.now())
        let page = try paging.request(call, filters: [month])
        let users = try await services.records.query(
            User.self,
            RecordQuery(
                Tables.users, index: Tables.createdIndex, partition: "user", filter: .notEquals("status", "deleted"), descending: true, limit: page.limit,
                cursor: page.cursor))
        let sums = try await services.records.batchGet(users.items.map { UsageRows.month(month, of: $0.userId) })
        return paging.answer(users.items.map { user in
            let sum = UsageRows.total(sums[UsageRows.month(month, of: user.userId)])
            return .object([
                "userId": .string(user.userId.rawValue), "email": .string(user.email), "tokens": .int(sum.tokens), "invocations": .int(sum.invocations),
            ])
        }, users.cursor, page)
    }
}
