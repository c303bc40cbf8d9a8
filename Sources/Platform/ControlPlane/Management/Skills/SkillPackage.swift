import Crypto
import Foundation
import Platform

/// The skills of an archive: every folder that has a `SKILL.md`, with all that lies in it. What lies outside of them is left out.
///
/// An archive may hold one skill at its top (`SKILL.md`, `scripts/…`), or folders of skills at any depth (`repository-main/skills/pdf/SKILL.md`).
/// - Note: A `SKILL.md` further down in a skill's folder is one of its files.
struct SkillPackage: Sendable {
    /// As many as one archive may hold: their names are claimed in one transaction.
    static let mostFolders = 20
    /// What the agent reads of a `SKILL.md` (its `SkillLibrary`).
    static let manualBytes = 200_000

    struct File: Sendable {
        /// Begins with its skill's directory.
        var path: String
        var content: Data
    }
    private(set) var folders: [Skill.Folder] = []
    /// Sorted by path.
    private(set) var files: [File] = []

    var digest: String {
        var digest = SkillDigest()
        for file in files { digest.add(file.path, sha256: Digest.sha256Hex(file.content)) }
        return digest.text
    }

    /// - Parameters:
    ///   - root: the directory of a skill that lies at the top of the archive, where it has no folder to be called after.
    ///   - path: only what is below this folder.
    /// - Throws: ``ManagementError/invalid(_:)`` with the field `file` and a sentence.
    init(zip data: Data, root: String, path: String? = nil) throws {
        do throws(ZipArchive.Refusal) {
            let archive = try ZipArchive(data)
            let names = archive.files.filter { !Self.isLitter($0.name) }.compactMap { file -> (ZipArchive.File, String)? in
                guard let path else { return (file, file.name) }
                return file.name.hasPrefix(path + "/") ? (file, String(file.name.dropFirst(path.utf8.count + 1))) : nil
            }
            var homes: [String: String] = [:]
            for (_, name) in names where name == "SKILL.md" || name.hasSuffix("/SKILL.md") {
                let home = name.split(separator: "/").dropLast().joined(separator: "/")
                homes[home] = home.split(separator: "/").last.map(String.init) ?? root
            }
            // The outermost ones are skills.
            let outer = homes.keys.filter { home in !homes.keys.contains { $0 != home && ($0.isEmpty || home.hasPrefix($0 + "/")) } }.sorted()
            guard !outer.isEmpty else { throw ZipArchive.Refusal(sentence: "There is no SKILL.md in it.") }
            guard outer.count <= Self.mostFolders else { throw ZipArchive.Refusal(sentence: "It holds more than \(Self.mostFolders) skills.") }
            for home in outer {
                let directory = homes[home] ?? root
                guard Skill.isDirectory(directory) else {
                    throw ZipArchive.Refusal(sentence: "The folder '\(directory.prefix(80))' of a skill must be called by lower-case letters, digits, _ and -.")
                }
                guard !folders.contains(where: { $0.directory == directory }) else { throw ZipArchive.Refusal(sentence: "Two skills in it are called '\(directory)'.") }
                for (file, name) in names where home.isEmpty || name.hasPrefix(home + "/") {
                    let inner = home.isEmpty ? name : String(name.dropFirst(home.utf8.count + 1))
                    let content = try archive.content(of: file)
                    files.append(File(path: "\(directory)/\(inner)", content: content))
                    if inner == "SKILL.md" { folders.append(Skill.Folder(directory: directory, description: try Self.description(content, directory))) }
                }
            }
        } catch {
            throw ManagementError.invalid("file", error.description)
        }
        files.sort { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
    }

    private static func description(_ content: Data, _ directory: String) throws(ZipArchive.Refusal) -> String {
        guard content.count <= manualBytes else { throw ZipArchive.Refusal(sentence: "The SKILL.md of '\(directory)' is larger than \(manualBytes / 1000) kB.") }
        guard let text = String(validating: content, as: UTF8.self) else { throw ZipArchive.Refusal(sentence: "The SKILL.md of '\(directory)' is not UTF-8 text.") }
        let head = FrontMatter(text).fields
        for field in ["name", "description"] where head[field]?.allSatisfy(\.isWhitespace) ?? true {
            throw ZipArchive.Refusal(sentence: "The SKILL.md of '\(directory)' has no \(field) in its front matter.")
        }
        return String((head["description"] ?? "").prefix(1024))
    }

    /// What systems and tools leave in archives.
    private static func isLitter(_ name: String) -> Bool {
        let parts = name.split(separator: "/")
        return parts.contains { $0 == "__MACOSX" || $0 == ".git" || $0 == ".DS_Store" }
    }
}


/// A digest over files in the order of their paths, each with the length of its path, so that none can borrow from its neighbour.
struct SkillDigest {
    private var hash = SHA256()
    mutating func add(_ path: String, sha256: String) { hash.update(data: Data("\(path.utf8.count):\(path):\(sha256)\n".utf8)) }
    var text: String { Digest.hex(hash.finalize()) }
}
