import ControlPlane
import Foundation
import Platform

extension API {
    private enum UserStatus: String, CaseIterable { case active, suspended, deleted }

    var adminUserRoutes: [Route] {
        let path = "/api/admin/users"
        return [
            Route(.get, path, access: .admin) { call in try await listUsers(call) },
            Route(.post, path, access: .admin, body: .json(Shapes.newUser), idempotent: true, showOnce: ["temporaryPassword"]) { call in
                try await answering {
                    let created = try await services.users.create(
                        email: (call.body["email"]?.string ?? "").lowercased(), displayName: call.body["displayName"]?.string,
                        plan: call.body["plan"]?.string.flatMap(Plan.init) ?? .free, isAdmin: call.body["isAdmin"]?.bool ?? false, by: call.administrator)
                    var fields = try view(created.user).object ?? [:]
                    if let password = created.temporaryPassword { fields["temporaryPassword"] = .string(password.reveal()) }
                    return .created(.object(fields), at: "\(path)/\(created.user.userId.rawValue)")
                }
            },
            Route(.get, path + "/{userId}", access: .admin, resource: someUser) { _, user in .json(try view(user)) },
            Route(.put, path + "/{userId}/plan", access: .admin, body: .json(Shapes.plan), resource: someUser) { call, user in
                let plan = call.body["plan"]?.string.flatMap(Plan.init) ?? .free
                return .json(try view(await change(call, user, "user.plan-changed", [.set("plan", .string(plan.rawValue)), .set("quota", try Value(encoding: Quota.standard(plan)))])))
            },
            Route(.put, path + "/{userId}/status", access: .admin, body: .json(Shapes.userStatus), resource: someUser) { call, user in
                try await answering {
                    let status = call.body["status"]?.string.flatMap(User.Status.init) ?? .active
                    try await services.users.setStatus(status, of: user.userId, by: call.administrator)
                    await services.notices.userChanged(user.userId)
                    return .json(try view(await someUser(call)))
                }
            },
            Route(.post, path + "/{userId}/reset-password", access: .admin, body: .json(Shapes.empty), resource: someUser) { call, user in
                try await answering {
                    let password = try await services.users.resetPassword(of: user.userId, by: call.administrator)
                    await services.notices.userChanged(user.userId)
                    return .json(.fields(["temporaryPassword": password.map { .string($0.reveal()) }]))
                }
            },
            Route(.delete, path + "/{userId}", access: .admin, resource: someUser) { call, user in
                try await answering {
                    try await services.users.delete(user.userId, by: call.administrator)
                    try await deleteBots(of: user.userId)
                    await services.notices.userChanged(user.userId)
                    return .noContent
                }
            },
        ]
            + Route.merge(path + "/{userId}/quota", access: .admin, body: .json(Shapes.quotaChanges), resource: someUser) { call, user in
                let changes = call.body.sorted { $0.key < $1.key }.map { Change.set(Path("quota").appending($0.key), $0.value) }
                return .json(try view(await change(call, user, "user.quota-changed", changes)))
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

    /// Deletes all bots of somebody whose account goes.
    public func deleteBots(of user: UserID) async throws {
        var cursor: String?
        repeat {
            let page = try await services.bots.list(user, limit: 100, cursor: cursor)
            for bot in page.items { try await services.bots.delete(bot) }
            cursor = page.cursor
        } while cursor != nil
    }

    private func change(_ call: Call, _ user: User, _ action: String, _ changes: [Change]) async throws -> User {
        let entry = AuditEntry(
            userId: user.userId.rawValue, actorId: try call.user.rawValue, action: action, target: user.userId.rawValue, requestId: call.requestId, at: services.time.now())
        try await AuditTrail(records: services.records).transact([.update(user.key, changes + [.add("revision", 1)], if: .recordExists)], entry)
        await services.notices.userChanged(user.userId)
        return try await someUser(call)
    }

    private func listUsers(_ call: Call) async throws -> Answer {
        let status = try call.choice("status", UserStatus.self), plan = try call.choice("plan", Plan.self)
        let query = call.query["query"]?.first
        if let query, !(1...100).contains(query.unicodeScalars.count) { throw Problem.invalid("query.query", "Must have 1 to 100 characters.") }
        let page = try paging.request(call, filters: [status?.rawValue, plan?.rawValue, query])
        var filters: [Condition] = [status.map { .equals("status", .value(.string($0.rawValue))) } ?? .notEquals("status", "deleted")]
        if let plan { filters.append(.equals("plan", .value(.string(plan.rawValue)))) }
        if let query { filters.append(.or([.beginsWith("emailLower", query.lowercased()), .beginsWith("displayName", query)])) }
        let found = try await services.records.query(
            User.self,
            RecordQuery(Tables.users, index: Tables.createdIndex, partition: "user", filter: .and(filters), descending: true, limit: page.limit, cursor: page.cursor))
        return paging.answer(try found.items.map(view), found.cursor, page)
    }

    private func answering(_ work: () async throws -> Answer) async throws -> Answer {
        do { return try await work() } catch let error as UserAdministrationError { throw error.problem }
    }
}
