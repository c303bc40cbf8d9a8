import Foundation
import Platform

/// The skills that a run is given: active in the library, enabled for the bot, and left by its whitelist (SEC-87: what is not mounted
/// cannot be loaded, by a sub-agent neither).
struct SkillSelection: Sendable {
    let records: any RecordStore

    /// By id, so that two runs with the same skills are told the same.
    func uses(for bot: Bot) async throws -> [SkillUse] {
        guard let ids = bot.skills, !ids.isEmpty else { return [] }
        let whitelist = bot.toolWhitelist
        return try await records.batchGet(ids.map(Skill.key)).values.compactMap { record -> SkillUse? in
            let skill = try Skill(record: record)
            guard skill.status == .active else { return nil }
            let directories = skill.directories.filter { !whitelist.skillsEnabled || whitelist.allowedSkills.contains($0) }.sorted()
            return directories.isEmpty ? nil : SkillUse(skillId: skill.skillId, directories: directories, digest: skill.digest)
        }.sorted { $0.skillId < $1.skillId }
    }
}
