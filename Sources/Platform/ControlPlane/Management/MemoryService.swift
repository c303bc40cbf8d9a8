import Foundation
import Platform

/// The `CLAUDE.md` files: one shared by a user's bots, one per bot, one per conversation.
public struct MemoryService: Sendable {
    public enum Place: Sendable, Hashable {
        case shared(UserID)
        case bot(UserID, BotID)
        case group(UserID, SessionKey)

        var key: String {
            switch self {
            case .shared(let user): ObjectLayout(userId: user, botId: BotID("-")).sharedMemory
            case .bot(let user, let bot): ObjectLayout(userId: user, botId: bot).botMemory
            case .group(let user, let session): ObjectLayout(userId: user, botId: session.botId).groupMemory(session.groupJid)
            }
        }
        /// Where its earlier contents lie.
        var versions: String {
            switch self {
            case .shared(let user): ObjectLayout(userId: user, botId: BotID("-")).sharedVersions
            case .bot(let user, let bot): ObjectLayout(userId: user, botId: bot).botVersions
            case .group(let user, let session): ObjectLayout(userId: user, botId: session.botId).groupVersions(session.groupJid)
            }
        }
    }
    public struct Content: Sendable, Hashable {
        public var text: String
        public var etag: String
        public var updatedAt: Date?
    }
    /// What the writer claims to know about the present content.
    public enum Expectation: Sendable, Hashable { case anything, matches(etag: String), absent }

    /// Bytes of UTF-8.
    public static let maximumBytes = 102_400
    /// The etag of memory that was never written; `If-Match` with it means "still absent".
    public static let absentTag = "absent"

    public let history: MemoryHistory
    private let objects: any ObjectStore
    private let notices: ManagementNotices
    public init(objects: any ObjectStore, history: MemoryHistory, notices: ManagementNotices = ManagementNotices()) {
        self.objects = objects; self.history = history; self.notices = notices
    }

    public func read(_ place: Place) async throws -> Content {
        guard let object = try await objects.get(try ObjectKey(checking: place.key), range: nil) else {
            return Content(text: "", etag: Self.absentTag, updatedAt: nil)
        }
        var data = Data()
        for try await chunk in object.body {
            data.append(chunk)
            // An agent may have made it larger than a person could: shown up to the limit.
            if data.count > Self.maximumBytes { break }
        }
        return Content(text: String(decoding: data.prefix(Self.maximumBytes), as: UTF8.self), etag: object.info.etag, updatedAt: object.info.lastModified)
    }

    public func write(_ place: Place, _ text: String, expecting: Expectation) async throws -> Content {
        let data = Data(text.utf8)
        guard data.count <= Self.maximumBytes else { throw ManagementError.invalid("content", "At most \(Self.maximumBytes) bytes.") }
        let condition: ObjectCondition? = switch expecting {
        case .anything: nil
        case .absent, .matches(Self.absentTag): .absent
        case .matches(let etag): .matches(etag: etag)
        }
        do {
            let key = try ObjectKey(checking: place.key)
            let info = try await history.writing(place, data) {
                try await objects.put(key, data, contentType: "text/markdown; charset=utf-8", if: condition)
            }
            switch place {
            case .shared(let user): await notices.memoryChanged(user, nil, nil)
            case .bot(let user, let bot): await notices.memoryChanged(user, bot, nil)
            case .group(let user, let session): await notices.memoryChanged(user, session.botId, session.groupJid)
            }
            return Content(text: text, etag: info.etag, updatedAt: info.lastModified)
        } catch ObjectStoreError.conditionFailed {
            throw ManagementError.preconditionFailed
        }
    }
}
