import Foundation

/// That a bot or user was deleted, and what became of its data (SEC-125, SEC-126). It stays for good: ids are never reused.
public struct Tombstone: Entity {
    public enum Kind: String, Codable, Sendable { case bot, user }
    public enum State: String, Codable, Sendable {
        /// The data is still there, until `purgeAt`.
        case pending
        /// The data is gone; looked through once more at `purgeAt` for what was written late.
        case purged
        /// Nothing is left but this.
        case done
    }
    public var id: String
    public var kind: Kind
    public var state: State
    /// A bot's owner, or the user.
    public var userId: UserID
    public var deletedAt: Date?
    public var purgeAt: Date

    public init(_ kind: Kind, _ id: String, userId: UserID, at now: Date, purgeAt: Date) {
        self.id = id; self.kind = kind; self.userId = userId; self.purgeAt = purgeAt
        state = .pending
        deletedAt = now
    }

    public static let table = Tables.tombstones
    public static func key(_ id: String) -> RecordKey { RecordKey(table, id, "tombstone") }
    public var key: RecordKey { Self.key(id) }

    public static func exists(_ id: String, in records: any RecordStore) async throws -> Bool { try await records.get(key(id)) != nil }
}
