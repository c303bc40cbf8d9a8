import Foundation
import Platform

/// The mounts of AGENT.md §5 from an object store that is a directory: nothing is copied, the agent works on the objects themselves.
public struct DirectoryMounts: SessionMounts {
    private let objects: any ObjectStore
    public init(objects: any ObjectStore) { self.objects = objects }

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
        return mounts
    }

    private func directory(_ prefix: String, _ target: String, writable: Bool) async throws -> LaunchRequest.Mount {
        guard let url = try await objects.localDirectory(prefix) else {
            throw ComputeError.launchFailed("this compute mounts directories, and the configured object store is not one")
        }
        return .init(source: url.path, target: target, writable: writable)
    }
}
