import Foundation
import Platform

/// The file of a transcript: lines of JSON, each written with one `write(2)` and ended by a newline.
///
/// Only a line with its newline is an entry. What stands after the last newline was torn by a crash and is cut off when
/// the file is opened; a whole line that cannot be read (a damaged disk, an older program) is passed over and counted.
final class TranscriptFile: Sendable {
    /// A line longer than this is passed over: no request to a model is larger (32 MiB).
    static let maxLine = 48 << 20
    private static let chunk = 1 << 20
    private let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    static func create(_ path: String) throws -> TranscriptFile {
        let folder = (path as NSString).deletingLastPathComponent
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw TranscriptError.cannotWrite("the folder of transcripts cannot be made")
        }
        let descriptor = systemOpen(path, O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw TranscriptError.cannotWrite(reason(errno)) }
        let file = TranscriptFile(descriptor)
        // The name must survive a power loss too.
        let parent = systemOpen(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
        if parent >= 0 {
            fsync(parent)
            close(parent)
        }
        return file
    }

    /// Nil when there is no such file, or when it is something else than a plain file.
    static func open(_ path: String) throws -> TranscriptFile? {
        let descriptor = systemOpen(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0)
        guard descriptor >= 0 else {
            switch errno {
            case ENOENT, ENOTDIR, ELOOP, ENXIO, EISDIR: return nil
            default: throw TranscriptError.cannotRead(reason(errno))
            }
        }
        let file = TranscriptFile(descriptor)
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return file
    }

    /// Reads all entries in order; `body` gets each with the offsets of its first byte and of the byte after it.
    /// - Returns: the length up to the last whole line, and how many lines were passed over.
    func read(_ body: (TranscriptEntry, Range<Int>) -> Void) throws -> (length: Int, damaged: Int) {
        var line = Data()
        var lineStart = 0
        var offset = 0
        var damaged = 0
        var tooLong = false
        var buffer = [UInt8](repeating: 0, count: Self.chunk)
        while true {
            let count = buffer.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw TranscriptError.cannotRead(Self.reason(errno)) }
            if count == 0 { return (lineStart, damaged) }
            var rest = buffer[..<count]
            while let end = rest.firstIndex(of: 0x0a) {
                if !tooLong { line.append(contentsOf: rest[..<end]) }
                let next = offset + end + 1
                if !tooLong, line.count <= Self.maxLine, let entry = try? JSON.decode(TranscriptEntry.self, from: line) {
                    body(entry, lineStart..<next)
                } else {
                    damaged += 1
                }
                line.removeAll(keepingCapacity: line.count < Self.chunk)
                lineStart = next
                tooLong = false
                rest = rest[(end + 1)...]
            }
            line.append(contentsOf: tooLong ? [] : rest)
            if line.count > Self.maxLine {
                tooLong = true
                line = Data()
            }
            offset += count
        }
    }

    /// Appends one entry; when the disk takes only part of it, that part is taken back.
    /// - Parameter offset: the length of the file so far.
    /// - Returns: the length after it.
    func append(_ entry: TranscriptEntry, at offset: Int) throws -> Int {
        var line = try JSON.encode(entry)
        line.append(0x0a)
        let written = line.withUnsafeBytes { bytes in
            while true {
                let count = write(descriptor, bytes.baseAddress, bytes.count)
                if count < 0, errno == EINTR { continue }
                return count
            }
        }
        guard written == line.count else {
            let cause = written < 0 ? Self.reason(errno) : Self.reason(ENOSPC)
            if written > 0 { try truncate(to: offset) }
            throw TranscriptError.cannotWrite(cause)
        }
        return offset + line.count
    }

    func truncate(to length: Int) throws {
        guard ftruncate(descriptor, off_t(length)) == 0 else { throw TranscriptError.cannotWrite(Self.reason(errno)) }
    }
    func synchronize() throws {
        guard fsync(descriptor) == 0 else { throw TranscriptError.cannotWrite(Self.reason(errno)) }
    }
    var size: Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
    }

    private static func reason(_ code: Int32) -> String {
        switch code {
        case ENOSPC, EDQUOT: "the disk is full"
        case EFBIG: "the file has reached its largest size"
        case EROFS, EACCES, EPERM: "it may not be written"
        default: String(cString: strerror(code))
        }
    }
}

private func systemOpen(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 { open(path, flags, mode) }
