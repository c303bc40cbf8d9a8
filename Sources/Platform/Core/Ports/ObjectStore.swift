import Foundation

/// Bytes by key. A failed put leaves the old object whole; the etag changes when the content does.
public protocol ObjectStore: Sendable {
    func head(_ key: ObjectKey) async throws -> ObjectInfo?
    /// `nil` when absent. `range` is clamped to the object; an empty or inverted one is `rangeNotSatisfiable`.
    func get(_ key: ObjectKey, range: Range<Int>?) async throws -> ObjectContent?
    /// Replaces the object whole once the stream has ended well.
    @discardableResult
    func put(_ key: ObjectKey, _ body: ByteStream, contentType: String?, if condition: ObjectCondition?) async throws -> ObjectInfo
    func delete(_ key: ObjectKey, if condition: ObjectCondition?) async throws
    /// Deletes everything under the prefix (which ends in `/`).
    func deleteAll(_ prefix: String) async throws
    /// In byte order of the key. With a delimiter, keys that share a segment are folded into one folder entry.
    func list(_ prefix: String, delimiter: String?, limit: Int, cursor: String?) async throws -> ObjectPage
    /// A link that expires, where the store can make one.
    func signedURL(_ key: ObjectKey, method: SignedMethod, expiresIn: Duration) async throws -> URL?
    /// Where a store is a directory: the directory of that prefix (created if absent), for mounting. Else nil.
    func localDirectory(_ prefix: String) async throws -> URL?
    /// Where a store is a directory: the file of that key, for mounting. Else nil. Does not create it.
    func localFile(_ key: ObjectKey) async throws -> URL?
    func probe() async throws
}

/// Chunks of bytes, pulled by the reader.
public typealias ByteStream = AsyncThrowingStream<Data, any Error>

public enum SignedMethod: Sendable, Hashable {
    /// What the store shall answer with, whatever the object was stored as: tenants' bytes must not become active content (SEC-97).
    case get(contentType: String, disposition: String)
    case put(contentType: String, size: Int)
}

public enum ObjectCondition: Sendable, Hashable {
    case matches(etag: String)
    case absent
}

public struct ObjectInfo: Sendable, Hashable {
    public var key: ObjectKey
    public var size: Int
    public var etag: String
    public var lastModified: Date
    public var contentType: String?
    public init(key: ObjectKey, size: Int, etag: String, lastModified: Date, contentType: String? = nil) {
        self.key = key; self.size = size; self.etag = etag; self.lastModified = lastModified; self.contentType = contentType
    }
}

public struct ObjectContent: Sendable {
    public var info: ObjectInfo
    public var body: ByteStream
    public init(info: ObjectInfo, body: ByteStream) { self.info = info; self.body = body }
}

public struct ObjectPage: Sendable {
    public enum Entry: Sendable, Hashable {
        case object(ObjectInfo)
        /// A folded folder, its prefix ending in the delimiter.
        case folder(String)
    }
    public var entries: [Entry]
    public var cursor: String?
    public init(entries: [Entry], cursor: String?) { self.entries = entries; self.cursor = cursor }
}

public enum ObjectStoreError: Error, Sendable {
    case conditionFailed(current: ObjectInfo?)
    case rangeNotSatisfiable(size: Int)
    /// The key or prefix does not follow API.md §1.2, or the path meets a link or a device.
    case invalidKey(String)
    case notFound
    case tooLarge(limit: Int)
    case unavailable(String)
}

/// A checked object key: relative, NFC, `/`-separated, no empty, `.` or `..` segment, no `\`, no control character (SEC-34).
public struct ObjectKey: Hashable, Sendable, Comparable, CustomStringConvertible, Codable {
    public let text: String

    public init(checking text: String) throws {
        guard Self.isWellFormed(text) else { throw ObjectStoreError.invalidKey(text) }
        self.text = text
    }
    public init(from decoder: any Decoder) throws { try self.init(checking: decoder.singleValueContainer().decode(String.self)) }
    public func encode(to encoder: any Encoder) throws { var box = encoder.singleValueContainer(); try box.encode(text) }
    public var description: String { text }
    public static func < (a: ObjectKey, b: ObjectKey) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }
    /// The last segment.
    public var name: String { String(text[(text.lastIndex(of: "/").map(text.index(after:)) ?? text.startIndex)...]) }

    public static func isWellFormed(_ text: String) -> Bool {
        guard (1...1024).contains(text.utf8.count), text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) && $0 != "\\" }),
            text.precomposedStringWithCanonicalMapping.utf8.elementsEqual(text.utf8)
        else { return false }
        return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }

    /// Any text as one key segment: bytes outside `[A-Za-z0-9_-]` percent-encoded, over 200 bytes `h-` + hex SHA-256 (SEC-33).
    public static func segment(_ text: String) -> String {
        var out = [UInt8]()
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "_"), UInt8(ascii: "-"):
                out.append(byte)
            default:
                let hex = Array("0123456789ABCDEF".utf8)
                out += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return out.count <= 200 ? String(decoding: out, as: UTF8.self) : "h-" + Digest.sha256Hex(text)
    }
}

extension ByteStream {
    /// A stream of one chunk.
    public static func bytes(_ data: Data) -> ByteStream {
        AsyncThrowingStream { continuation in
            if !data.isEmpty { continuation.yield(data) }
            continuation.finish()
        }
    }
}

extension ObjectStore {
    /// The whole object in memory; throws `tooLarge` past `limit` bytes.
    public func bytes(_ key: ObjectKey, limit: Int) async throws -> Data? {
        guard let content = try await get(key, range: nil) else { return nil }
        guard content.info.size <= limit else { throw ObjectStoreError.tooLarge(limit: limit) }
        var data = Data()
        for try await chunk in content.body {
            data.append(chunk)
            if data.count > limit { throw ObjectStoreError.tooLarge(limit: limit) }
        }
        return data
    }
    @discardableResult
    public func put(_ key: ObjectKey, _ data: Data, contentType: String? = nil, if condition: ObjectCondition? = nil) async throws -> ObjectInfo {
        try await put(key, .bytes(data), contentType: contentType, if: condition)
    }
}
