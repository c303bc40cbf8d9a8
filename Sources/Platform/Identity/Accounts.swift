import Foundation
import Platform

/// The accounts of a self-hosted deployment: what an admin does to them (API.md §2.2, `/auth/admin/users`).
/// Every change is audited in its own transaction and counts on all nodes within five seconds.
public struct Accounts: Sendable {
    let records: any RecordStore
    let hasher: PasswordHasher
    let states: UserStates
    let time: any TimeSource

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
            try AuditEntry(userId: user.userId.rawValue, actorId: actor, action: "user.created", target: user.userId.rawValue, requestId: requestId, at: now).putting(),
        ]
        if isAdmin { writes.append(.update(Self.adminsKey, [.add("active", 1)], orCreate: true)) }
        do { try await records.transact(writes) } catch RecordStoreError.conditionFailed(0, _) { throw IdentityError.emailInUse }
        return user
    }

    /// One transaction: the user, the count of admins, and the audit line.
    func change(_ user: User, _ changes: [Change], if condition: Condition, admins: Int = 0, more: [RecordWrite] = [], audit: AuditEntry) async throws {
        var writes: [RecordWrite] = [.update(user.key, changes, if: condition), try audit.putting()]
        if admins != 0 {
            writes.append(.update(Self.adminsKey, [.add("active", admins)], orCreate: admins > 0, if: admins < 0 ? .greaterThan("active", 1) : nil))
        }
        do { try await records.transact(writes + more) } catch RecordStoreError.conditionFailed(let index, _) {
            states.forget(user.userId)
            throw index == 2 && admins < 0 ? IdentityError.lastAdmin : IdentityError.notFound
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

    /// One `@`, printable ASCII, at most 254 bytes (RFC 5321); a domain without a dot is fine on one's own machine.
    static func check(email: String) throws(IdentityError) {
        let parts = email.split(separator: "@", omittingEmptySubsequences: false)
        let printable = email.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"\"(),:;<>[\\]/".utf8.contains($0) }
        guard parts.count == 2, (1...64).contains(parts[0].utf8.count), !parts[1].isEmpty, email.utf8.count <= 254, printable, !parts[1].hasPrefix("."),
            !parts[1].hasSuffix("."), !parts[1].contains("..")
        else { throw .invalidEmail("This is not an e-mail address.") }
    }
}
