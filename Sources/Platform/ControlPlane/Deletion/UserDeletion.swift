import Foundation
import Platform

/// The deletion of a user with everything that is theirs. The account itself is Identity's; the tombstone comes before its end, so
/// that a crash at any step leaves something for ``Purge`` to finish.
public struct UserDeletion: Sendable {
    private let records: any RecordStore
    private let bots: BotService
    private let purgeAfter: Duration
    private let time: any TimeSource

    /// - Parameter purgeAfter: how long the data stays (`retention.deletedDays`).
    public init(records: any RecordStore, bots: BotService, purgeAfter: Duration = .seconds(30 * 86_400), time: any TimeSource = SystemTime()) {
        self.records = records; self.bots = bots; self.purgeAfter = purgeAfter; self.time = time
    }

    /// - Parameter account: ends the account; when it refuses, nothing has happened.
    public func delete(_ user: UserID, by: By, account: () async throws -> Void) async throws {
        let now = time.now()
        try await records.put(Tombstone(.user, user.rawValue, userId: user, at: now, purgeAt: now + purgeAfter.seconds), if: .recordAbsent)
        do { try await account() } catch {
            if try await records.get(User.self, User.key(user))?.status != .deleted { try await records.delete(Tombstone.key(user.rawValue)) }
            throw error
        }
        try await deleteBots(of: user, by: by)
    }

    func deleteBots(of user: UserID, by: By) async throws {
        for bot in try await records.all(Bot.self, RecordQuery(Tables.bots, partition: user.rawValue, filter: .notEquals("status", "deleted"), limit: 200)) {
            do { try await bots.delete(bot, by: by) } catch ManagementError.notFound {
                // Its owner, or another node, was first.
            }
        }
        await bots.notices.deletionBegan()
    }
}
