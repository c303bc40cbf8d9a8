import Foundation

/// Instructions for special work in the platform's library: one or more folders with a `SKILL.md`, kept under `skills/{skillId}/`.
/// What it holds never changes (SEC-96): another version is another skill.
public struct Skill: Entity {
    public enum Status: String, Codable, Sendable, CaseIterable { case active, disabled }
    public enum Source: String, Codable, Sendable, CaseIterable { case zip, git }
    /// One folder of it: what a model may load.
    public struct Folder: Codable, Sendable, Hashable {
        /// `[a-z0-9][a-z0-9_-]{0,63}`, unique in the library; what whitelists name.
        public var directory: String
        /// Of its `SKILL.md`.
        public var description: String
        public init(directory: String, description: String) { self.directory = directory; self.description = description }
    }
    public var skillId: SkillID
    public var name: String
    public var description: String
    public var version: String
    public var source: Source
    public var sourceUrl: String?
    public var folders: [Folder]
    /// Paths below `skills/{skillId}/`, sorted.
    public var files: [String]
    /// SHA-256 over every path and content.
    public var digest: String
    public var status: Status
    public var createdBy: UserID
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date

    public init(
        skillId: SkillID, name: String, description: String, version: String, source: Source, sourceUrl: String?, folders: [Folder], files: [String], digest: String,
        createdBy: UserID, at now: Date
    ) {
        self.skillId = skillId; self.name = name; self.description = description; self.version = version; self.source = source; self.sourceUrl = sourceUrl
        self.folders = folders; self.files = files; self.digest = digest; self.createdBy = createdBy
        status = .active
        revision = 0
        createdAt = now; updatedAt = now
    }

    public var directories: [String] { folders.map(\.directory) }
    /// Where its files are in the object store.
    public static func prefix(_ id: SkillID) -> String { "skills/\(id.rawValue)/" }
    public static let table = Tables.skills
    public static func key(_ id: SkillID) -> RecordKey { RecordKey(table, "platform", id.rawValue) }
    public var key: RecordKey { Self.key(skillId) }

    public static func isDirectory(_ text: String) -> Bool {
        guard let first = text.utf8.first, text.utf8.count <= 64, first != 0x5f, first != 0x2d else { return false }
        return text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x5f || $0 == 0x2d }
    }
}

/// What a run gets of a skill (API.md §6.1, `skills`).
public struct SkillUse: Codable, Sendable, Hashable {
    public var skillId: SkillID
    /// Those that the bot's whitelist leaves of it.
    public var directories: [String]
    public var digest: String
    public init(skillId: SkillID, directories: [String], digest: String) { self.skillId = skillId; self.directories = directories; self.digest = digest }
}
