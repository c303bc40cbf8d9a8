import CZlib
import Foundation

/// A zip archive from somebody else, held in memory and read with distrust (SEC-94): it is refused whole, before anything is unpacked,
/// when its names could leave their folder or meet each other, when it holds anything but files and folders, or when it is larger
/// inside than it may be. Format: APPNOTE.TXT 6.3.10 of PKWARE; zip64, encryption and parts on several disks are refused.
///
/// ```swift
/// let archive = try ZipArchive(data)
/// for file in archive.files { use(file.name, try archive.content(of: file)) }
/// ```
public struct ZipArchive: Sendable {
    public struct Limits: Sendable {
        /// Files and folders.
        public var entries = 500
        /// Unpacked, all together.
        public var bytes = 50 << 20
        /// How many times its packed size a file may have, once it is larger than ``freeBytes``. Text packs about 10 times, logs up to
        /// 50 times; deflate can do 1032 times.
        public var ratio = 200
        /// Files up to here may be of any ratio.
        public var freeBytes = 1 << 20
        public init() {}
    }
    public struct File: Sendable, Hashable {
        /// A well-formed key: relative, no `.` or `..`, `/`-separated.
        public var name: String
        /// Unpacked; what its content really has.
        public var size: Int
        fileprivate var packed: Range<Int>
        fileprivate var isDeflated: Bool
        fileprivate var checksum: UInt32
    }

