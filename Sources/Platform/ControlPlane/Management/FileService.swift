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

    /// The store's own link, where it makes any. The key comes from ``key(_:of:field:)`` or ``head(_:_:)``.
    public func signedURL(_ key: ObjectKey, method: SignedMethod, expiresIn: Duration) async throws -> URL? {
        try await objects.signedURL(key, method: method, expiresIn: expiresIn)
    }

    /// What a person is shown of a file without downloading it.
    public struct Preview: Sendable {
        public enum Kind: String, Sendable, CaseIterable { case text, markdown, html, image, binary }
        public var info: ObjectInfo
        public var kind: Kind
        /// Of kinds that are text, when it is valid UTF-8: at most ``previewBytes``, ending between two scalars.
        public var text: String?
        public var isTruncated: Bool
    }
    /// 1 MiB.
    public static let previewBytes = 1 << 20

    public func preview(_ bot: Bot, _ relative: String) async throws -> Preview {
        let content = try await get(bot, relative)
        let name = content.info.key.name.lowercased(), type = content.info.contentType?.lowercased() ?? ""
        func ends(_ endings: String...) -> Bool { endings.contains { name.hasSuffix("." + $0) } }
        let kind: Preview.Kind = if ends("md", "markdown") || type.hasPrefix("text/markdown") { .markdown }
            else if ends("html", "htm", "xhtml") || type.hasPrefix("text/html") || type.hasPrefix("application/xhtml") { .html }
            else if ends("png", "jpg", "jpeg", "gif", "webp", "bmp") { .image } else { .text }
        if kind == .image { return Preview(info: content.info, kind: .image, text: nil, isTruncated: false) }
        var data = Data()
        for try await chunk in content.body {
            data.append(chunk)
            if data.count > Self.previewBytes { break }
        }
        let isTruncated = data.count > Self.previewBytes
        if isTruncated { data = data.prefix(Self.previewBytes) }
        // A scalar that the cut goes through is left out.
        if isTruncated, let start = data.lastIndex(where: { $0 & 0xc0 != 0x80 }), data[start] >= 0xc0 {
            let length = data[start] >= 0xf0 ? 4 : data[start] >= 0xe0 ? 3 : 2
            if data.endIndex - start < length { data = data[..<start] }
        }
        guard !data.contains(0), let text = String(validating: data, as: UTF8.self) else {
            return Preview(info: content.info, kind: .binary, text: nil, isTruncated: false)
        }
        return Preview(info: content.info, kind: kind, text: text, isTruncated: isTruncated)
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
