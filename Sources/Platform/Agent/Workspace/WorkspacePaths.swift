/// Where an agent's files lie (AGENT.md §5).
public struct WorkspacePaths: Sendable, Hashable {
    /// The conversation's own files, and the working directory.
    public var group: String
    public var learnings: String
    /// The user's, read-only.
    public var shared: String
    /// The operator's read-only mounts.
    public var extra: String
    public var home: String
    /// The operator's memory, where there is one.
    public var policy: String?

    public init(
        group: String = "/workspace/group", learnings: String = "/workspace/learnings", shared: String = "/workspace/shared",
        extra: String = "/workspace/extra", home: String = "/home/agent", policy: String? = nil
    ) {
        self.group = group; self.learnings = learnings; self.shared = shared; self.extra = extra; self.home = home; self.policy = policy
    }

    /// The session's files: transcripts, the bot manual, skills.
    public var sessionFiles: String { home + "/.claude" }
    public var skills: String { sessionFiles + "/skills" }
    public var botManual: String { sessionFiles + "/CLAUDE.md" }
    public var groupMemory: String { group + "/CLAUDE.md" }
    public var sharedMemory: String { shared + "/CLAUDE.md" }
}
