import Foundation

/// How a listing folds keys into folders, orders and pages them: one meaning for every object store that lists by itself.
public struct ObjectListing: Sendable {
    public let prefix: String
    public let delimiter: String?
    public init(prefix: String, delimiter: String?) {
        self.prefix = prefix; self.delimiter = delimiter.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The next page of `sorted` (objects under the prefix in byte order) after a position.
    /// - Parameter after: the text of the last entry given out: a key, or a folder ending in the delimiter.
    public func page(_ sorted: some Sequence<ObjectInfo>, after: String?, limit: Int) -> ObjectPage {
        let limit = max(1, limit)
        var entries: [ObjectPage.Entry] = []
        var last = after
        for info in sorted {
            let folder = folder(of: info.key)
            let place = folder ?? info.key.text
            if let last {
                // A folder comes once; everything in it has its place.
                guard last.utf8.lexicographicallyPrecedes(place.utf8) else { continue }
            }
            guard entries.count < limit else { return ObjectPage(entries: entries, cursor: last.map(cursor)) }
            entries.append(folder.map(ObjectPage.Entry.folder) ?? .object(info))
            last = place
        }
        return ObjectPage(entries: entries, cursor: nil)
    }

    /// The folder that stands for this key, `nil` when the key itself is listed.
    public func folder(of key: ObjectKey) -> String? {
        guard let delimiter else { return nil }
        let rest = Array(key.text.utf8.dropFirst(prefix.utf8.count)), mark = Array(delimiter.utf8)
        guard let found = rest.firstRange(of: mark) else { return nil }
        return prefix + String(decoding: rest[..<found.upperBound], as: UTF8.self)
    }

    public func cursor(_ place: String) -> String {
        Digest.base64URL(Array("\(prefix)\u{0}\(delimiter ?? "")\u{0}\(place)".utf8))
    }

    /// The place that a cursor names.
    /// - Throws: ``ObjectStoreError/invalidKey(_:)`` for a cursor of another listing.
    public func position(_ cursor: String) throws(ObjectStoreError) -> String {
        let parts =
            Digest.fromBase64URL(cursor).flatMap { String(data: $0, encoding: .utf8) }?.split(
                separator: "\u{0}", omittingEmptySubsequences: false) ?? []
        guard parts.count == 3, parts[0] == prefix, parts[1] == delimiter ?? "", parts[2].hasPrefix(prefix) else {
            throw .invalidKey("cursor of another listing")
        }
        return String(parts[2])
    }
}

extension ObjectKey {
    /// Whether keys can begin like this: empty, or a key, or a key and `/`.
    public static func isWellFormedPrefix(_ text: String) -> Bool {
        text.isEmpty || isWellFormed(text.hasSuffix("/") ? String(text.dropLast()) : text)
    }
}
