import Crypto
import Foundation
import Platform

/// The files of skills in the object store.
public struct SkillFiles: Sendable {
    private let objects: any ObjectStore
    public init(objects: any ObjectStore) { self.objects = objects }

    func store(_ package: SkillPackage, as id: SkillID) async throws {
        for file in package.files { try await objects.put(try ObjectKey(checking: Skill.prefix(id) + file.path), file.content, if: .absent) }
    }

    func delete(_ id: SkillID) async throws { try await objects.deleteAll(Skill.prefix(id)) }

    /// Whether every byte is as it was when the skill was made, and nothing was added (SEC-96).
    public func isIntact(_ id: SkillID, digest expected: String) async throws -> Bool {
        let prefix = Skill.prefix(id)
        var digest = SkillDigest(), cursor: String?
        repeat {
            let page = try await objects.list(prefix, delimiter: nil, limit: 500, cursor: cursor)
            for case .object(let info) in page.entries {
                guard let content = try await objects.get(info.key, range: nil) else { return false }
                var hash = SHA256()
                for try await chunk in content.body { hash.update(data: chunk) }
                digest.add(String(info.key.text.dropFirst(prefix.count)), sha256: Digest.hex(hash.finalize()))
            }
            cursor = page.cursor
        } while cursor != nil
        return digest.text == expected
    }
}
