import Foundation
import Platform

/// Who may run an agent now, and how many tokens it may still use: slots and the month's tokens are one record (the user's),
/// so that a limit holds however many ask at once (AWS.md §3.5, SEC-107, SEC-108).
///
/// A slot is an entry with an expiry: a crash frees it without a sweep. Tokens are reserved in blocks before they are used and
/// corrected by the settlement to what was metered.
public struct QuotaLedger: TokenQuota {
    public enum Reservation: Sendable, Equatable {
        /// The run holds its slot and may use that many tokens before it must top up.
        case held(tokens: Int)
        /// All of the plan's agents are busy: wait.
        case noSlot
        case quotaExceeded(resetsAt: Date)
        /// The user is suspended, deleted or gone.
        case inactive
    }

    /// Tokens reserved at a time.
    public static let block = 100_000
    private let records: any RecordStore
    private let time: any TimeSource

    public init(records: any RecordStore, time: any TimeSource) { self.records = records; self.time = time }

    /// The slot's name in the user's record; derived, so that another try of the same conversation finds its own.
    public static func slot(for session: SessionKey) -> String { String(Digest.sha256Hex(session.partition).prefix(20)) }

    /// Takes the conversation's slot and the first block of tokens, or says why not. Asking again for a slot that is held extends it.
    public func reserve(_ userId: UserID, slot: String, until expiry: Date) async throws -> Reservation {
        for _ in 0..<8 {
            let now = time.now(), month = Timestamp.month(now)
            let entry = try value(User.Slot(expiresAt: expiry, reserved: Self.block, month: month))
            do {
                let after = try await records.update(
                    User.key(userId),
                    [.set(slotPath(slot), entry), .add("usageTokens", Self.block), .add("usageInvocations", 1)],
                    if: .and([
                        .equals("status", "active"), .equals("usageMonth", .value(.string(month))),
                        .lessThan("usageTokens", .path("quota.maxMonthlyTokens")), .absent(slotPath(slot)),
                        .count("slots", .lessThan, .path("quota.maxConcurrentAgents")),
                    ]))
                return .held(tokens: usable(try User(record: after), block: Self.block))
            } catch RecordStoreError.conditionFailed(_, let current) {
                guard let current else { return .inactive }
                if let answer = try await refused(try User(record: current), slot: slot, until: expiry, month: month, at: now) { return answer }
            }
        }
        return .noSlot
    }

    /// Looks at the record that refused: answers, or mends what is stale (a past month, expired slots) and lets the caller ask again.
    private func refused(_ user: User, slot: String, until expiry: Date, month: String, at now: Date) async throws -> Reservation? {
        guard user.status == .active else { return .inactive }
        if user.usageMonth != month {
            _ = try await ignoringConflict {
                try await records.update(
                    user.key, [.set("usageMonth", .string(month)), .set("usageTokens", 0), .set("usageInvocations", 0)],
                    if: .equals("usageMonth", .value(.string(user.usageMonth))))
            }
            return nil
        }
        if let own = user.slots[slot], own.expiresAt > now {
            let extended = try await ignoringConflict {
                try await records.update(
                    user.key, [.set(slotPath(slot).appending("expiresAt"), .string(Timestamp.text(expiry)))], if: .exists(slotPath(slot)))
            }
            return extended ? .held(tokens: max(0, own.reserved)) : nil
        }
        var freed = false
        for (name, held) in user.slots where held.expiresAt <= now {
            freed = true
            try await release(user.key, name, held, usageMonth: user.usageMonth)
        }
        if freed { return nil }
        if user.slots.count >= user.quota.maxConcurrentAgents { return .noSlot }
        let reserved = user.slots.values.filter { $0.month == user.usageMonth }.reduce(0) { $0 + $1.reserved }
        // What others only reserved may come back: that is a reason to wait, not to refuse.
        return user.usageTokens - reserved < user.quota.maxMonthlyTokens && reserved > 0 ? .noSlot : .quotaExceeded(resetsAt: Timestamp.nextMonth(now))
    }

    private func release(_ key: RecordKey, _ name: String, _ held: User.Slot, usageMonth: String) async throws {
        var changes: [Change] = [.remove(slotPath(name))]
        if held.month == usageMonth { changes.append(.add("usageTokens", -held.reserved)) }
        _ = try await ignoringConflict {
            try await records.update(key, changes, if: .and([.equals(slotPath(name), .value(try value(held))), .equals("usageMonth", .value(.string(usageMonth)))]))
        }
    }

