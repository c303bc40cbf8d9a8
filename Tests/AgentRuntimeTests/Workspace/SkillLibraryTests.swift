import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("Skills", .paced)
struct SkillLibraryTests {
    private func put(_ folder: String, _ name: String, _ text: String) throws {
        try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)/SKILL.md"))
    }

    @Test(
        "a head is read as people write it",
        arguments: [
            ("---\nname: pdf\ndescription: Fills forms: all of them\n---\nBody", "pdf", "Fills forms: all of them"),
            ("---\r\nname: \"a b\"\r\ndescription: 'it''s'\r\n---\r\nBody", "a b", "it's"),
            ("---\nname: x\ndescription: >-\n  folded\n  text\nlicense: MIT\n---\n\nBody", "x", "folded text"),
            ("---\ndescription: one\n  goes on\nname: y\n---\nBody", "y", "one goes on"),
        ])
    func heads(_ text: String, _ name: String, _ description: String) {
        let matter = FrontMatter(text)
        #expect(matter.fields["name"] == name && matter.fields["description"] == description && matter.body == "Body")
    }

    @Test("names and descriptions are listed in a fixed order; what is no skill is passed over, and the body comes on use")
    func listing() async throws {
        try await withFolder { folder in
            try put(folder, "zeta", "---\nname: zeta\ndescription: Last\n---\nDo zeta.")
            try put(folder, "alpha", "---\nname: alpha-skill\ndescription: First\n---\nDo alpha in this way.")
            try put(folder, "nameless", "no head at all")
            try put(folder, "silent", "---\nname: silent\n---\nx")
            try Data("x".utf8).write(to: URL(filePath: folder + "/file"))
            let library = try await SkillLibrary.load(folder, whitelist: ToolWhitelist())
            #expect(library.skills.map(\.name) == ["alpha-skill", "zeta"])
            #expect(library.listing?.hasSuffix("- alpha-skill: First\n- zeta: Last") == true)
            let context = ToolContext(workspace: folder)
            func use(_ name: String, _ args: String? = nil) async throws -> ToolResult {
                try await SkillTool(library: library).outcome(of: .object(["skill": .string(name), "args": args.map(Value.string) ?? .null]), in: context)
            }
            let body = try await use("alpha-skill", "the report").text
            #expect(body.contains("Do alpha in this way.") && body.contains("in \(folder)/alpha;") && body.hasSuffix("ARGUMENTS: the report"))
            #expect(!body.contains("description:"))
            #expect(try await use("alpha").text == (try await use("/alpha-skill")).text)
            let unknown = try await use("beta")
            #expect(unknown.isError && unknown.text == "There is no skill 'beta'. There are: alpha-skill, zeta.")
            #expect(try await SkillLibrary.load(folder + "/absent", whitelist: ToolWhitelist()).listing == nil)
        }
    }

    @Test("SEC-86 with the whitelist on, a skill that it does not name is not offered")
    func SEC_86_whitelist() async throws {
        try await withFolder { folder in
            try put(folder, "one", "---\nname: one\ndescription: d\n---\n")
            try put(folder, "two", "---\nname: two\ndescription: d\n---\n")
            #expect(try await SkillLibrary.load(folder, whitelist: ToolWhitelist(skillsEnabled: true, allowedSkills: ["two"])).skills.map(\.name) == ["two"])
            #expect(try await SkillLibrary.load(folder, whitelist: ToolWhitelist(skillsEnabled: true)).skills.isEmpty)
        }
    }
}
