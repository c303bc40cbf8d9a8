import Foundation
import Platform

/// How keys become file names: segment by segment, unchanged, so that a directory can be mounted as it is. Only a segment
/// that is too long for a file name (255 bytes) is cut into a chain of directories `\u{1}chunk/…/\u{2}rest`; no key can
/// hold those control characters, so nothing else has such a name. Case matters where the file system's case does.
enum ObjectNames {
    static let chunkBytes = 240
    private static let longest = 255

    /// File names beneath the root for a key or prefix (without its last `/`).
    static func path(_ text: some StringProtocol) -> [String] {
        text.split(separator: "/").flatMap { names(ofSegment: String($0)) }
    }

    static func names(ofSegment segment: String) -> [String] {
        guard segment.utf8.count > longest else { return [segment] }
        var chunks: [String] = [], chunk = ""
        for scalar in segment.unicodeScalars {
            if chunk.utf8.count + UTF8.width(scalar) > chunkBytes { chunks.append(chunk); chunk = "" }
            chunk.unicodeScalars.append(scalar)
        }
        return chunks.map { "\u{1}" + $0 } + ["\u{2}" + chunk]
    }

    static func isChunk(_ name: String) -> Bool { name.utf8.first == 1 }
    static func isChainEnd(_ name: String) -> Bool { name.utf8.first == 2 }
    /// The text of a link of a chain.
    static func text(ofLink name: String) -> String { String(name.unicodeScalars.dropFirst()) }
}
