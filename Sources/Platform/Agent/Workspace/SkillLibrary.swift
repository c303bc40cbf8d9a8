import Foundation
import Platform

/// The skills that are mounted for a bot, `~/.claude/skills/<directory>/SKILL.md`: their names and descriptions stand in the prompt, their
/// text is read when the model asks for it.
public struct SkillLibrary: Sendable, Hashable {
    public struct Skill: Sendable, Hashable {
        public var name: String
        public var description: String
        /// Absolute.
        public var folder: String
    }
    public private(set) var skills: [Skill] = []

    static let mostSkills = 100
    static let fileBytes = 200_000
    static let descriptionCharacters = 1024

    public init() {}

    /// Reads the heads of all skills that the whitelist has; what is no skill is passed over.
    public static func load(_ directory: String, whitelist: ToolWhitelist) async throws -> SkillLibrary {
        try await blocking { signal in
            var library = SkillLibrary()
            let names = ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
            for name in names where library.skills.count < mostSkills {
                try signal.check()
                // An enabled list that does not name it denies it (SEC-86); what is mounted is the boundary (SEC-87).
                guard !whitelist.skillsEnabled || whitelist.allowedSkills.contains(where: { $0.utf8.elementsEqual(name.utf8) }) else { continue }
                let folder = directory + "/" + name
                guard let (bytes, _) = try? FileAccess.contents(folder + "/SKILL.md", limit: fileBytes) else { continue }
                let head = FrontMatter(String(decoding: bytes, as: UTF8.self))
                let shown = oneLine(head.fields["name"] ?? name, 100)
                let description = oneLine(head.fields["description"] ?? "", descriptionCharacters)
                guard !shown.isEmpty, !description.isEmpty, !library.skills.contains(where: { $0.name == shown }) else { continue }
                library.skills.append(Skill(name: shown, description: description, folder: folder))
            }
            return library
        }
    }

    /// By its name, or by its directory.
    func skill(_ name: String) -> Skill? {
        let wanted = name.hasPrefix("/") ? String(name.dropFirst()) : name
        return skills.first { $0.name == wanted } ?? skills.first { ($0.folder as NSString).lastPathComponent == wanted }
    }

    /// For the system prompt; nil without skills.
    var listing: String? {
        guard !skills.isEmpty else { return nil }
        return """
            # Skills
            Instructions for special work. When a task matches one of these, call Skill with its name before you begin, and do as it says:
            \(skills.map { "- \($0.name): \($0.description)" }.joined(separator: "\n"))
            """
    }

    private static func oneLine(_ text: String, _ most: Int) -> String {
        ToolSummary.oneLine(text.split(whereSeparator: \.isWhitespace).joined(separator: " "), most: most)
    }
}
