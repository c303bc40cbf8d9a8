import ControlPlane
import Foundation
import Platform

extension API {
    private enum UserStatus: String, CaseIterable { case active, suspended, deleted }

    var adminUserRoutes: [Route] {
        let path = "/api/admin/users"
        return [
            Route(
                .get, path, "Users, newest first; deleted ones only when asked for.", access: .admin,
                query: .page(
                    .text("query", "Prefix of the e-mail address or name.", .line(1...100)), .choice("status", "Only these.", UserStatus.self),
                    .choice("plan", "Only these.", Plan.self)), answers: [.page(Schemas.user)]
            ) { call in try await listUsers(call) },
            Route(
                .post, path, "Makes a user; the temporary password is shown once.", access: .admin, body: .json(Shapes.newUser), idempotent: true,
                showOnce: ["temporaryPassword"], answers: [.created(Schemas.createdUser)], problems: [.alreadyExists, .invalidState, .upstreamFailed]
            ) { call in
                try await answering {
                    let created = try await services.users.create(
                        email: (call.body["email"]?.string ?? "").lowercased(), displayName: call.body["displayName"]?.string,
                        plan: call.body["plan"]?.string.flatMap(Plan.init) ?? .free, isAdmin: call.body["isAdmin"]?.bool ?? false, by: call.by)
                    var fields = try view(await services.plans.adopt(created.user)).object ?? [:]
                    if let password = created.temporaryPassword { fields["temporaryPassword"] = .string(password.reveal()) }
                    return .created(.object(fields), at: "\(path)/\(created.user.userId.rawValue)")
                }
            },
            Route(.get, path + "/{userId}", "A user.", access: .admin, answers: [.ok(Schemas.user)], resource: someUser) { _, user in .json(try view(user)) },
            Route(
                .put, path + "/{userId}/plan", "Puts a user on a plan; the quota becomes that plan's.", access: .admin, body: .json(Shapes.plan), answers: [.ok(Schemas.user)],
                resource: someUser) { call, user in
                let plan = call.body["plan"]?.string.flatMap(Plan.init) ?? .free
                return .json(try view(await services.plans.move(user, to: plan, by: call.by)))
            },
            Route(
                .put, path + "/{userId}/status", "Suspends a user (sessions end, agents stop) or lets them back in.", access: .admin, body: .json(Shapes.userStatus),
                answers: [.ok(Schemas.user)], problems: [.selfModification, .lastAdmin, .upstreamFailed], resource: someUser) { call, user in
                try await answering {
                    let status = call.body["status"]?.string.flatMap(User.Status.init) ?? .active
                    try await services.users.setStatus(status, of: user.userId, by: call.by)
                    await services.notices.userChanged(user.userId)
                    return .json(try view(await someUser(call)))
                }
            },
            Route(
                .post, path + "/{userId}/reset-password", "Ends all sessions; the temporary password is shown once.", access: .admin, body: .json(Shapes.empty),
                answers: [.ok(Schemas.temporaryPassword)], problems: [.upstreamFailed], resource: someUser) { call, user in
                try await answering {
                    let password = try await services.users.resetPassword(of: user.userId, by: call.by)
                    return .json(.fields(["temporaryPassword": password.map { .string($0.reveal()) }]))
                }
            },
            Route(
                .delete, path + "/{userId}", "Deletes a user and their bots; data is purged later.", access: .admin, answers: [.noContent],
                problems: [.selfModification, .lastAdmin, .upstreamFailed], resource: someUser) { call, user in
                try await answering {
                    let by = try call.by
                    try await services.userDeletion.delete(user.userId, by: by) { try await services.users.delete(user.userId, by: by) }
                    await services.notices.userChanged(user.userId)
                    return .noContent
                }
            },
        ]
            + Route.merge(
                path + "/{userId}/quota", "Changes single limits of a user.", access: .admin, body: .json(Shapes.quotaChanges), answers: [.ok(Schemas.user)], resource: someUser) { call, user in
                .json(try view(await services.plans.change(user, limits: call.body, by: call.by)))
            }
    }

    private func view(_ user: User) throws -> Value { try Views.user(user, now: services.time.now()) }

    private func someUser(_ call: Call) async throws -> User {
        let id = call.parameter("userId")
        guard id.utf8.count <= 64, Characters.all(id, Characters.isWord), let user = try await services.records.get(User.self, User.key(UserID(id))),
            user.status != .deleted
        else { throw Problem.notFound }
        return user
    }

    private func listUsers(_ call: Call) async throws -> Answer {
        let status = call.choice("status", UserStatus.self), plan = call.choice("plan", Plan.self)
        let query = call.text("query")
        let page = try paging.request(call, filters: [status?.rawValue, plan?.rawValue, query])
        var filters: [Condition] = [status.map { .equals("status", .value(.string($0.rawValue))) } ?? .notEquals("status", "deleted")]
        if let plan { filters.append(.equals("plan", .value(.string(plan.rawValue)))) }
        if let query {
            // Names are stored as written: the usual ways to write one are tried.
            let names = Set([query, query.lowercased(), query.uppercased(), query.capitalized])
            filters.append(.or([.beginsWith("emailLower", query.lowercased())] + names.sorted().map { .beginsWith("displayName", $0) }))
        }
        let found = try await services.records.query(
            User.self,
            RecordQuery(Tables.users, index: Tables.createdIndex, partition: "user", filter: .and(filters), descending: true, limit: page.limit, cursor: page.cursor))
        return paging.answer(try found.items.map(view), found.cursor, page)
    }

    private func answering(_ work: () async throws -> Answer) async throws -> Answer {
        do { return try await work() } catch let error as UserAdministrationError { throw error.problem }
    }
}
