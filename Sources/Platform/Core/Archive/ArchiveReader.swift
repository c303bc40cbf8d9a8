import Crypto
import Foundation

/// Reads an archive entry by entry and takes nothing on trust: every byte is covered by a digest, and the end by its mark.
/// ``verify(path:passphrase:)`` reads it all and writes nothing: to be called before anything is done with the content.
public final class ArchiveReader {
    /// The name of the entry that says what an archive is about: the first one.
    public static let aboutName = ArchiveWriter.aboutName
    public let path: String
    /// What the archive says of itself.
    public private(set) var about: Document = [:]
    private let descriptor: Int32
    private var seal: ArchiveSeal?
    private var chunks: UInt64 = 0
    private var isLastChunk = false
    private var buffer: [UInt8] = []
    private var start = 0

    private var open: (entry: ArchiveEntry, left: Int, hash: SHA256)?
    private var manifest = SHA256()
    private var entries = 0

    /// Opens the archive and reads what it is about.
    /// - Throws: ``ArchiveError``
    public init(path: String, passphrase: Secret?) throws {
        self.path = path
        descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw ArchiveError.io(path, errno) }
        let head = try fill(ArchiveSeal.headerSize)
        if head.starts(with: ArchiveSeal.magic) {
            guard let passphrase else { throw ArchiveError.keyNeeded(path) }
            guard head.count == ArchiveSeal.headerSize else { throw damaged("it ends after \(head.count) bytes") }
            seal = try ArchiveSeal(header: head, passphrase: passphrase, path: path)
        } else {
            guard head.starts(with: Array(ArchiveWriter.aboutName.utf8) + [0]) else { throw ArchiveError.notABackup(path) }
            buffer = head
        }
        guard let entry = try next(), entry.name == ArchiveWriter.aboutName, entry.size <= 1 << 20 else { throw damaged("it does not say what it is") }
        guard let fields = (try? JSON.value(try content()))?.object else { throw damaged("it does not say what it is") }
        about = fields
        let format = fields["format"]?.int ?? 0
        guard format <= ArchiveWriter.format else { throw ArchiveError.newerFormat(path, found: format, known: ArchiveWriter.format) }
    }

    deinit { close(descriptor) }

    /// Reads the whole archive once.
    /// - Returns: what it is about, its entries, and the bytes of its files.
    /// - Throws: ``ArchiveError/damaged(_:detail:)`` unless every byte is as it was written.
    public static func verify(path: String, passphrase: Secret?) throws -> (about: Document, entries: Int, bytes: Int) {
        let reader = try ArchiveReader(path: path, passphrase: passphrase)
        var bytes = 0, entries = 0
        while let entry = try reader.next() {
            bytes += entry.size
            entries += 1
        }
        return (reader.about, entries, bytes)
    }

    /// The next entry; nil after the end, once everything was found as the manifest says.
    public func next() throws -> ArchiveEntry? {
        while try read() != nil {}
        let block = try exactly(TarBlocks.size)
        guard let (entry, bytes) = try TarBlocks.decode(block, more: { try self.exactly($0) }) else { throw damaged("an entry cannot be read") }
        guard entry.isWellFormed, TarBlocks.encode(entry) == bytes else { throw damaged("an entry is not as it was written") }
        if entry.name == ArchiveWriter.manifestName {
            try readEnd(entry)
            return nil
        }
        entries += 1
        open = (entry, entry.size, SHA256())
        if entry.size == 0 { try closeEntry() }
        return entry
    }

    /// A part of the current file; nil at its end.
    public func read() throws -> Data? {
        guard var current = open else { return nil }
        let part = try some(upTo: min(current.left, 256 << 10))
        guard !part.isEmpty else { throw damaged("it ends in the middle of \(current.entry.name)") }
        current.hash.update(data: part)
        current.left -= part.count
        open = current
        if current.left == 0 { try closeEntry() }
        return Data(part)
    }

    /// All of the current file; only for those known to be small.
    public func content() throws -> Data {
        var data = Data()
        while let part = try read() { data += part }
        return data
    }

    // MARK: -

    private func closeEntry() throws {
        guard let current = open else { return }
        open = nil
        try skipPadding(after: current.entry.size)
        manifest.update(data: Data(current.entry.line(sha256: Digest.hex(current.hash.finalize())).utf8))
    }

    private func readEnd(_ entry: ArchiveEntry) throws {
        var hash = SHA256(), left = entry.size
        while left > 0 {
            let part = try exactly(min(left, 256 << 10))
            hash.update(data: part)
            left -= part.count
        }
        try skipPadding(after: entry.size)
        let found = Digest.hex(hash.finalize())
        guard found == Digest.hex(manifest.finalize()) else { throw damaged("its content is not what its manifest says") }
        let expected = Array(try JSON.data(.object(["manifest": .string(found), "entries": .int(entries)])))
        let end = ArchiveEntry(name: ArchiveWriter.endName, kind: .file(size: expected.count))
        let bytes = TarBlocks.encode(end) + expected + [UInt8](repeating: 0, count: TarBlocks.padding(after: expected.count) + 2 * TarBlocks.size)
        guard try exactly(bytes.count) == bytes else { throw damaged("its end is missing") }
        guard try some(upTo: 1).isEmpty else { throw damaged("something follows its end") }
    }

    private func skipPadding(after size: Int) throws {
        guard try exactly(TarBlocks.padding(after: size)).allSatisfy({ $0 == 0 }) else { throw damaged("an entry is not as it was written") }
    }

    private func damaged(_ detail: String) -> ArchiveError { .damaged(path, detail: detail) }

    private func exactly(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = try some(upTo: count - bytes.count)
            guard !part.isEmpty else { throw damaged("it ends too early") }
            bytes += part
        }
        return bytes
    }

    /// Up to `count` bytes of the archive; none at its end.
    private func some(upTo count: Int) throws -> [UInt8] {
        guard count > 0 else { return [] }
        if start == buffer.count {
            buffer = try refill()
            start = 0
        }
        let end = min(buffer.count, start + count)
        defer { start = end }
        return Array(buffer[start..<end])
    }

    private func refill() throws -> [UInt8] {
        guard let seal else { return try fill(256 << 10) }
        guard !isLastChunk else {
            guard try fill(1).isEmpty else { throw damaged("something follows its end") }
            return []
        }
        let bytes = try fill(ArchiveSeal.chunk + ArchiveSeal.tag)
        var plain = try seal.open(bytes, number: chunks, last: false)
        if plain == nil {
            plain = try seal.open(bytes, number: chunks, last: true)
            isLastChunk = true
        }
        guard let plain else { throw damaged("it is cut short, or its bytes were changed") }
        chunks += 1
        return plain
    }

    /// Reads from the file, less than asked only at its end.
    private func fill(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count), done = 0
        while done < count {
            let found = bytes.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress! + done, count - done) }
            if found < 0, errno == EINTR { continue }
            guard found >= 0 else { throw ArchiveError.io(path, errno) }
            if found == 0 { break }
            done += found
        }
        bytes.removeLast(count - done)
        return bytes
    }
}
