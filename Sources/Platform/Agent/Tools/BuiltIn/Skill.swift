import Platform

/// Hands out the text of a skill. Absent where a bot has none.
struct SkillTool: AgentTool {
    let library: SkillLibrary
    let name = "Skill"
    let isReadOnly = true
    let description = "Loads a skill: its instructions come back as the result. The skills there are stand in the system prompt."
    let inputSchema = Schema.object(
        ["skill": Schema.string("The skill's name"), "args": Schema.string("What the skill is to be used on, if it takes that")], required: ["skill"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let wanted = try fields.optionalText("skill") ?? fields.text("command")
        let arguments = try fields.optionalText("args") ?? ""
        guard let skill = library.skill(wanted) else {
            throw ToolError("There is no skill '\(ToolSummary.oneLine(wanted, most: 100))'. There are: \(library.skills.map(\.name).joined(separator: ", ")).")
        }
        let path = skill.folder + "/SKILL.md"
        let text = try await blocking { _ in String(decoding: try FileAccess.contents(path, limit: SkillLibrary.fileBytes).bytes, as: UTF8.self) }
        context.files.noteRead(path)
        return .text(
            "The skill \(skill.name). Its files are in \(skill.folder); relative paths in it mean that directory.\n\n\(FrontMatter(text).body)"
                + (arguments.isEmpty ? "" : "\n\nARGUMENTS: \(arguments)"))
    }
}
