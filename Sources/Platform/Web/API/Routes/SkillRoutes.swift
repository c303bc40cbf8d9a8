import ControlPlane
import Foundation
import Platform

extension API {
    /// Skills of a bot (API.md §3.8).
    var skillRoutes: [Route] {
        let path = "/api/bots/{botId}/skills"
        return [
            Route(.get, path, "The library's active skills, and which of them a bot has.", query: .page(), answers: [.page(Schemas.botSkill)], resource: ownBot) { call, bot in
                let page = try paging.request(call)
                let found = paging.slice(try await services.botSkills.list(bot), page) { "\($0.skill.name)\u{0}\($0.skill.skillId)" }
                return paging.answer(found.items.map { Views.skill($0.skill, enabled: $0.enabled) }, found.next, page)
            },
            Route(.put, path, "Chooses the skills that a bot has, all of them at once.", body: .json(SkillShapes.selection), answers: [.ok(Schemas.skillSelection)], resource: ownBot) { call, bot in
                let wanted = (call.body["skills"]?.array ?? []).compactMap { $0.string.map { SkillID($0) } }
                let enabled = try await services.botSkills.replace(of: bot, with: wanted, by: call.by)
                return .json(["skills": .array(enabled.map { .string($0.rawValue) })])
            },
        ]
    }

    /// The library of skills (API.md §3.10).
    var adminSkillRoutes: [Route] {
        let path = "/api/admin/skills"
        return [
            Route(
                .get, path, "The library of skills, by name.", access: .admin, query: .page(.choice("status", "Only these.", Skill.Status.self)), answers: [.page(Schemas.skill)]
            ) { call in
                let status = call.choice("status", Skill.Status.self)
                let page = try paging.request(call, filters: [status?.rawValue])
                let found = paging.slice(try await services.skills.list(status: status), page) { "\($0.name)\u{0}\($0.skillId)" }
                return paging.answer(found.items.map { Views.skill($0) }, found.next, page)
            },
            Route(
                .post, path + "/upload", "Adds a skill from a zip archive: the form's `file`, with `name`, `description` and `version`.", access: .admin, buckets: [.provider],
                body: .raw(limit: SkillCatalogue.archiveBytes + (64 << 10)), idempotent: true, answers: [.created(Schemas.skill)], problems: [.alreadyExists, .unsupportedMediaType]
            ) { call in
                let form = try FormData(call)
                guard let file = form.files["file"], form.files.count == 1 else { throw Problem.invalid("file", "One zip archive is needed.") }
                let about = SkillShapes.about(try SkillShapes.upload.fields(of: .object(form.fields)))
                return created(try await services.skills.add(zip: file, about, by: call.by))
            },
            Route(
                .post, path + "/git", "Adds a skill from a public git repository; it is fetched once.", access: .admin, buckets: [.provider], body: .json(SkillShapes.git), idempotent: true,
                answers: [.created(Schemas.skill)], problems: [.alreadyExists, .invalidState, .upstreamFailed, .upstreamTimeout]
            ) { call in
                let fields = call.body
                return created(
                    try await services.skills.add(
                        git: fields["url"]?.string ?? "", ref: fields["ref"]?.string, path: fields["path"]?.string, SkillShapes.about(fields), by: call.by))
            },
            Route(.get, path + "/{skillId}", "A skill of the library.", access: .admin, answers: [.ok(Schemas.skill)], resource: someSkill) { _, skill in .json(Views.skill(skill)) },
            Route(.delete, path + "/{skillId}", "Removes a skill with its files, from the library and from every bot.", access: .admin, answers: [.noContent], resource: someSkill) { call, skill in
                try await services.skills.delete(skill, by: call.by)
                return .noContent
            },
        ]
            + Route.merge(
                path + "/{skillId}", "Changes what is said about a skill, or whether bots get it; its files stay as they are.", access: .admin, body: .json(SkillShapes.changes),
                answers: [.ok(Schemas.skill)], problems: [.invalidState], resource: someSkill) { call, skill in
                .json(Views.skill(try await services.skills.update(skill, call.body, by: call.by)))
            }
    }

