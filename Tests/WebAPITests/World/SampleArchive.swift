import Foundation

/// A zip archive made byte by byte, so that it can also be one that no tool makes.
struct SampleArchive {
    struct Entry {
        var name: String
        var content = Data()
        /// A raw deflate stream that stands in `content`, unpacked as this; nil = stored.
        var deflated: (size: Int, checksum: UInt32)?
        var flags = 0x800
        /// Unix mode; 0 = not said.
        var mode = 0o100644
        var checksum: UInt32?
        /// The name in its own header, where it is another.
        var innerName: String?
        /// Where its header is said to be; it is not written then.
        var offset: Int?

        var header: Data {
            let name = Data((innerName ?? self.name).utf8)
            return SampleArchive.bytes(4, [0x0403_4b50]) + common + SampleArchive.bytes(2, [name.count, 0]) + name
        }
        fileprivate var common: Data {
            SampleArchive.bytes(2, [20, flags, deflated == nil ? 0 : 8, 0, 0])
                + SampleArchive.bytes(4, [Int(checksum ?? deflated?.checksum ?? SampleArchive.checksum(content)), content.count, deflated?.size ?? content.count])
        }
    }
    var entries: [Entry]
    var countInEnd: Int?
    var tail = Data()

    var data: Data {
        var out = Data(), directory = Data()
        for entry in entries {
            let name = Data(entry.name.utf8)
            directory += Self.bytes(4, [0x0201_4b50]) + Self.bytes(2, [3 << 8 | 20]) + entry.common + Self.bytes(2, [name.count, 0, 0, 0, 0])
                + Self.bytes(4, [entry.mode << 16, entry.offset ?? out.count]) + name
            if entry.offset == nil { out += entry.header + entry.content }
        }
        let count = countInEnd ?? entries.count
        return out + directory + Self.bytes(4, [0x0605_4b50]) + Self.bytes(2, [0, 0, count, count]) + Self.bytes(4, [directory.count, out.count]) + Self.bytes(2, [0]) + tail
    }

    /// A skill as people make one.
    static func skill(_ directory: String, about: String = "Reads and fills PDF forms.", more: [Entry] = []) -> Data {
        let manual = "---\nname: \(directory)\ndescription: \(about)\n---\nDo it well.\n"
        return SampleArchive(entries: [Entry(name: "\(directory)/", mode: 0o40755), Entry(name: "\(directory)/SKILL.md", content: Data(manual.utf8))] + more).data
    }

    /// A deflate stream of one stored block, which unpacks to `text`.
    static func block(_ text: String) -> Data {
        let content = Data(text.utf8)
        return Data([1]) + bytes(2, [content.count, ~content.count & 0xffff]) + content
    }

    static func bytes(_ width: Int, _ values: [Int]) -> Data { Data(values.flatMap { value in (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }) }

    /// CRC-32 of ISO 3309, bit by bit.
    static func checksum(_ data: Data) -> UInt32 {
        ~data.reduce(UInt32.max) { sum, byte in
            (0..<8).reduce(sum ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1 }
        }
    }
}
