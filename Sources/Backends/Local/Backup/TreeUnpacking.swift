import Foundation
import Platform

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Makes files, folders and links of an archive beneath a directory, by descriptors and through no link: an archive that names a
/// link and then something behind it is refused.
struct TreeUnpacking {
    private let root: Descriptor
    private let opener: BeneathOpener
    /// Given to folders at the end, so that one its owner may not write in can be filled.
    private var modes: [(path: [String], mode: Int)] = []

    init(root directory: URL) throws {
        let number = open(directory.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard number >= 0 else { throw Self.failed(directory.path, errno) }
        root = Descriptor(number)
        opener = BeneathOpener(root: root)
    }

    /// - Parameter prefix: of the entry's name; what follows is its place.
    mutating func add(_ entry: ArchiveEntry, under prefix: String, from reader: ArchiveReader) throws {
        let segments = entry.name.dropFirst(prefix.utf8.count + 1).split(separator: "/").map(String.init)
        guard let name = segments.last else { return }
        do {
            let folder = try makeFolders(segments.dropLast())
            switch entry.kind {
            case .folder:
                _ = try makeFolders(segments[...])
                if entry.mode != 0o755 { modes.append((segments, entry.mode)) }
            case .link(let target):
                guard symlinkat(target, folder.number, name) == 0 else { throw Self.failed(entry.name, errno) }
            case .file:
                let file = try BeneathOpener.check(openat(folder.number, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600), errno, entry.name)
                while let part = try reader.read() { try Self.write(part, to: file, entry.name) }
                if let type = entry.contentType { ContentTypeAttribute.write(type, to: file) }
                fchmod(file.number, mode_t(entry.mode))
                var times = [timespec(tv_sec: entry.modified, tv_nsec: 0), timespec(tv_sec: entry.modified, tv_nsec: 0)]
                futimens(file.number, &times)
            }
        } catch PathFailure.refused(let reason) {
            throw ArchiveError.damaged(reader.path, detail: reason)
        } catch PathFailure.failed(_, let code) {
            throw Self.failed(entry.name, code)
        } catch PathFailure.absent {
            throw ArchiveError.damaged(reader.path, detail: "\(entry.name) lies in something that is no folder")
        }
    }

    /// Sets the modes of folders and waits for the disk.
    func finish() {
        for (path, mode) in modes.reversed() {
            // Whoever owns the data must be able to read and enter it.
            if let folder = try? opener.open(path, flags: O_RDONLY | O_DIRECTORY) { fchmod(folder.number, mode_t(mode | 0o500)) }
        }
        sync()
    }

    /// One file of an archive, at a path of our own.
    static func write(_ reader: ArchiveReader, to path: String) throws {
        let number = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard number >= 0 else { throw failed(path, errno) }
        let file = Descriptor(number)
        while let part = try reader.read() { try write(part, to: file, path) }
        guard fsync(file.number) == 0 else { throw failed(path, errno) }
    }

    private func makeFolders(_ segments: ArraySlice<String>) throws -> Descriptor {
        if segments.isEmpty { return root }
        do { return try opener.open(Array(segments), flags: O_RDONLY | O_DIRECTORY) } catch PathFailure.absent {}
        var current = root
        for name in segments {
            guard mkdirat(current.number, name, 0o755) == 0 || errno == EEXIST else { throw PathFailure.failed(name, errno) }
            current = try BeneathOpener.check(openat(current.number, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW), errno, name)
        }
        return current
    }

    private static func write(_ data: Data, to file: Descriptor, _ name: String) throws {
        try data.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = writeSome(file.number, bytes.baseAddress! + done, bytes.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw failed(name, errno) }
                done += count
            }
        }
    }

    private static func failed(_ name: String, _ code: Int32) -> ArchiveError {
        code == ENOSPC || code == EDQUOT ? .full(name) : .failed(name, reason: String(cString: strerror(code)))
    }
}

/// `write(2)`, which the methods above hide.
private func writeSome(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int { write(descriptor, bytes, count) }
