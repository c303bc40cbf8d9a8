import Foundation
import Synchronization

/// Objects in memory, for tests. The etag is the content's SHA-256.
public final class InMemoryObjectStore: ObjectStore {
    private struct Object { var info: ObjectInfo; var content: Data }
    private let objects = Mutex<[ObjectKey: Object]>([:])
    private let time: any TimeSource
    /// Reads arrive in chunks of this size, as they do from a real store.
    private static let chunk = 64 * 1024

    public init(time: any TimeSource = SystemTime()) { self.time = time }

    public func head(_ key: ObjectKey) async throws -> ObjectInfo? { objects.withLock { $0[key]?.info } }

    public func get(_ key: ObjectKey, range: Range<Int>?) async throws -> ObjectContent? {
        guard let object = objects.withLock({ $0[key] }) else { return nil }
        guard let range else { return ObjectContent(info: object.info, body: Self.stream(object.content)) }
        let clamped = range.clamped(to: 0..<object.content.count)
        guard !clamped.isEmpty else { throw ObjectStoreError.rangeNotSatisfiable(size: object.content.count) }
        return ObjectContent(info: object.info, body: Self.stream(object.content.subdata(in: clamped)))
    }

    @discardableResult
    public func put(_ key: ObjectKey, _ body: ByteStream, contentType: String?, if condition: ObjectCondition?) async throws
        -> ObjectInfo
    {
        var content = Data()
        for try await chunk in body { content.append(chunk) }
        try Task.checkCancellation()
        let info = ObjectInfo(
            key: key, size: content.count, etag: Digest.sha256Hex(content), lastModified: time.now(), contentType: contentType)
        return try objects.withLock { objects in
            try Self.check(condition, objects[key]?.info)
            objects[key] = Object(info: info, content: content)
            return info
        }
    }

    public func delete(_ key: ObjectKey, if condition: ObjectCondition?) async throws {
        try objects.withLock { objects in
            try Self.check(condition, objects[key]?.info)
            objects[key] = nil
        }
    }

    public func deleteAll(_ prefix: String) async throws {
        guard prefix.hasSuffix("/"), ObjectKey.isWellFormedPrefix(prefix) else { throw ObjectStoreError.invalidKey(prefix) }
        objects.withLock { objects in objects = objects.filter { !$0.key.text.utf8.starts(with: prefix.utf8) } }
    }

    public func list(_ prefix: String, delimiter: String?, limit: Int, cursor: String?) async throws -> ObjectPage {
        guard ObjectKey.isWellFormedPrefix(prefix) else { throw ObjectStoreError.invalidKey(prefix) }
        let listing = ObjectListing(prefix: prefix, delimiter: delimiter)
        let after = try cursor.map { try listing.position($0) }
        let infos = objects.withLock { objects in objects.values.map(\.info).filter { $0.key.text.utf8.starts(with: prefix.utf8) }
        }
        return listing.page(infos.sorted { $0.key < $1.key }, after: after, limit: limit)
    }

    public func signedURL(_ key: ObjectKey, method: SignedMethod, expiresIn: Duration) async throws -> URL? { nil }
    public func localDirectory(_ prefix: String) async throws -> URL? { nil }
    public func localFile(_ key: ObjectKey) async throws -> URL? { nil }
    public func probe() async throws {}

    private static func check(_ condition: ObjectCondition?, _ current: ObjectInfo?) throws {
        let holds =
            switch condition {
            case nil: true
            case .absent: current == nil
            case .matches(let etag): current?.etag == etag
            }
        guard holds else { throw ObjectStoreError.conditionFailed(current: current) }
    }

    private static func stream(_ content: Data) -> ByteStream {
        let position = Mutex(0)
        return ByteStream {
            let start = position.withLock { start in
                defer { start += chunk }; return start
            }
            return start < content.count ? content.subdata(in: start..<min(content.count, start + chunk)) : nil
        }
    }
}
