import Foundation

/// The append-only trails of audit entries, one per tenant and one of the platform, each a chain of digests (SEC-124): an entry
/// that is changed, removed or slipped in later no longer fits the one after it.
///
/// ```swift
/// try await trail.transact([.update(bot.key, changes)], AuditEntry(userId: …, actorId: …, action: "bot.policy-changed", at: now))
/// ```
public struct AuditTrail: Sendable {
    private let records: any RecordStore
    public init(records: any RecordStore) { self.records = records }

    /// Carries out `writes` and appends the entry, all or nothing: a change that cannot be audited does not happen.
    /// - Parameter writes: at most 23. Their places are those in ``RecordStoreError/conditionFailed(index:current:)``.
    public func transact(_ writes: [RecordWrite], _ entry: AuditEntry) async throws {
        let headKey = Self.headKey(entry.userId)
        for _ in 0..<64 {
            let head = try await records.get(headKey)?.document
            var entry = entry
            entry.sequence = (head?["sequence"]?.int ?? 0) + 1
            entry.previous = head?["link"]?.string ?? ""
            entry.previousAt = head?["at"]?.string.flatMap(Timestamp.date)
            let next: Document = ["sequence": .int(entry.sequence), "link": .string(entry.link), "at": .string(Timestamp.text(entry.timestamp))]
            let unchanged: Condition = head == nil ? .recordAbsent : .equals("link", .value(.string(entry.previous)))
            do {
                try await records.transact(writes + [.put(headKey, next, if: unchanged), try entry.putting(if: .recordAbsent)], token: nil)
                return
            } catch RecordStoreError.conditionFailed(let index, let current) {
                // Another entry came first: chain on to that one. Anything else is the caller's own condition.
                guard index >= writes.count else { throw RecordStoreError.conditionFailed(index: index, current: current) }
            }
        }
        throw RecordStoreError.unavailable("the audit trail of \(entry.userId) is being written by too many at once")
    }

    public func append(_ entry: AuditEntry) async throws { try await transact([], entry) }

    /// Newest first. `action` is a filter: a page may be short and still carry a cursor.
    public func entries(of owner: String, action: String? = nil, limit: Int, cursor: String?) async throws -> (items: [AuditEntry], cursor: String?) {
        try await records.query(
            AuditEntry.self,
            RecordQuery(
                Tables.audit, partition: owner, filter: action.map { .equals("action", .value(.string($0))) }, descending: true, limit: limit, cursor: cursor))
    }

    /// Why a trail cannot be trusted; nil = every entry that must still be there is, unaltered and in its place.
    public func damage(of owner: String, at now: Date) async throws -> String? {
        // Entries of one millisecond lie in the order of their ids; the chain has the true order.
        let entries = try await records.all(AuditEntry.self, RecordQuery(Tables.audit, partition: owner, limit: 200)).sorted { $0.sequence < $1.sequence }
        guard let head = try await records.get(Self.headKey(owner))?.document else { return entries.isEmpty ? nil : "the head of the trail is missing" }
        func mustBeThere(_ written: Date?) -> Bool { written.map { now.timeIntervalSince($0) < AuditEntry.retention } ?? false }
        guard let first = entries.first, let last = entries.last else {
            return mustBeThere(head["at"]?.string.flatMap(Timestamp.date)) ? "all of its entries are missing" : nil
        }
        if head["link"]?.string != last.link { return "the newest entry is missing or altered" }
        for (one, next) in zip(entries, entries.dropFirst()) where next.previous != one.link || next.sequence != one.sequence + 1 {
            return "an entry before \(next.id) is missing or altered"
        }
        return first.sequence > 1 && mustBeThere(first.previousAt) ? "entries before \(first.id) are missing" : nil
    }

    private static func headKey(_ owner: String) -> RecordKey { RecordKey(Tables.audit, "head/\(owner)", "head") }
}
