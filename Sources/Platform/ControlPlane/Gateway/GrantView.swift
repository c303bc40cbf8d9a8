import Platform

/// Which objects a grant reaches: its own tenant, bot and conversation, and of those the parts that SECURITY.md §3.3 and §3.5
/// name. The same table renders session policies elsewhere.
public struct GrantView: Sendable, Hashable {
    public enum Verb: Sendable { case read, write }
    /// Prefixes (ending in `/`) or whole keys.
    public let writable: [String]
    public let readable: [String]

    public init(_ grant: Grant) {
        let layout = ObjectLayout(userId: grant.userId, botId: grant.botId), group = grant.groupJid
        let own = [layout.sessions(group), layout.workspace(group), layout.attachments(group)]
        let memory = [layout.learnings, layout.botMemory]
        writable = grant.memoryWritable ? own + memory : own
        readable = writable + (grant.memoryWritable ? [] : memory) + [layout.sharedRoot, "skills/"]
    }

    /// Whether a key may be used so. Only well-formed keys come here, so no segment climbs.
    public func allows(_ verb: Verb, _ key: ObjectKey) -> Bool { Self.covers(verb == .read ? readable : writable, key.text) }

    /// Whether everything under the prefix is readable. A prefix above the grant's own is not, nor is one without its slash,
    /// which would also match the neighbour whose name goes on.
    public func allowsListing(_ prefix: String) -> Bool {
        guard prefix.hasSuffix("/") || readable.contains(prefix), ObjectKey.isWellFormed(prefix.hasSuffix("/") ? String(prefix.dropLast()) : prefix)
        else { return false }
        return Self.covers(readable, prefix)
    }

    private static func covers(_ prefixes: [String], _ key: String) -> Bool {
        prefixes.contains { $0.hasSuffix("/") ? key.utf8.starts(with: $0.utf8) : key.utf8.elementsEqual($0.utf8) }
    }
}
