import Foundation
import Platform

/// The accounts of a self-hosted deployment: what an admin does to them (API.md §2.2, `/auth/admin/users`).
/// Every change is audited in its own transaction and counts on all nodes within five seconds.
public struct Accounts: Sendable {
    let records: any RecordStore
    let hasher: PasswordHasher
    let states: UserStates
    let time: any TimeSource
    var trail: AuditTrail { AuditTrail(records: records) }

    public init(records: any RecordStore, hasher: PasswordHasher, states: UserStates, time: any TimeSource = SystemTime()) {
        self.records = records; self.hasher = hasher; self.states = states; self.time = time
    }

    // MARK: Reading

    public func user(_ userId: UserID) async throws -> User? { try await records.get(User.self, User.key(userId)) }

    /// By its unique record, so that a change of a moment ago is seen.
    public func user(email: String) async throws -> User? {
        guard let owner = try await records.get(Self.emailKey(email))?.document["userId"]?.string else { return nil }
        return try await user(UserID(owner))
    }

    // MARK: What admins do

    /// - Returns: the user, and the temporary password to be shown once.
    /// - Throws: ``IdentityError/emailInUse``, ``IdentityError/invalidEmail(_:)``
    public func create(email: String, displayName: String? = nil, plan: Plan = .free, isAdmin: Bool = false, by actor: UserID?, requestId: String? = nil)
        async throws -> (user: User, temporaryPassword: Secret)
    {
        let password = PasswordPolicy.temporary()
        let user = try await add(
            email: email, displayName: displayName, plan: plan, isAdmin: isAdmin, password: password, mustChange: true, by: actor?.rawValue ?? AuditEntry.system,
            requestId: requestId)
        return (user, password)
    }

    /// Suspending ends all sessions. The same status again changes nothing.
    /// - Throws: ``IdentityError/notFound``, ``IdentityError/selfModification``, ``IdentityError/lastAdmin``
    public func setStatus(_ userId: UserID, to status: User.Status, by actor: UserID, requestId: String? = nil) async throws -> User {
        guard status != .deleted else { try await delete(userId, by: actor, requestId: requestId); throw IdentityError.notFound }
        guard userId != actor else { throw IdentityError.selfModification }
        let user = try await existing(userId)
        guard user.status != status else { return user }
        let now = time.now()
        var changes: [Change] = [.set("status", .string(status.rawValue)), .add("revision", 1)]
        if status == .suspended { changes.append(.set("tokensValidFrom", .string(Timestamp.text(now)))) }
        let action = status == .suspended ? "user.suspended" : "user.activated"
        try await change(
            user, changes, if: .equals("status", .value(.string(user.status.rawValue))), admins: user.isAdmin ? (status == .active ? 1 : -1) : 0,
            audit: entry(user, action, by: actor, requestId, at: now))
        if status == .suspended { try await RefreshSessions(records: records, time: time).closeAll(of: userId, before: now) }
        return try await existing(userId)
    }

    /// Ends all sessions; the temporary password must be changed at the next log-in.
    public func resetPassword(_ userId: UserID, by actor: UserID, requestId: String? = nil) async throws -> Secret {
        let user = try await existing(userId)
        let password = PasswordPolicy.temporary()
        let hash = try await hasher.hash(password)
        let now = time.now()
        try await change(
            user,
            [.set("passwordHash", .string(hash)), .set("mustChange", true), .set("tokensValidFrom", .string(Timestamp.text(now))), .add("revision", 1)],
            if: .notEquals("status", "deleted"), audit: entry(user, "user.password-reset", by: actor, requestId, at: now))
        try await LoginAttempts(records: records, time: time).succeeded(user.email)
        try await RefreshSessions(records: records, time: time).closeAll(of: userId, before: now)
        return password
    }

    /// Ends all sessions and frees the e-mail. Bots and data are their owners' work.
    public func delete(_ userId: UserID, by actor: UserID, requestId: String? = nil) async throws {
        guard userId != actor else { throw IdentityError.selfModification }
        let user = try await existing(userId)
        let now = time.now()
        try await change(
            user, [.set("status", "deleted"), .set("tokensValidFrom", .string(Timestamp.text(now))), .remove("passwordHash"), .add("revision", 1)],
            if: .equals("status", .value(.string(user.status.rawValue))), admins: user.isAdmin && user.status == .active ? -1 : 0,
            more: [.delete(Self.emailKey(user.emailLower), if: .or([.recordAbsent, .equals("userId", .value(.string(userId.rawValue)))]))],
            audit: entry(user, "user.deleted", by: actor, requestId, at: now))
        try await RefreshSessions(records: records, time: time).closeAll(of: userId, before: now)
    }

    /// Makes a user an administrator, or no longer one. The same again changes nothing.
    /// - Throws: ``IdentityError/notFound``, ``IdentityError/selfModification``, ``IdentityError/lastAdmin``
    public func setAdmin(_ userId: UserID, to isAdmin: Bool, by actor: UserID, requestId: String? = nil) async throws -> User {
        guard userId != actor else { throw IdentityError.selfModification }
        let user = try await existing(userId)
        guard user.isAdmin != isAdmin else { return user }
        var groups = user.groups.filter { $0 != User.adminGroup }
        if isAdmin { groups.append(User.adminGroup) }
        try await change(
            user, [.set("groups", .array(groups.map { .string($0) })), .add("revision", 1)],
            // The count of active admins follows from both.
            if: .and([.equals("groups", .value(.array(user.groups.map { .string($0) }))), .equals("status", .value(.string(user.status.rawValue)))]),
            admins: user.status == .active ? (isAdmin ? 1 : -1) : 0,
            audit: entry(user, isAdmin ? "user.admin-granted" : "user.admin-revoked", by: actor, requestId, at: time.now()))
        return try await existing(userId)
    }