    /// Gives a slot back that was never used (the run did not start).
    public func release(_ userId: UserID, slot: String) async throws {
        for _ in 0..<8 {
            guard let user = try await records.get(User.self, User.key(userId)), let held = user.slots[slot] else { return }
            try await release(user.key, slot, held, usageMonth: user.usageMonth)
        }
    }

    /// The write that ends a slot and books what the run used, for the settlement's transaction; nil when the user is gone.
    /// Its condition fails when the record moved meanwhile: read again and rebuild.
    func settling(_ userId: UserID, slot: String, usage: TokenUsage) async throws -> RecordWrite? {
        guard let user = try await records.get(User.self, User.key(userId)) else { return nil }
        let month = Timestamp.month(time.now())
        var changes: [Change] = []
        var conditions: [Condition] = [.equals("usageMonth", .value(.string(user.usageMonth)))]
        var correction = usage.counted
        if let held = user.slots[slot] {
            changes.append(.remove(slotPath(slot)))
            conditions.append(.equals(slotPath(slot), .value(try value(held))))
            if held.month == user.usageMonth { correction -= held.reserved }
        } else {
            conditions.append(.absent(slotPath(slot)))
        }
        if user.usageMonth == month {
            changes.append(.add("usageTokens", correction))
        } else {
            changes += [.set("usageMonth", .string(month)), .set("usageTokens", .int(usage.counted)), .set("usageInvocations", 1)]
        }
        return .update(user.key, changes, if: .and(conditions))
    }

    /// How many more tokens a run may use under its present reservation.
    public func granted(_ userId: UserID, slot: String) async throws -> Int {
        guard let user = try await records.get(User.self, User.key(userId)), let held = user.slots[slot] else { return 0 }
        return max(0, min(held.reserved, user.quota.maxMonthlyTokens - (user.usageTokens - held.reserved)))
    }

    /// Reserves `tokens` more for a run; answers how many of them lie below the month's limit.
    public func topUp(_ userId: UserID, slot: String, by tokens: Int) async throws(QuotaExceeded) -> Int {
        // A store that does not answer is no permission: the run is told that its quota could not be extended.
        guard let added = try? await extend(userId, slot: slot, by: tokens) else { throw QuotaExceeded(resetsAt: Timestamp.nextMonth(time.now())) }
        return added
    }

    /// Nil = the quota is used up.
    private func extend(_ userId: UserID, slot: String, by tokens: Int) async throws -> Int? {
        for _ in 0..<8 {
            let now = time.now(), month = Timestamp.month(now)
            do {
                let after = try await records.update(
                    User.key(userId), [.add("usageTokens", tokens), .add(slotPath(slot).appending("reserved"), tokens)],
                    if: .and([
                        .equals("status", "active"), .equals("usageMonth", .value(.string(month))), .equals(slotPath(slot).appending("month"), .value(.string(month))),
                        .lessThan("usageTokens", .path("quota.maxMonthlyTokens")),
                    ]))
                return usable(try User(record: after), block: tokens)
            } catch RecordStoreError.conditionFailed(_, let current) {
                guard let current, let user = Optional(try User(record: current)), user.status == .active, let held = user.slots[slot] else { return nil }
                if user.usageMonth == month && held.month == month { return nil }
                // The month turned under the run: its old reservation went with the old month, the run goes on in the new one.
                _ = try await ignoringConflict {
                    try await records.update(
                        user.key,
                        [
                            .set("usageMonth", .string(month)), .set(slotPath(slot).appending("month"), .string(month)),
                            .set(slotPath(slot).appending("reserved"), 0),
                        ] + (user.usageMonth == month ? [] : [.set("usageTokens", 0), .set("usageInvocations", 0)]),
                        if: .and([.equals("usageMonth", .value(.string(user.usageMonth))), .equals(slotPath(slot), .value(try value(held)))]))
                }
            }
        }
        return nil
    }

    private func slotPath(_ slot: String) -> Path { Path("slots").appending(slot) }
    private func usable(_ user: User, block: Int) -> Int { min(block, max(1, user.quota.maxMonthlyTokens - (user.usageTokens - block))) }
    private func value(_ slot: User.Slot) throws -> Value { .object(try DocumentCoder.encode(slot)) }
    private func ignoringConflict(_ body: () async throws -> StoredRecord) async throws -> Bool {
        do { _ = try await body(); return true } catch RecordStoreError.conditionFailed { return false }
    }
}
