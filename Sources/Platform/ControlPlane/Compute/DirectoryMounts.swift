import Foundation
import Platform

/// The mounts of AGENT.md §5 from an object store that is a directory: nothing is copied, the agent works on the objects themselves.
public struct DirectoryMounts: SessionMounts {
    private let objects: any ObjectStore
    private let altered: @Sendable (SkillID) async throws -> Void

    /// - Parameter altered: told of a skill whose files are not what they were; it is left out.
    public init(objects: any ObjectStore, altered: @escaping @Sendable (SkillID) async throws -> Void = { _ in }) { self.objects = objects; self.altered = altered }

    public func mounts(for invocation: InvocationPayload) async throws -> [LaunchRequest.Mount] {
        let layout = ObjectLayout(userId: invocation.userId, botId: invocation.botId)
        let group = invocation.groupJid
        let memoryWritable = invocation.memoryWritable ?? true
        var mounts = [
            try await directory(layout.workspace(group), "/workspace/group", writable: true),
            try await directory(layout.learnings, "/workspace/learnings", writable: memoryWritable),
            try await directory(layout.sharedRoot, "/workspace/shared", writable: false),
            try await directory(layout.attachments(group), "/workspace/attachments", writable: false),
            try await directory(layout.sessions(group), "/home/agent/.claude", writable: true),
        ]
        // A file can only be mounted where there is one. An empty manual is filled from the template by the agent's first run.
        let manual = try ObjectKey(checking: layout.botMemory)
        do { try await objects.put(manual, Data(), contentType: "text/markdown", if: .absent) } catch ObjectStoreError.conditionFailed {}
        guard let file = try await objects.localFile(manual) else { throw ComputeError.launchFailed("the object store has no local files") }
        mounts.append(.init(source: file.path, target: "/home/agent/.claude/CLAUDE.md", writable: memoryWritable))
        return mounts + (try await skills(invocation.skills ?? []))
    }

    private static let skillsTarget = "/home/agent/.claude/skills"
    /// Empty folders that skills are mounted over. No skill has such an id.
    private static let points = "skills/points/"

    /// Always a read-only directory, also without skills: what an agent leaves there in its session's files must not be one (SEC-68).
    private func skills(_ uses: [SkillUse]) async throws -> [LaunchRequest.Mount] {
        let files = SkillFiles(objects: objects)
        var mounts: [LaunchRequest.Mount] = []
        for use in uses {
            guard try await files.isIntact(use.skillId, digest: use.digest) else {
                try await altered(use.skillId)
                continue
            }
            for name in use.directories { mounts.append(try await directory("\(Skill.prefix(use.skillId))\(name)/", "\(Self.skillsTarget)/\(name)", writable: false)) }
        }
        let names = mounts.map(\.target).sorted().joined(separator: "\n")
        return [try await directory("\(Self.points)\(Digest.sha256Hex(names).prefix(32))/", Self.skillsTarget, writable: false)] + mounts
    }

    private func directory(_ prefix: String, _ target: String, writable: Bool) async throws -> LaunchRequest.Mount {
        guard let url = try await objects.localDirectory(prefix) else {
            throw ComputeError.launchFailed("this compute mounts directories, and the configured object store is not one")
        }
        return .init(source: url.path, target: target, writable: writable)
    }
}
