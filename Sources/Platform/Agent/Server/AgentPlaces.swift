import Foundation
import Platform

/// Where the directories of AGENT.md §5 are for this process: at their own paths inside a sandbox; wherever the launcher says without one.
public struct AgentPlaces: Sendable {
    public var paths: WorkspacePaths
    /// What people sent in this conversation, read-only.
    public var attachments: String
    /// Directories that lie elsewhere than models are told: usual path and real one.
    public var moved: [(usual: String, real: String)] = []

    public init(paths: WorkspacePaths = WorkspacePaths(), attachments: String = "/workspace/attachments") {
        self.paths = paths; self.attachments = attachments
    }

    private static let sessionFiles = "/home/agent/.claude"

    /// - Parameters:
    ///   - mounts: `CLAWBOT_MOUNTS`, usual path → real one; empty inside a sandbox.
    ///   - home: the home directory, writable.
    init(mounts: [String: String], home: String, policy: String?) {
        func place(_ usual: String) -> String { mounts[usual] ?? usual }
        self.init(
            paths: WorkspacePaths(
                group: place("/workspace/group"), learnings: place("/workspace/learnings"), shared: place("/workspace/shared"),
                extra: place("/workspace/extra"), home: home, policy: policy),
            attachments: place("/workspace/attachments"))
        moved = mounts.filter { $0.key.hasPrefix("/workspace/") && $0.key != $0.value }.map { (usual: $0.key, real: $0.value) }.sorted { $0.usual < $1.usual }
        sessionSource = mounts[Self.sessionFiles]
        manualSource = mounts[Self.sessionFiles + "/CLAUDE.md"]
        let below = Self.sessionFiles + "/skills/"
        skillSources = mounts.filter { $0.key.hasPrefix(below) }.map { (name: String($0.key.dropFirst(below.count)), real: $0.value) }.sorted { $0.name < $1.name }
    }
    private var sessionSource: String?
    private var manualSource: String?
    private var skillSources: [(name: String, real: String)] = []

    /// Without mounts the session's files are linked into the home directory: the transcripts, and the manual, which is stored elsewhere.
    func prepare() throws {
        let files = FileManager.default
        guard let sessionSource, sessionSource != paths.sessionFiles else { return }
        try files.createDirectory(atPath: paths.sessionFiles, withIntermediateDirectories: true)
        let transcripts = sessionSource + "/transcripts"
        try files.createDirectory(atPath: transcripts, withIntermediateDirectories: true)
        try link(paths.sessionFiles + "/transcripts", to: transcripts)
        if let manualSource { try link(paths.botManual, to: manualSource) }
        try? files.removeItem(atPath: paths.skills)
        try files.createDirectory(atPath: paths.skills, withIntermediateDirectories: true)
        for (name, real) in skillSources { try link("\(paths.skills)/\(name)", to: real) }
    }

    private func link(_ path: String, to target: String) throws {
        guard (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) != target else { return }
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
    }
}
