import Foundation
import Platform

/// Files under a bot's own root. Every key goes through ``key(_:of:)``, so list, read, write and delete share one check (SEC-34).
public struct FileService: Sendable {
    public enum Entry: Sendable, Hashable {
        case folder(key: String)
        case file(key: String, ObjectInfo)
    }
    /// 100 MiB.
    public static let maximumBytes = 100 << 20

    private let objects: any ObjectStore
    public init(objects: any ObjectStore) { self.objects = objects }

    /// The full object key of a file. Throws `invalid` for a malformed one, `notFound` for what is not part of the files.
    public func key(_ relative: String, of bot: Bot, field: String = "query.key") throws -> ObjectKey {
        let root = ObjectLayout(userId: bot.userId, botId: bot.botId).botRoot
        guard ObjectKey.isWellFormed(relative), let key = try? ObjectKey(checking: root + relative), key.text.hasPrefix(root) else {
            throw ManagementError.invalid(field, "Not a file key: relative, without empty, . or .. segments, at most 1024 bytes.")
        }
        guard !Self.isHidden(relative) else { throw ManagementError.notFound }
        return key
    }

    /// One level under `prefix` (empty, or a key and `/`), files and folders in byte order.
    public func list(_ bot: Bot, prefix: String, limit: Int, cursor: String?) async throws -> (items: [Entry], cursor: String?) {
        let root = ObjectLayout(userId: bot.userId, botId: bot.botId).botRoot
        guard prefix.isEmpty || (prefix.hasSuffix("/") && ObjectKey.isWellFormed(String(prefix.dropLast()))) else {
            throw ManagementError.invalid("query.prefix", "Empty, or a file key that ends in one slash.")
        }
        guard !Self.isHidden(prefix) else { throw ManagementError.notFound }
        do {
            let page = try await objects.list(root + prefix, delimiter: "/", limit: limit, cursor: cursor)
            let items: [Entry] = page.entries.compactMap { entry in
                switch entry {
                case .folder(let full):
                    let key = String(full.dropFirst(root.count))
                    return Self.isHidden(key) ? nil : .folder(key: key)
                case .object(let info): return .file(key: String(info.key.text.dropFirst(root.count)), info)
                }
            }
            return (items, page.cursor)
        } catch ObjectStoreError.invalidKey {
            throw ManagementError.invalid("query.prefix", "Empty, or a file key that ends in one slash.")
        }
    }

    public func head(_ bot: Bot, _ relative: String) async throws -> ObjectInfo {
        guard let info = try await mapped({ try await objects.head(try key(relative, of: bot)) }) else { throw ManagementError.notFound }
        return info
    }

    public func get(_ bot: Bot, _ relative: String, range: Range<Int>? = nil) async throws -> ObjectContent {
        guard let content = try await mapped({ try await objects.get(try key(relative, of: bot), range: range) }) else { throw ManagementError.notFound }
        return content
    }

    /// Writes whole or not at all; the stream is cut past the limit.
    public func put(_ bot: Bot, _ relative: String, _ body: ByteStream, contentType: String?, if condition: ObjectCondition?) async throws
        -> (info: ObjectInfo, created: Bool)
    {
        let key = try key(relative, of: bot)
        let existed = try await mapped { try await objects.head(key) } != nil
        let info = try await mapped { try await objects.put(key, body, contentType: contentType, if: condition) }
        return (info, !existed)
    }

    public func delete(_ bot: Bot, _ relative: String, if condition: ObjectCondition?) async throws {
        let key = try key(relative, of: bot)
        guard try await mapped({ try await objects.head(key) }) != nil else { throw ManagementError.notFound }
        try await mapped { try await objects.delete(key, if: condition) }
    }

    private static func isHidden(_ relative: String) -> Bool {
        ["records", "versions"].contains { relative == $0 || relative.hasPrefix($0 + "/") }
    }

    private func mapped<T>(_ work: () async throws -> T) async throws -> T {
        do { return try await work() }
        catch ObjectStoreError.conditionFailed { throw ManagementError.preconditionFailed }
        catch ObjectStoreError.rangeNotSatisfiable(let size) { throw ManagementError.rangeNotSatisfiable(size: size) }
        catch ObjectStoreError.invalidKey { throw ManagementError.invalid("query.key", "Not a file key.") }
        catch ObjectStoreError.notFound { throw ManagementError.notFound }
        catch ObjectStoreError.tooLarge(let limit) { throw ManagementError.tooLarge(limit: limit) }
    }
}
