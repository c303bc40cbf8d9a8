import Foundation
import Platform
import Synchronization

/// Earlier contents of memory: the last 50 of each `CLAUDE.md`, written by its owner or left by an agent (API.md §3.6).
///
/// A version is one object whose name says all about it, so that a list costs one listing:
/// `{versionId}.{owner|agent}.{invocationId|-}.{mark of the memory's etag}.md`.
public struct MemoryHistory: Sendable {
    public enum Author: Sendable, Hashable {
        case owner
        /// Nil where it is not known any more which run wrote it.
        case agent(InvocationID?)
    }
    public struct Version: Sendable, Hashable {
        /// Sorts by time.
        public var id: String
        public var author: Author
        public var size: Int
        public var createdAt: Date { ULID.time(of: id) ?? .distantPast }
        fileprivate var mark: String
        fileprivate var key: ObjectKey
    }

    public static let kept = 50
    private let objects: any ObjectStore
    private let time: any TimeSource
    private let state = State()

    /// What is shared by all copies: writers of one memory take turns, and an etag that was seen needs no second look.
    private final class State: Sendable {
        let turns = KeyedTurns<MemoryService.Place>()
        let known = Mutex<[MemoryService.Place: String]>([:])
        private static let capacity = 10_000
        func remember(_ etag: String, of place: MemoryService.Place) {
            known.withLock {
                if $0.count >= Self.capacity { $0.removeAll(keepingCapacity: true) }
                $0[place] = etag
            }
        }
    }

    public init(objects: any ObjectStore, time: any TimeSource = SystemTime()) { self.objects = objects; self.time = time }

    /// Newest first.
    public func versions(_ place: MemoryService.Place) async throws -> [Version] {
        var found: [Version] = [], cursor: String?
        repeat {
            let page = try await objects.list(place.versions, delimiter: nil, limit: 200, cursor: cursor)
            found += page.entries.compactMap { if case .object(let info) = $0 { Self.read(info) } else { nil } }
            cursor = page.cursor
        } while cursor != nil
        return found.reversed()
    }

    /// - Throws: ``ManagementError/notFound``
    public func version(_ place: MemoryService.Place, _ id: String) async throws -> (version: Version, text: String) {
        guard ULID.isWellFormed(id) else { throw ManagementError.notFound }
        let page = try await objects.list(place.versions, delimiter: nil, limit: 200, cursor: nil)
        for case .object(let info) in page.entries {
            guard let version = Self.read(info), version.id == id, let content = try await objects.get(version.key, range: nil) else { continue }
            return (version, String(decoding: try await Self.collect(content.body), as: UTF8.self))
        }
        throw ManagementError.notFound
    }

    /// Takes a version of what a run left behind, if it left something new. The etag is compared first: mostly nothing changed.
    public func settled(_ session: SessionKey, of user: UserID, _ invocation: InvocationID) async throws {
        for place in [MemoryService.Place.group(user, session), .bot(user, session.botId)] {
            try await state.turns.take(place) { try await keepPresent(place, .agent(invocation)) }
        }
    }

    /// Runs an owner's write. What lies there from an agent and was not kept yet is kept before it is gone.
    func writing(_ place: MemoryService.Place, _ content: Data, _ write: @Sendable () async throws -> ObjectInfo) async throws -> ObjectInfo {
        try await state.turns.take(place) {
            try await keepPresent(place, .agent(nil))
            let info = try await write()
            do { try await keep(content, of: place, etag: info.etag, .owner) } catch {
                // The memory itself is written and that is what was asked for; the next look at it keeps what is missing here.
                state.known.withLock { $0[place] = nil }
            }
            return info
        }
    }

    private func keepPresent(_ place: MemoryService.Place, _ author: Author) async throws {
        guard let present = try await objects.head(try ObjectKey(checking: place.key)), state.known.withLock({ $0[place] }) != present.etag else { return }
        let newest = try await versions(place).first
        if let newest, newest.mark == Self.mark(present.etag) { return state.remember(present.etag, of: place) }
        guard let object = try await objects.get(present.key, range: nil) else { return }
        let content = try await Self.collect(object.body)
        // An empty file is how a mount begins, not something that anybody wrote.
        if newest == nil && content.isEmpty { return state.remember(object.info.etag, of: place) }
        if let newest, newest.size == content.count, let old = try await objects.get(newest.key, range: nil), try await Self.collect(old.body) == content {
            return state.remember(object.info.etag, of: place)
        }
        try await keep(content, of: place, etag: object.info.etag, author)
    }

    private func keep(_ content: Data, of place: MemoryService.Place, etag: String, _ author: Author) async throws {
        let all = try await versions(place)
        // Ids rise, also when the clock does not.
        let last = all.first?.createdAt ?? .distantPast
        // One and a half: a sum of fractions may fall short of the next millisecond.
        let id = ULID.make(at: max(time.now(), last + 0.0015))
        let (word, invocation) = switch author {
        case .owner: ("owner", "-")
        case .agent(let invocation): ("agent", invocation?.rawValue ?? "-")
        }
        let key = try ObjectKey(checking: "\(place.versions)\(id).\(word).\(invocation).\(Self.mark(etag)).md")
        try await objects.put(key, content, contentType: "text/markdown; charset=utf-8", if: nil)
        for old in all.dropFirst(Self.kept - 1) { try await objects.delete(old.key, if: nil) }
        state.remember(etag, of: place)
    }

    private static func mark(_ etag: String) -> String { String(Digest.sha256Hex(etag).prefix(16)) }

    private static func read(_ info: ObjectInfo) -> Version? {
        let parts = info.key.name.split(separator: ".").map(String.init)
        guard parts.count == 5, ULID.isWellFormed(parts[0]), parts[1] == "owner" || parts[1] == "agent" else { return nil }
        let author: Author = parts[1] == "owner" ? .owner : .agent(parts[2] == "-" ? nil : InvocationID(parts[2]))
        return Version(id: parts[0], author: author, size: info.size, mark: parts[3], key: info.key)
    }

    /// An agent may have made it larger than a person could: kept up to the limit.
    private static func collect(_ body: ByteStream) async throws -> Data {
        var data = Data()
        for try await chunk in body {
            data.append(chunk)
            if data.count > MemoryService.maximumBytes { break }
        }
        return data.prefix(MemoryService.maximumBytes)
    }
}