    /// The quota becomes that plan's.
    public func setPlan(_ userId: UserID, to plan: Plan, by actor: UserID, requestId: String? = nil) async throws -> User {
        let user = try await existing(userId)
        try await change(
            user, [.set("plan", .string(plan.rawValue)), .set("quota", try JSON.value(JSON.encode(Quota.standard(plan)))), .add("revision", 1)],
            if: .notEquals("status", "deleted"), audit: entry(user, "user.plan-changed", by: actor, requestId, at: time.now()))
        return try await existing(userId)
    }

    /// Takes the second factor away, for somebody who lost theirs; all sessions end.
    public func resetSecondFactor(_ userId: UserID, by actor: UserID, requestId: String? = nil) async throws -> User {
        let user = try await existing(userId)
        let now = time.now()
        try await change(
            user, [.remove("secondFactor"), .set("tokensValidFrom", .string(Timestamp.text(now))), .add("revision", 1)], if: .notEquals("status", "deleted"),
            audit: entry(user, "user.second-factor-reset", by: actor, requestId, at: now))
        try await RefreshSessions(records: records, time: time).closeAll(of: userId, before: now)
        return try await existing(userId)
    }

    /// Opens a door that failed log-ins closed.
    public func unlock(_ userId: UserID, by actor: UserID, requestId: String? = nil) async throws -> User {
        let user = try await existing(userId)
        try await trail.transact(
            [.delete(LoginAttempts.key(user.email))], entry(user, "user.unlocked", by: actor, requestId, at: time.now()))
        return user
    }

    /// Newest first; deleted ones too.
    public func users(limit: Int = 200, cursor: String? = nil) async throws -> (items: [User], cursor: String?) {
        try await records.query(User.self, RecordQuery(Tables.users, index: Tables.createdIndex, partition: "user", descending: true, limit: limit, cursor: cursor))
    }

    /// Deleted users who still own bots.
    public func deletedOwners() async throws -> [User] {
        try await records.all(
            User.self,
            RecordQuery(
                Tables.users, index: Tables.createdIndex, partition: "user", filter: .and([.equals("status", "deleted"), .greaterThan("botCount", 0)]), limit: 200))
    }

    /// Until when failed log-ins keep the door closed; nil = it is open.
    public func lockedUntil(_ user: User) async throws -> Date? {
        try await records.get(LoginAttempts.key(user.email))?.document["lockedUntil"]?.string.flatMap(Timestamp.date).flatMap { $0 > time.now() ? $0 : nil }
    }

    // MARK: Within the room

    static func emailKey(_ email: String) -> RecordKey { RecordKey(Tables.uniques, "email/\(email.lowercased())", "unique") }
    /// Number of active admins, kept in the same transactions as the admins themselves: never less than one.
    static let adminsKey = RecordKey(Tables.settings, "platform", "admins")

    func add(email: String, displayName: String?, plan: Plan, isAdmin: Bool, password: Secret, mustChange: Bool, by actor: String, requestId: String?) async throws -> User {
        try Self.check(email: email)
        // Before the expensive hash; the transaction decides.
        guard try await records.get(Self.emailKey(email)) == nil else { throw IdentityError.emailInUse }
        let now = time.now()
        var user = User(userId: UserID(ULID.make(at: now)), email: email, displayName: displayName, plan: plan, isAdmin: isAdmin, at: now)
        user.passwordHash = try await hasher.hash(password)
        user.mustChange = mustChange
        var writes: [RecordWrite] = [
            .put(Self.emailKey(email), ["userId": .string(user.userId.rawValue)], if: .recordAbsent),
            try user.putting(if: .recordAbsent),
        ]
        if isAdmin { writes.append(.update(Self.adminsKey, [.add("active", 1)], orCreate: true)) }
        let entry = AuditEntry(userId: user.userId.rawValue, actorId: actor, action: "user.created", target: user.userId.rawValue, requestId: requestId, at: now)
        do { try await trail.transact(writes, entry) } catch RecordStoreError.conditionFailed(0, _) { throw IdentityError.emailInUse }
        return user
    }

    /// One transaction: the user, the count of admins, what else belongs to it, and the audit entry.
    func change(_ user: User, _ changes: [Change], if condition: Condition, admins: Int = 0, more: [RecordWrite] = [], audit: AuditEntry) async throws {
        var writes: [RecordWrite] = [.update(user.key, changes, if: condition)]
        if admins != 0 {
            writes.append(.update(Self.adminsKey, [.add("active", admins)], orCreate: admins > 0, if: admins < 0 ? .greaterThan("active", 1) : nil))
        }
        do { try await trail.transact(writes + more, audit) } catch RecordStoreError.conditionFailed(let index, _) {
            states.forget(user.userId)
            throw index == 1 && admins < 0 ? IdentityError.lastAdmin : IdentityError.notFound
        }
        states.forget(user.userId)
    }

    private func existing(_ userId: UserID) async throws -> User {
        guard let user = try await user(userId), user.status != .deleted else { throw IdentityError.notFound }
        return user
    }

    private func entry(_ user: User, _ action: String, by actor: UserID, _ requestId: String?, at now: Date) -> AuditEntry {
        AuditEntry(userId: user.userId.rawValue, actorId: actor.rawValue, action: action, target: user.userId.rawValue, requestId: requestId, at: now)
    }

    static func check(email: String) throws(IdentityError) {
        guard EmailAddress.isValid(email) else { throw .invalidEmail("This is not an e-mail address.") }
    }
}
