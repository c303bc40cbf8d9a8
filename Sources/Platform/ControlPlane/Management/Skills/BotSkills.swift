import Foundation
import Platform

/// Which skills of the library a bot has.
public struct BotSkills: Sendable {
    /// Skills that a bot may have.
    public static let most = 50

    private let records: any RecordStore
    private let catalogue: SkillCatalogue
    private let notices: ManagementNotices
    private let trail: AuditTrail
    private let time: any TimeSource

    public init(records: any RecordStore, catalogue: SkillCatalogue, notices: ManagementNotices = ManagementNotices(), time: any TimeSource = SystemTime()) {
        self.records = records; self.catalogue = catalogue; self.notices = notices; self.time = time
        trail = AuditTrail(records: records)
    }

    /// Active skills of the library by name, and whether the bot has each.
    public func list(_ bot: Bot) async throws -> [(skill: Skill, enabled: Bool)] {
        let own = Set(bot.skills ?? [])
        return try await catalogue.list(status: .active).map { ($0, own.contains($0.skillId)) }
    }

    /// Ids of the active skills that the bots have.
    public func enabled(of bots: [Bot]) async throws -> [BotID: [SkillID]] {
        guard bots.contains(where: { $0.skills?.isEmpty == false }) else { return [:] }
        let active = Set(try await catalogue.list(status: .active).map(\.skillId))
        return Dictionary(bots.map { ($0.botId, ($0.skills ?? []).filter(active.contains).sorted()) }, uniquingKeysWith: { a, _ in a })
    }

    /// The complete set of active skills that the bot has; what is disabled in the library stays as it was (API.md §3.10).
    public func replace(of bot: Bot, with wanted: [SkillID], by: By) async throws -> [SkillID] {
        let skills = try await catalogue.list()
        for (index, id) in wanted.enumerated() {
            guard skills.contains(where: { $0.skillId == id && $0.status == .active }) else {
                throw ManagementError.invalid("skills[\(index)]", "There is no such skill in the library.")
            }
        }
        let hidden = (bot.skills ?? []).filter { id in skills.contains { $0.skillId == id && $0.status == .disabled } }
        let listed = (wanted + hidden).sorted()
        let now = time.now()
        do {
            try await trail.transact(
                [.update(
                    bot.key, [.set("skills", .array(listed.map { .string($0.rawValue) })), .set("updatedAt", .string(Timestamp.text(now))), .add("revision", 1)],
                    if: .and([.recordExists, .notEquals("status", "deleted")]))],
                by.entry("skill.enable", trail: bot.userId, target: bot.botId.rawValue, at: now))
        } catch RecordStoreError.conditionFailed { throw ManagementError.notFound }
        await notices.botChanged(bot)
        return wanted.sorted()
    }
}
