import Crypto
import Foundation

/// Writes an archive: what it is about first, entries in order, a manifest with the SHA-256 of each, an end mark.
/// The file has another name until it is whole and on the disk, so that a half-written one is never taken for a backup.
///
/// ```swift
/// let archive = try ArchiveWriter(path: "night.clawbot", about: ["kind": "installation"], passphrase: key)
/// try archive.add(ArchiveEntry(name: "a", kind: .file(size: 3))) { chunk }
/// try archive.finish()
/// ```
public final class ArchiveWriter {
    public static let format = 1
    static let aboutName = "clawbot-backup.json", manifestName = "manifest.jsonl", endName = "end.json"

    public let path: String
    private let partial: String
    private let replaces: Bool
    private var descriptor: Int32
    private let seal: ArchiveSeal?
    private var buffer: [UInt8] = []
    private var chunks: UInt64 = 0
    private var manifest = ""
    private var inManifest = true
    /// Of the archive's entries; bytes of files.
    public private(set) var entries = 0
    public private(set) var bytes = 0

    /// - Parameters:
    ///   - about: what kind of backup it is, of which version and when.
    ///   - passphrase: nil = not encrypted.
    ///   - replaces: whether an existing file of that name gives way, at the very end.
    /// - Throws: ``ArchiveError``
    public init(path: String, about: Document, passphrase: Secret?, replaces: Bool = false) throws {
        self.path = path
        self.replaces = replaces
        seal = try passphrase.map { try ArchiveSeal(passphrase: $0) }
        guard replaces || !FileManager.default.fileExists(atPath: path) else { throw ArchiveError.exists(path) }
        partial = path + ".partial-" + Digest.randomToken(bytes: 6)
        descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw ArchiveError.io(path, errno) }
        do {
            if let seal { try put(seal.header) }
            var about = about
            about["format"] = .int(Self.format)
            try add(name: Self.aboutName, Array(try JSON.data(.object(about))))
        } catch {
            abandon()
            throw error
        }
    }

    /// Adds one entry. Of a file `read` must give exactly the bytes that were announced, nil after the last.
    public func add(_ entry: ArchiveEntry, _ read: () throws -> Data? = { nil }) throws {
        guard entry.isWellFormed else { throw ArchiveError.failed(entry.name, reason: "its name cannot be kept in an archive") }
        try write(TarBlocks.encode(entry))
        var hash = SHA256(), left = entry.size
        while left > 0 {
            guard let data = try read(), data.count <= left else { throw ArchiveError.failed(entry.name, reason: "it changed while it was read") }
            hash.update(data: data)
            try write(Array(data))
            left -= data.count
        }
        try write([UInt8](repeating: 0, count: TarBlocks.padding(after: entry.size)))
        guard inManifest else { return }
        manifest += entry.line(sha256: Digest.hex(hash.finalize()))
        entries += 1
        bytes += entry.size
    }

    public func add(name: String, _ content: [UInt8]) throws {
        var rest: Data? = content.isEmpty ? nil : Data(content)
        try add(ArchiveEntry(name: name, kind: .file(size: content.count))) { defer { rest = nil }; return rest }
    }

    /// Writes manifest and end, waits for the disk and gives the file its name.
    public func finish() throws {
        do {
            inManifest = false
            let manifest = Array(self.manifest.utf8)
            try add(name: Self.manifestName, manifest)
            try add(name: Self.endName, Array(try JSON.data(.object(["manifest": .string(Digest.sha256Hex(Data(manifest))), "entries": .int(entries)]))))
            try write([UInt8](repeating: 0, count: 2 * TarBlocks.size))
            try flush(isLast: true)
            guard fsync(descriptor) == 0 else { throw ArchiveError.io(path, errno) }
            close(descriptor)
            descriptor = -1
            // A link, not a rename, where nothing may be replaced: a file that appeared meanwhile stays.
            if replaces {
                guard rename(partial, path) == 0 else { throw ArchiveError.io(path, errno) }
            } else {
                guard link(partial, path) == 0 else {
                    let code = errno
                    // File systems without hard links.
                    guard code != EEXIST, [EPERM, ENOTSUP, EOPNOTSUPP, EMLINK].contains(code), rename(partial, path) == 0 else { throw ArchiveError.io(path, code) }
                    return DirectorySync.parent(of: path)
                }
                unlink(partial)
            }
            DirectorySync.parent(of: path)
        } catch {
            abandon()
            throw error
        }
    }

    /// Removes what was written.
    public func abandon() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        unlink(partial)
    }

    deinit { if descriptor >= 0 { abandon() } }

    // MARK: -

    private func write(_ bytes: [UInt8]) throws {
        buffer += bytes
        if buffer.count >= 4 * ArchiveSeal.chunk { try flush(isLast: false) }
    }

    private func flush(isLast: Bool) throws {
        guard let seal else {
            try put(buffer)
            buffer.removeAll(keepingCapacity: true)
            return
        }
        var start = 0
        // One chunk stays back: which one is the last is only known at the end.
        while buffer.count - start > ArchiveSeal.chunk {
            try put(seal.close(buffer[start..<(start + ArchiveSeal.chunk)], number: chunks, last: false))
            chunks += 1
            start += ArchiveSeal.chunk
        }
        buffer.removeFirst(start)
        if isLast { try put(seal.close(buffer, number: chunks, last: true)) }
    }

    private func put(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Foundation.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw ArchiveError.io(path, errno) }
                done += count
            }
        }
    }
}

/// Makes names durable: a rename is on the disk once its directory is.
public enum DirectorySync {
    public static func parent(of path: String) {
        let parent = (path as NSString).deletingLastPathComponent
        directory(parent.isEmpty ? "." : parent)
    }
    public static func directory(_ path: String) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        close(descriptor)
    }
}