    private func created(_ skill: Skill) -> Answer { .created(Views.skill(skill), at: "/api/admin/skills/\(skill.skillId.rawValue)") }

    private func someSkill(_ call: Call) async throws -> Skill {
        let id = call.parameter("skillId")
        guard ULID.isWellFormed(id) else { throw Problem.notFound }
        return try await services.skills.get(SkillID(id))
    }
}

enum SkillShapes {
    private typealias Field = Shape.Field
    private static let ref = TextRule.grammar("a branch or tag", pattern: "^[A-Za-z0-9][A-Za-z0-9._/-]{0,199}$") { text in
        guard let first = text.utf8.first, text.utf8.count <= 200, Characters.isDigit(first) || Characters.isLetter(first) else { return false }
        return Characters.all(text) { Characters.isWord($0) || $0 == 0x2e || $0 == 0x2f }
    }
    private static let folder = TextRule(bytes: 1...1024, verbatim: true, grammar: ("a path without . and .., such as skills/pdf", nil, { ObjectKey.isWellFormed($0) }))

    static let upload = Shape.record([
        Field("name", .text(.name(1...200)), required: true), Field("description", .text(.prose(0...2000))), Field("version", .text(.line(1...50))),
    ])
    static let git = Shape.record([
        Field("url", .text(.line(1...500)), required: true), Field("ref", .text(ref)), Field("path", .text(folder)),
        Field("name", .text(.name(1...200)), required: true), Field("description", .text(.prose(0...2000))), Field("version", .text(.line(1...50))),
    ])
    static let changes = Shape.record(
        [
            Field("name", .text(.name(1...200))), Field("description", .text(.prose(0...2000)), nullable: true), Field("version", .text(.line(1...50)), nullable: true),
            Field("status", .choice(Skill.Status.allCases.map(\.rawValue))),
        ], minimum: 1)
    static let selection = Shape.record([Field("skills", .list(.text(.line(1...64)), count: 0...BotSkills.most, unique: true), required: true)])

    static func about(_ fields: Document) -> SkillCatalogue.About {
        SkillCatalogue.About(
            name: fields["name"]?.string ?? "", description: fields["description"]?.string.flatMap { $0.isEmpty ? nil : $0 }, version: fields["version"]?.string)
    }
}

extension Schemas {
    private static let skillFields: [(String, Schema)] = [
        ("skillId", .text), ("name", .text), ("description", .text), ("version", .text), ("source", .choice(Skill.Source.allCases.map(\.rawValue))),
        ("directories", .list(.text)), ("fileCount", .integer), ("files", .list(.text)), ("status", .choice(Skill.Status.allCases.map(\.rawValue))),
        ("createdAt", .time), ("updatedAt", .time),
    ]
    static let skill = Schema.named("Skill", .object(skillFields + [("createdBy", .text)], optional: [("sourceUrl", .text)]))
    static let botSkill = Schema.named("BotSkill", .object(skillFields + [("enabled", .boolean)], optional: [("sourceUrl", .text)]))
    static let skillSelection = Schema.object([("skills", .list(.text))])
}

extension Views {
    /// - Parameter enabled: nil = for administrators.
    static func skill(_ skill: Skill, enabled: Bool? = nil) -> Value {
        .fields([
            "skillId": .string(skill.skillId.rawValue), "name": .string(skill.name), "description": .string(skill.description), "version": .string(skill.version),
            "source": .string(skill.source.rawValue), "sourceUrl": skill.sourceUrl.map(Value.string), "directories": .array(skill.directories.map(Value.string)),
            "fileCount": .int(skill.files.count), "files": .array(skill.files.map(Value.string)), "status": .string(skill.status.rawValue),
            "createdAt": .time(skill.createdAt), "updatedAt": .time(skill.updatedAt), "createdBy": enabled == nil ? .string(skill.createdBy.rawValue) : nil,
            "enabled": enabled.map(Value.bool),
        ])
    }
}
