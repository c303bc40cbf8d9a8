import Foundation
import Platform

/// The platform's library of skills: written by administrators, enabled per bot (``BotSkills``).
public struct SkillCatalogue: Sendable {
    /// Of an archive as sent (API.md §1.7).
    public static let archiveBytes = 10 << 20

    /// What an administrator says about a skill; the rest is in its archive.
    public struct About: Sendable {
        public var name: String
        public var description: String?
        public var version: String?
        public init(name: String, description: String? = nil, version: String? = nil) { self.name = name; self.description = description; self.version = version }
    }

    private let records: any RecordStore
    private let files: SkillFiles
    private let git: GitImport
    private let trail: AuditTrail
    private let time: any TimeSource

    public init(records: any RecordStore, objects: any ObjectStore, git: GitImport, time: any TimeSource = SystemTime()) {
        self.records = records; self.git = git; self.time = time
        files = SkillFiles(objects: objects)
        trail = AuditTrail(records: records)
    }

    /// By name; there are few.
    public func list(status: Skill.Status? = nil) async throws -> [Skill] {
        try await records.all(Skill.self, RecordQuery(Tables.skills, partition: "platform", limit: 100))
            .filter { status == nil || $0.status == status }.sorted { ($0.name, $0.skillId) < ($1.name, $1.skillId) }
    }

    public func get(_ id: SkillID) async throws -> Skill {
        guard let skill = try await records.get(Skill.self, Skill.key(id)) else { throw ManagementError.notFound }
        return skill
    }

    /// Takes an archive in.
    /// - Throws: ``ManagementError/invalid(_:)`` for the field `file`, ``ManagementError/alreadyExists(_:)`` when a directory of it is taken.
    public func add(zip data: Data, _ about: About, by: By) async throws -> Skill {
        guard data.count <= Self.archiveBytes else { throw ManagementError.tooLarge(limit: Self.archiveBytes) }
        return try await keep(try SkillPackage(zip: data, root: MCPDefinition.slug(of: about.name)), about, .zip, url: nil, by)
    }

    /// Fetches a repository once, and takes in what is at `ref` (absent: its default branch) below `path`.
    /// - Throws: also ``ManagementError/upstreamFailed(_:)``, ``ManagementError/upstreamTimeout(_:)``, and
    ///   ``ManagementError/invalidState(_:)`` where there is no git.
    public func add(git url: String, ref: String?, path: String?, _ about: About, by: By) async throws -> Skill {
        let data = try await git.archive(of: url, ref: ref)
        let root = path?.split(separator: "/").last.map(String.init) ?? MCPDefinition.slug(of: about.name)
        let package: SkillPackage
        do { package = try SkillPackage(zip: data, root: root, path: path) } catch ManagementError.invalid(let errors) {
            throw ManagementError.invalid(errors.map { FieldProblem(path == nil ? "url" : "path", $0.message) })
        }
        return try await keep(package, about, .git, url: url, by)
    }

    private func keep(_ package: SkillPackage, _ about: About, _ source: Skill.Source, url: String?, _ by: By) async throws -> Skill {
        let now = time.now()
        let skill = Skill(
            skillId: SkillID(ULID.make(at: now)), name: about.name, description: about.description ?? package.folders.first?.description ?? "", version: about.version ?? "1.0.0",
            source: source, sourceUrl: url, folders: package.folders, files: package.files.map(\.path), digest: package.digest,
            createdBy: by.userId ?? UserID(AuditEntry.system), at: now)
        // What is certainly taken is said before anything is stored; the transaction decides.
        for directory in skill.directories where try await records.get(Self.unique(directory)) != nil { throw Self.taken(directory) }
        do {
            try await files.store(package, as: skill.skillId)
            let names = skill.directories.map { RecordWrite.put(Self.unique($0), ["skillId": .string(skill.skillId.rawValue)], if: .recordAbsent) }
            try await trail.transact(names + [try skill.putting(if: .recordAbsent)], by.entry("skill.create", trail: AuditEntry.platform, target: skill.skillId.rawValue, at: now))
        } catch {
            try await files.delete(skill.skillId)
            guard case RecordStoreError.conditionFailed(let index, _) = error, skill.directories.indices.contains(index) else { throw error }
            throw Self.taken(skill.directories[index])
        }
        return skill
    }

    /// Merge update of what is said about it; its content stays what it is.
    public func update(_ old: Skill, _ fields: Document, by: By) async throws -> Skill {
        var skill = old
        if let name = fields["name"]?.string { skill.name = name }
        if let value = fields["description"] { skill.description = value.string ?? old.folders.first?.description ?? "" }
        if let value = fields["version"] { skill.version = value.string ?? "1.0.0" }
        if let status = fields["status"]?.string.flatMap(Skill.Status.init) { skill.status = status }
        skill.revision += 1
        skill.updatedAt = time.now()
        do {
            try await trail.transact(
                [try skill.putting(if: .equals("revision", .value(.int(old.revision))))],
                by.entry("skill.update", trail: AuditEntry.platform, target: skill.skillId.rawValue, at: skill.updatedAt))
        } catch RecordStoreError.conditionFailed(_, let current) {
            if current == nil { throw ManagementError.notFound }
            throw ManagementError.invalidState("The skill is being changed by someone else. Please try again.")
        }
        return skill
    }

    /// Its files are erased and its directories are free again; bots lose it.
    public func delete(_ skill: Skill, by: By) async throws {
        do {
            try await trail.transact(
                [.delete(skill.key, if: .recordExists)] + skill.directories.map { .delete(Self.unique($0)) },
                by.entry("skill.delete", trail: AuditEntry.platform, target: skill.skillId.rawValue, at: time.now()))
        } catch RecordStoreError.conditionFailed { throw ManagementError.notFound }
        try await files.delete(skill.skillId)
        // Rare, and an administrator's: no index for it. What a crash leaves behind names nothing any more.
        var cursor: String?
        repeat {
            let page = try await records.scan(Tables.bots, limit: 200, cursor: cursor)
            for record in page.records {
                guard let listed = record.document["skills"]?.array, listed.contains(.string(skill.skillId.rawValue)) else { continue }
                let rest = listed.filter { $0 != .string(skill.skillId.rawValue) }
                do {
                    try await records.update(record.key, [.set("skills", .array(rest)), .add("revision", 1)], if: .equals("skills", .value(.array(listed))))
                } catch RecordStoreError.conditionFailed { continue }
            }
            cursor = page.cursor
        } while cursor != nil
    }

    /// Its files are not what they were (SEC-96): nobody gets it any more.
    public func quarantine(_ id: SkillID) async throws {
        guard let skill = try await records.get(Skill.self, Skill.key(id)), skill.status == .active else { return }
        do {
            try await trail.transact(
                [.update(skill.key, [.set("status", "disabled"), .add("revision", 1)], if: .equals("status", "active"))],
                By.system.entry("skill.altered", trail: AuditEntry.platform, target: id.rawValue, at: time.now()))
        } catch RecordStoreError.conditionFailed { return }
    }

    private static func taken(_ directory: String) -> ManagementError { .alreadyExists("The library has a skill '\(directory)' already. Delete that one first, or rename the folder.") }
    private static func unique(_ directory: String) -> RecordKey { RecordKey(Tables.uniques, "skill/\(directory)", "unique") }
}