    /// Why an archive is refused: a sentence for whoever sent it.
    public struct Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        public var description: String
        public init(sentence: String) { description = sentence }
        fileprivate init(_ sentence: String) { description = sentence }
    }

    /// In the archive's order; folders are not among them.
    public let files: [File]
    private let bytes: [UInt8]

    /// Reads the directory of the archive and checks every entry; unpacks nothing.
    public init(_ data: Data, limits: Limits = Limits()) throws(Refusal) {
        bytes = [UInt8](data)
        let (directory, count) = try Self.directory(of: bytes)
        guard count <= limits.entries else { throw Refusal("The archive has more than \(limits.entries) entries.") }
        var files: [File] = [], names = NameSet(), taken: [Range<Int>] = [], total = 0, at = directory.lowerBound
        for _ in 0..<count {
            guard let entry = DirectoryEntry(bytes, at: &at, end: directory.upperBound) else { throw Refusal.damaged }
            let name = try Self.name(of: entry)
            try names.add(name, isFolder: entry.isFolder)
            guard entry.flags & 0x2041 == 0 else { throw Refusal("The archive is encrypted.") }
            guard entry.method == 0 || entry.method == 8 else { throw Refusal("'\(name)' is packed in a way that is not read here; use deflate.") }
            guard entry.method == 8 || entry.packedSize == entry.size else { throw Refusal.damaged }
            let range = try Self.content(of: entry, in: bytes, before: directory.lowerBound)
            taken.append(entry.offset..<range.upperBound)
            total += entry.size
            guard total <= limits.bytes else { throw Refusal("Unpacked, the archive is larger than \(limits.bytes >> 20) MiB.") }
            guard entry.size <= limits.freeBytes || entry.size / limits.ratio <= entry.packedSize else {
                throw Refusal("'\(name)' unpacks to more than \(limits.ratio) times its size.")
            }
            if entry.isFolder {
                guard entry.size == 0 else { throw Refusal.damaged }
                continue
            }
            files.append(File(name: name, size: entry.size, packed: range, isDeflated: entry.method == 8, checksum: entry.checksum))
        }
        guard at == directory.upperBound else { throw Refusal.damaged }
        taken.sort { $0.lowerBound < $1.lowerBound }
        guard zip(taken, taken.dropFirst()).allSatisfy({ $0.upperBound <= $1.lowerBound }) else { throw Refusal("Entries of the archive overlap.") }
        self.files = files
    }

    /// Unpacks one file. What it has more or less than it said is never handed out.
    public func content(of file: File) throws(Refusal) -> Data {
        var content: [UInt8]
        if file.isDeflated {
            content = [UInt8](repeating: 0, count: file.size)
            guard Self.inflate(bytes[file.packed], into: &content) else { throw Refusal("'\(file.name)' is damaged.") }
        } else {
            content = Array(bytes[file.packed])
        }
        let sum = content.withUnsafeBufferPointer { crc32(0, $0.baseAddress, UInt32($0.count)) }
        // zlib answers its start value for no bytes at all, which is the checksum of nothing.
        guard UInt32(truncatingIfNeeded: sum) == file.checksum else { throw Refusal("'\(file.name)' is damaged.") }
        return Data(content)
    }

    // MARK: Directory

    /// Where the directory is, and how many entries it has: it ends where the end record begins, and that with its comment is the end.
    private static func directory(of bytes: [UInt8]) throws(Refusal) -> (Range<Int>, Int) {
        let size = 22
        guard bytes.count >= size else { throw Refusal("This is not a zip archive.") }
        let earliest = max(0, bytes.count - size - 0xffff)
        var at = bytes.count - size
        while at >= earliest, !(bytes.uint32(at) == 0x0605_4b50 && at + size + bytes.uint16(at + 20) == bytes.count) { at -= 1 }
        guard at >= earliest else { throw Refusal("This is not a zip archive.") }
        let count = bytes.uint16(at + 10), length = Int(bytes.uint32(at + 12)), start = Int(bytes.uint32(at + 16))
        guard bytes.uint16(at + 4) == 0, bytes.uint16(at + 6) == 0, bytes.uint16(at + 8) == count else { throw Refusal("An archive in several parts is not read here.") }
        guard count != 0xffff, length != 0xffff_ffff, start != 0xffff_ffff else { throw Refusal("A zip64 archive is not read here.") }
        guard start + length == at else { throw Refusal.damaged }
        return (start..<at, count)
    }

    private struct DirectoryEntry {
        var madeBy, flags, method, disk: Int
        var checksum, attributes: UInt32
        var packedSize, size, offset: Int
        var name: ArraySlice<UInt8>
        /// Its name ends in a slash; there is no other kind of folder.
        var isFolder: Bool { name.last == 0x2f }

        /// nil where there is none.
        init?(_ bytes: [UInt8], at: inout Int, end: Int) {
            guard at + 46 <= end, bytes.uint32(at) == 0x0201_4b50 else { return nil }
            madeBy = bytes.uint16(at + 4)
            flags = bytes.uint16(at + 8)
            method = bytes.uint16(at + 10)
            checksum = bytes.uint32(at + 16)
            packedSize = Int(bytes.uint32(at + 20))
            size = Int(bytes.uint32(at + 24))
            disk = bytes.uint16(at + 34)
            attributes = bytes.uint32(at + 38)
            offset = Int(bytes.uint32(at + 42))
            let nameLength = bytes.uint16(at + 28), next = at + 46 + nameLength + bytes.uint16(at + 30) + bytes.uint16(at + 32)
            guard next <= end, packedSize != 0xffff_ffff, size != 0xffff_ffff, offset != 0xffff_ffff, disk == 0 else { return nil }
            name = bytes[(at + 46)..<(at + 46 + nameLength)]
            at = next
        }
    }

    /// The entry's bytes. Its own header must name it as the directory does: two readers could else see two archives.
    private static func content(of entry: DirectoryEntry, in bytes: [UInt8], before end: Int) throws(Refusal) -> Range<Int> {
        let at = entry.offset
        guard at + 30 <= end, bytes.uint32(at) == 0x0403_4b50 else { throw Refusal.damaged }
        let nameLength = bytes.uint16(at + 26), start = at + 30 + nameLength + bytes.uint16(at + 28)
        guard start + entry.packedSize <= end, bytes[(at + 30)..<(at + 30 + nameLength)].elementsEqual(entry.name), bytes.uint16(at + 8) == entry.method,
            bytes.uint16(at + 6) & 0x2041 == entry.flags & 0x2041
        else { throw Refusal.damaged }
        return start..<(start + entry.packedSize)
    }

    private static func name(of entry: DirectoryEntry) throws(Refusal) -> String {
        guard var name = String(validating: entry.name, as: UTF8.self) else { throw Refusal("A name in the archive is not UTF-8.") }
        // Unix modes where the maker was Unix (3) or macOS (19): 0 says nothing, all else must be a file or a folder.
        if [3, 19].contains(entry.madeBy >> 8) {
            let kind = entry.attributes >> 28
            guard kind == 0 || kind == 0o10 || kind == 0o4 else { throw Refusal("'\(shown(name))' is neither a file nor a folder. Links are not taken.") }
            guard kind == 0 || (kind == 0o4) == entry.isFolder else { throw Refusal.damaged }
        }
        if entry.isFolder { name.removeLast() }
        guard ObjectKey.isWellFormed(name), name.utf8.count <= 512, !name.contains(":") else { throw Refusal("The archive has the name '\(shown(name))', which leads elsewhere or cannot be a file's.") }
        return name
    }

    /// A name for a sentence: cut, and without what could turn the text around it.
    private static func shown(_ name: String) -> String {
        String(String.UnicodeScalarView(name.unicodeScalars.filter { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) && !$0.properties.isBidiControl }.prefix(80)))
    }

    /// Names that were seen, without their case: file systems that fold it would let one overwrite another.
    private struct NameSet {
        /// Folded path → its spelling.
        private var folders: [String: String] = [:]
        private var files: Set<String> = []

        mutating func add(_ name: String, isFolder: Bool) throws(Refusal) {
            let parts = name.split(separator: "/")
            var path = ""
            for part in isFolder ? parts[...] : parts.dropLast() {
                path += path.isEmpty ? String(part) : "/" + part
                let folded = path.lowercased()
                guard !files.contains(folded), folders[folded].map({ $0.utf8.elementsEqual(path.utf8) }) ?? true else { throw Refusal.twice(name) }
                folders[folded] = path
            }
            guard !isFolder else { return }
            let folded = name.lowercased()
            guard folders[folded] == nil, files.insert(folded).inserted else { throw Refusal.twice(name) }
        }
    }

    // MARK: Deflate

    /// Unpacks raw deflate into exactly as many bytes as `target` has; false when it has more, fewer, or is none.
    private static func inflate(_ packed: ArraySlice<UInt8>, into target: inout [UInt8]) -> Bool {
        var stream = z_stream()
        guard inflateInit2_(&stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else { return false }
        defer { inflateEnd(&stream) }
        // zlib wants a place to write to, also for nothing.
        var spare: UInt8 = 0
        return packed.withUnsafeBufferPointer { source in
            target.withUnsafeMutableBufferPointer { room in
                withUnsafeMutablePointer(to: &spare) { spare in
                    stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                    stream.avail_in = UInt32(source.count)
                    stream.next_out = room.baseAddress ?? spare
                    stream.avail_out = UInt32(room.count)
                    return CZlib.inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0 && stream.avail_in == 0
                }
            }
        }
    }
}

extension ZipArchive.Refusal {
    fileprivate static let damaged = Self("The archive is damaged.")
    fileprivate static func twice(_ name: String) -> Self { Self("The archive has '\(name.prefix(80))' twice, or two names that differ in their case only.") }
}

extension [UInt8] {
    fileprivate func uint16(_ at: Int) -> Int { Int(self[at]) | Int(self[at + 1]) << 8 }
    fileprivate func uint32(_ at: Int) -> UInt32 { UInt32(uint16(at)) | UInt32(uint16(at + 2)) << 16 }
}
