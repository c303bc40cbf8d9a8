import Foundation

/// Width and height of a PNG, JPEG or WebP image, read from its header.
enum ImageSize {
    static func read(_ content: Data) -> (width: Int, height: Int)? {
        let bytes = [UInt8](content.prefix(256 << 10))
        if bytes.count >= 24, bytes.starts(with: [0x89, 0x50, 0x4e, 0x47]) { return (big(bytes, 16, 4), big(bytes, 20, 4)) }
        if bytes.count >= 30, bytes.starts(with: "RIFF".utf8), bytes[8..<12].elementsEqual("WEBP".utf8) { return webP(bytes) }
        if bytes.starts(with: [0xff, 0xd8]) { return jpeg(bytes) }
        return nil
    }

    private static func big(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int { bytes[offset..<offset + count].reduce(0) { $0 << 8 | Int($1) } }
    private static func little(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> Int { bytes[offset..<offset + count].reversed().reduce(0) { $0 << 8 | Int($1) } }

    /// Walks the segments to the start of frame (ITU T.81 B.2.2).
    private static func jpeg(_ bytes: [UInt8]) -> (width: Int, height: Int)? {
        var offset = 2
        while offset + 9 < bytes.count, bytes[offset] == 0xff {
            let marker = bytes[offset + 1]
            if marker == 0xff { offset += 1; continue }
            if (0xc0...0xcf).contains(marker), ![0xc4, 0xc8, 0xcc].contains(marker) { return (big(bytes, offset + 7, 2), big(bytes, offset + 5, 2)) }
            offset += 2 + max(2, big(bytes, offset + 2, 2))
        }
        return nil
    }

    private static func webP(_ bytes: [UInt8]) -> (width: Int, height: Int)? {
        switch String(decoding: bytes[12..<16], as: UTF8.self) {
        case "VP8X": (little(bytes, 24, 3) + 1, little(bytes, 27, 3) + 1)
        case "VP8L": ((little(bytes, 21, 2) & 0x3fff) + 1, (little(bytes, 22, 3) >> 6 & 0x3fff) + 1)
        case "VP8 ": (little(bytes, 26, 2) & 0x3fff, little(bytes, 28, 2) & 0x3fff)
        default: nil
        }
    }
}
