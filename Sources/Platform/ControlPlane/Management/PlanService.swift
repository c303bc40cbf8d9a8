import Foundation
import Platform

/// What the plans allow, and which plan and limits a user has (API.md §3.10).
public struct PlanService: Sendable {
    private let records: any RecordStore
    private let notices: ManagementNotices
    private let time: any TimeSource
    private static let key = RecordKey(Tables.settings, "platform", "plans")

    public init(records: any RecordStore, notices: ManagementNotices = ManagementNotices(), time: any TimeSource = SystemTime()) {
        self.records = records; self.notices = notices; self.time = time
    }

    /// Every plan with its quota; the defaults where nobody has set any.
    public func table() async throws -> [Plan: Quota] {
        let stored = try await records.get(Self.key)?.document ?? [:]
        return try Dictionary(uniqueKeysWithValues: Plan.allCases.map { plan in
            guard let quota = stored[plan.rawValue]?.object else { return (plan, .standard(plan)) }
            return (plan, try DocumentCoder.decode(Quota.self, from: quota))
        })
    }

    public func quota(of plan: Plan) async throws -> Quota { try await table()[plan] ?? .standard(plan) }

    /// Replaces the table; existing users keep their quota.
    public func replace(_ table: [Plan: Quota], by: By) async throws {
        var document: Document = [:]
        for (plan, quota) in table { document[plan.rawValue] = .object(try DocumentCoder.encode(quota)) }
        try await AuditTrail(records: records).transact(
            [.put(Self.key, document)], by.entry("plans.changed", trail: AuditEntry.platform, target: "plans", at: time.now()))
    }

    /// Puts a user on a plan: the quota becomes that plan's, overrides are dropped.
    public func move(_ user: User, to plan: Plan, by: By) async throws -> User {
        let quota = Value.object(try DocumentCoder.encode(try await quota(of: plan)))
        return try await change(user, [.set("plan", .string(plan.rawValue)), .set("quota", quota)], "user.plan-changed", by)
    }

    /// Changes single limits; `limits` are validated fields of Quota.
    public func change(_ user: User, limits: Document, by: By) async throws -> User {
        let changes = limits.sorted { $0.key < $1.key }.map { Change.set(Path("quota").appending($0.key), $0.value) }
        return try await change(user, changes, "user.quota-changed", by)
    }

    /// Gives a user who was just made what the stored table says of their plan.
    public func adopt(_ user: User) async throws -> User {
        let quota = try await quota(of: user.plan)
        guard quota != user.quota else { return user }
        return try User(record: await records.update(user.key, [.set("quota", .object(try DocumentCoder.encode(quota)))], if: .recordExists))
    }

    private func change(_ user: User, _ changes: [Change], _ action: String, _ by: By) async throws -> User {
        do {
            try await AuditTrail(records: records).transact(
                [.update(user.key, changes + [.add("revision", 1)], if: .and([.recordExists, .notEquals("status", "deleted")]))],
                by.entry(action, trail: user.userId, target: user.userId.rawValue, at: time.now()))
        } catch RecordStoreError.conditionFailed { throw ManagementError.notFound }
        await notices.userChanged(user.userId)
        guard let changed = try await records.get(User.self, user.key) else { throw ManagementError.notFound }
        return changed
    }
}
