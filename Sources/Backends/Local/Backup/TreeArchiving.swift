import Foundation
import Platform

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Puts a directory tree that others write in meanwhile into an archive, by descriptors and without following a link (SEC-35).
///
/// Links inside of workspaces are kept as links: nothing here or in the platform follows them. A file with several names becomes
/// one file per name. Sockets, pipes and devices, and names that are no UTF-8, are left out and counted.
struct TreeArchiving {
    private let opener: BeneathOpener
    private let prefix: String
    /// What could not be kept.
    private(set) var leftOut = 0
    /// Files that changed again and again while they were read: kept as they were found.
    private(set) var torn: [String] = []

    /// Files up to this size are read whole, and again when they changed meanwhile.
    private static let whole = 16 << 20
    private static let tries = 4
    private static let part = 256 << 10

    /// - Parameter prefix: what the entries' names begin with, without a slash at its end.
    init(root: URL, prefix: String) throws {
        let number = open(root.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard number >= 0 else { throw ObjectStoreError.unavailable("the directory \(root.path) cannot be opened: \(String(cString: strerror(errno)))") }
        opener = BeneathOpener(root: Descriptor(number))
        self.prefix = prefix
    }

    mutating func write(to archive: ArchiveWriter) throws {
        var folders: [[String]] = [[]]
        while let path = folders.popLast() {
            let directory: Descriptor
            do { directory = try opener.open(path, flags: O_RDONLY | O_DIRECTORY) } catch PathFailure.absent { continue } catch {
                leftOut += 1
                continue
            }
            if !path.isEmpty, let status = Self.status(directory) { try archive.add(entry(path, .folder, status)) }
            for name in Self.names(in: directory) {
                guard let name else { leftOut += 1; continue }
                var status = stat()
                // Gone since it was listed: as if it had been deleted a moment earlier.
                guard fstatat(directory.number, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
                let inner = path + [name]
                switch status.st_mode & S_IFMT {
                case S_IFDIR: folders.append(inner)
                case S_IFLNK:
                    guard let target = Self.target(of: name, in: directory) else { leftOut += 1; continue }
                    try archive.add(entry(inner, .link(target: target), status))
                case S_IFREG: try add(inner, to: archive)
                default: leftOut += 1
                }
            }
        }
    }

    private func entry(_ path: [String], _ kind: ArchiveEntry.Kind, _ status: stat, type: String? = nil) -> ArchiveEntry {
        #if os(Linux)
        let modified = Int(status.st_mtim.tv_sec)
        #else
        let modified = Int(status.st_mtimespec.tv_sec)
        #endif
        return ArchiveEntry(
            name: ([prefix] + path).joined(separator: "/"), kind: kind, mode: Int(status.st_mode & 0o777), modified: modified, contentType: type)
    }

    private mutating func add(_ path: [String], to archive: ArchiveWriter) throws {
        for attempt in 1...Self.tries {
            let file: Descriptor
            do { file = try opener.open(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY) } catch PathFailure.absent { return } catch {
                leftOut += 1
                return
            }
            guard let status = Self.status(file), status.st_mode & S_IFMT == S_IFREG else { return }
            let size = Int(status.st_size)
            let described = entry(path, .file(size: size), status, type: ContentTypeAttribute.read(from: file))
            guard size <= Self.whole else { return try stream(file, described, to: archive) }
            let content = try Self.read(file, size)
            let isSettled = content.count == size && Self.status(file).map { Self.isSame($0, status) } == true
            guard isSettled || attempt == Self.tries else { continue }
            if !isSettled { torn.append(described.name) }
            var kept = described
            kept.kind = .file(size: content.count)
            var rest: Data? = content.isEmpty ? nil : content
            return try archive.add(kept) { defer { rest = nil }; return rest }
        }
    }

    /// A large file, as it is read. One that gets shorter meanwhile is filled up with zeros: its size was announced already.
    private mutating func stream(_ file: Descriptor, _ entry: ArchiveEntry, to archive: ArchiveWriter) throws {
        guard case .file(let size) = entry.kind else { return }
        var position = 0, isTorn = false
        try archive.add(entry) {
            var data = Data(count: min(Self.part, size - position))
            let count = data.withUnsafeMutableBytes { pread(file.number, $0.baseAddress, $0.count, off_t(position)) }
            guard count >= 0 else { throw ArchiveError.failed(entry.name, reason: String(cString: strerror(errno))) }
            if count > 0 { data = data.prefix(count) } else { isTorn = true }
            position += data.count
            return data
        }
        if isTorn { torn.append(entry.name) }
    }

    private static func read(_ file: Descriptor, _ size: Int) throws -> Data {
        var data = Data(count: size), done = 0
        while done < size {
            let count = data.withUnsafeMutableBytes { pread(file.number, $0.baseAddress! + done, size - done, off_t(done)) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw ArchiveError.failed("an object", reason: String(cString: strerror(errno))) }
            if count == 0 { break }
            done += count
        }
        return data.prefix(done)
    }

    private static func status(_ file: Descriptor) -> stat? {
        var status = stat()
        return fstat(file.number, &status) == 0 ? status : nil
    }

    private static func isSame(_ left: stat, _ right: stat) -> Bool {
        #if os(Linux)
        left.st_size == right.st_size && left.st_mtim.tv_sec == right.st_mtim.tv_sec && left.st_mtim.tv_nsec == right.st_mtim.tv_nsec
            && left.st_ctim.tv_sec == right.st_ctim.tv_sec && left.st_ctim.tv_nsec == right.st_ctim.tv_nsec
        #else
        left.st_size == right.st_size && left.st_mtimespec.tv_nsec == right.st_mtimespec.tv_nsec && left.st_ctimespec.tv_nsec == right.st_ctimespec.tv_nsec
        #endif
    }

    private static func target(of name: String, in directory: Descriptor) -> String? {
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = bytes.withUnsafeMutableBytes { readlinkat(directory.number, name, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
        guard count > 0, count < bytes.count else { return nil }
        return String(validating: bytes[..<count], as: UTF8.self)
    }

    /// A name that is no UTF-8 is nil.
    private static func names(in directory: Descriptor) -> [String?] {
        let own = openat(directory.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0, let stream = fdopendir(own) else { return [] }
        defer { closedir(stream) }
        var names: [String?] = []
        while let entry = readdir(stream) {
            let bytes = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 256) { Array(UnsafeBufferPointer(start: $0, count: strnlen(UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self), 256))) }
            }
            if bytes != [0x2e], bytes != [0x2e, 0x2e] { names.append(String(validating: bytes, as: UTF8.self)) }
        }
        return names
    }
}
