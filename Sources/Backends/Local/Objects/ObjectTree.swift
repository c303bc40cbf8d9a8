import Foundation
import Platform

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// The directory that holds the objects, used by descriptors only: agents write beneath parts of it while we work, and
/// whatever they put in the way (links, devices, FIFOs, files with a second name) is refused, never followed (SEC-35).
/// Everything here blocks; call it through ``FileWork``.
struct ObjectTree: Sendable {
    /// Absolute path of the root, for handing out directories to mount.
    let rootPath: String
    /// Beside the root, on the same file system: uploads under way, and what is being deleted.
    let uploads: Descriptor
    private let root: Descriptor
    private let opener: BeneathOpener

    init(directory: URL, usesOpenat2: Bool = true) throws {
        let tree = directory.appendingPathComponent("tree").path, work = directory.appendingPathComponent("uploads").path
        for path in [tree, work] {
            do { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700]) } catch {
                throw ObjectStoreError.unavailable("the directory \(path) cannot be created: \((error as NSError).localizedDescription)")
            }
        }
        rootPath = tree
        root = try Self.directory(tree)
        uploads = try Self.directory(work)
        opener = BeneathOpener(root: root, usesOpenat2: usesOpenat2)
    }

    private static func directory(_ path: String) throws -> Descriptor {
        let number = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
        guard number >= 0 else { throw ObjectStoreError.unavailable("the directory \(path) cannot be opened: \(String(cString: strerror(errno)))") }
        return Descriptor(number)
    }

    // MARK: Files

    /// What `stat` tells of a file that is an object.
    struct FileState: Sendable {
        var size: Int
        var etag: String
        var modified: Date
        /// As a put gave it, if the name says another.
        var contentType: String?

        /// Inode, size and the times of last change of content and state, in nanoseconds. A replaced file is another
        /// inode; an edit in place moves both times (and nobody can set the second).
        init(_ file: Descriptor, _ status: stat) {
            contentType = ContentTypeAttribute.read(from: file)
            size = Int(status.st_size)
            #if os(Linux)
            let (content, state) = (status.st_mtim, status.st_ctim)
            #else
            let (content, state) = (status.st_mtimespec, status.st_ctimespec)
            #endif
            func nanoseconds(_ time: timespec) -> String { String(UInt64(bitPattern: Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)), radix: 36) }
            etag = [String(status.st_ino, radix: 36), String(size, radix: 36), nanoseconds(content), nanoseconds(state)].joined(separator: "-")
            modified = Date(timeIntervalSince1970: Double(content.tv_sec) + Double(content.tv_nsec) / 1e9)
        }
    }

    /// Opens an object for reading; `nil` when there is none (also when a directory stands there).
    /// - Throws: ``PathFailure``
    func file(_ path: [String]) throws -> (Descriptor, FileState)? {
        do {
            // O_NONBLOCK: opening a FIFO must not wait for its other end.
            let descriptor = try opener.open(path, flags: O_RDONLY | O_NONBLOCK | O_NOCTTY)
            return try Self.regular(descriptor, path.last ?? "").map { (descriptor, $0) }
        } catch PathFailure.absent { return nil }
    }

    private static func regular(_ descriptor: Descriptor, _ name: String) throws -> FileState? {
        var status = stat()
        guard fstat(descriptor.number, &status) == 0 else { throw PathFailure.failed(name, errno) }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return nil
        case S_IFREG:
            guard status.st_nlink <= 1 else { throw PathFailure.refused("\(name) is a file with several names") }
            return FileState(descriptor, status)
        default: throw PathFailure.refused("\(name) is no regular file")
        }
    }

    // MARK: Directories

    func directory(_ path: [String]) throws -> Descriptor { try opener.open(path, flags: O_RDONLY | O_DIRECTORY) }

    /// Opens a directory, making what is missing of it.
    func makeDirectory(_ path: [String]) throws -> Descriptor {
        do { return try directory(path) } catch PathFailure.absent {}
        var current = root
        for name in path {
            if mkdirat(current.number, name, 0o755) == 0 {
                try Self.sync(current, name)
            } else if errno != EEXIST {
                throw PathFailure.failed(name, errno)
            }
            let next = openat(current.number, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            guard next >= 0 else {
                throw errno == ENOTDIR || errno == ELOOP ? PathFailure.refused("a file or link named \(name) stands in the way") : PathFailure.failed(name, errno)
            }
            current = Descriptor(next)
        }
        return current
    }

    static func sync(_ descriptor: Descriptor, _ name: String) throws {
        guard fsync(descriptor.number) == 0 else { throw PathFailure.failed(name, errno) }
    }

    /// One entry of a directory, as a key segment.
    struct Entry {
        var segment: String
        /// File names from the directory that was read: one, or the chain of a long segment.
        var path: [String]
        var isDirectory: Bool
    }

    /// The entries of a directory in byte order of the keys beneath them, and the names that cannot be part of a key or
    /// are links and the like. An absent directory is empty.
    func entries(_ path: [String]) throws -> (entries: [Entry], skipped: [String]) {
        var found: [Entry] = [], skipped: [String] = []
        func read(_ names: [String], text: String) throws {
            let descriptor: Descriptor
            do { descriptor = try directory(path + names) } catch PathFailure.absent { return } catch PathFailure.refused {
                skipped.append(names.last ?? "")
                return
            }
            for (name, kind) in try Self.names(in: descriptor) {
                guard let name else { skipped.append("a name that is no UTF-8"); continue }
                guard kind != .other else { skipped.append(name); continue }
                if ObjectNames.isChunk(name), kind == .directory, names.count < 8 {
                    try read(names + [name], text: text + ObjectNames.text(ofLink: name))
                    continue
                }
                let isEnd = ObjectNames.isChainEnd(name)
                guard isEnd == !names.isEmpty else { skipped.append(name); continue }
                let segment = isEnd ? text + ObjectNames.text(ofLink: name) : name
                guard ObjectKey.isWellFormed(segment), ObjectNames.names(ofSegment: segment) == names + [name] else { skipped.append(name); continue }
                found.append(Entry(segment: segment, path: names + [name], isDirectory: kind == .directory))
            }
        }
        try read([], text: "")
        func order(_ entry: Entry) -> String { entry.isDirectory ? entry.segment + "/" : entry.segment }
        return (found.sorted { order($0).utf8.lexicographicallyPrecedes(order($1).utf8) }, skipped)
    }

    private enum Kind { case file, directory, other }

    /// Names and kinds; a name that is no UTF-8 is nil.
    private static func names(in directory: Descriptor) throws -> [(String?, Kind)] {
        // The stream closes the descriptor it is given, and shares its position: it needs one of its own.
        let own = openat(directory.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw PathFailure.failed(".", errno) }
        guard let stream = fdopendir(own) else {
            let code = errno
            close(own)
            throw PathFailure.failed(".", code)
        }
        defer { closedir(stream) }
        var names: [(String?, Kind)] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                guard errno == 0 else { throw PathFailure.failed(".", errno) }
                return names
            }
            let bytes = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 1) { Array(UnsafeBufferPointer(start: $0, count: strlen(pointer.raw))) }
            }
            if bytes == [0x2e] || bytes == [0x2e, 0x2e] { continue }
            let kind: Kind
            switch Int32(entry.pointee.d_type) {
            case Int32(DT_REG): kind = .file
            case Int32(DT_DIR): kind = .directory
            case Int32(DT_UNKNOWN):
                var status = stat()
                guard bytes.withCString({ fstatat(directory.number, $0, &status, AT_SYMLINK_NOFOLLOW) }) == 0 else { continue }
                kind = status.st_mode & S_IFMT == S_IFREG ? .file : status.st_mode & S_IFMT == S_IFDIR ? .directory : .other
            default: kind = .other
            }
            names.append((String(validating: bytes, as: UTF8.self), kind))
        }
    }

    // MARK: Deletion

    /// Moves everything beneath a directory out of the tree, then deletes it. The directory itself stays: a sandbox may
    /// have it mounted.
    func removeContents(_ path: [String]) throws {
        let directory: Descriptor
        do { directory = try self.directory(path) } catch PathFailure.absent { return }
        try removeContents(of: directory)
        try Self.sync(directory, path.last ?? "")
    }

    /// Deletes uploads and deletions that an earlier process left unfinished.
    func clearUploads() throws { try removeContents(of: uploads) }

    /// Every sub-directory that is not empty is first moved beside its parents, so that neither descriptors nor
    /// recursion grow with the depth that an agent built.
    private func removeContents(of directory: Descriptor) throws {
        var names = try Self.rawNames(in: directory)
        var source = directory
        repeat {
            for name in names { try remove(name, in: source) }
            source = uploads
            names = try Self.rawNames(in: uploads).filter { $0.starts(with: Array("trash-".utf8)) }
        } while !names.isEmpty
    }

    private func remove(_ name: [UInt8], in directory: Descriptor) throws {
        try name.withCString { name in
            if unlinkat(directory.number, name, 0) == 0 || errno == ENOENT { return }
            if unlinkat(directory.number, name, AT_REMOVEDIR) == 0 || errno == ENOENT { return }
            let fresh = "trash-" + UUID().uuidString
            if directory !== uploads || strncmp(name, "trash-", 6) != 0 {
                if renameat(directory.number, name, uploads.number, fresh) == 0 || errno == ENOENT { return }
                // A directory that an agent closed to its owner cannot be moved.
                if errno == EACCES { Self.unlock(name, in: directory) }
                guard renameat(directory.number, name, uploads.number, fresh) == 0 || errno == ENOENT else { throw PathFailure.failed(String(cString: name), errno) }
                return
            }
            // Already moved: empty it one level, which moves what is below it up here.
            Self.unlock(name, in: uploads)
            let number = openat(uploads.number, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            guard number >= 0 else {
                if errno == ENOENT { return }
                throw PathFailure.failed(String(cString: name), errno)
            }
            let trash = Descriptor(number)
            for inner in try Self.rawNames(in: trash) { try remove(inner, in: trash) }
            guard unlinkat(uploads.number, name, AT_REMOVEDIR) == 0 || errno == ENOENT else { throw PathFailure.failed(String(cString: name), errno) }
        }
    }

    /// Gives the owner all rights on a directory that the agent may have taken them from. Follows no link.
    private static func unlock(_ name: UnsafePointer<CChar>, in directory: Descriptor) {
        #if os(Linux)
        // O_PATH opens without rights on the directory itself; fchmod refuses such a descriptor, its /proc name does not.
        let number = openat(directory.number, name, 0o10000000 | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard number >= 0 else { return }
        let found = Descriptor(number)
        chmod("/proc/self/fd/\(found.number)", 0o700)
        #else
        fchmodat(directory.number, name, 0o700, AT_SYMLINK_NOFOLLOW)
        #endif
    }

    private static func rawNames(in directory: Descriptor) throws -> [[UInt8]] {
        let own = openat(directory.number, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard own >= 0 else { throw PathFailure.failed(".", errno) }
        guard let stream = fdopendir(own) else { close(own); throw PathFailure.failed(".", ENOMEM) }
        defer { closedir(stream) }
        var names: [[UInt8]] = []
        while let entry = readdir(stream) {
            let bytes = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 1) { Array(UnsafeBufferPointer(start: $0, count: strlen(pointer.raw))) }
            }
            if bytes != [0x2e], bytes != [0x2e, 0x2e] { names.append(bytes) }
        }
        return names
    }
}

extension UnsafePointer {
    fileprivate var raw: UnsafePointer<CChar> { UnsafeRawPointer(self).assumingMemoryBound(to: CChar.self) }
}

extension [UInt8] {
    /// Calls `body` with the bytes and a closing NUL.
    fileprivate func withCString<T>(_ body: (UnsafePointer<CChar>) throws -> T) rethrows -> T {
        try (self + [0]).withUnsafeBufferPointer { try body(UnsafeRawPointer($0.baseAddress!).assumingMemoryBound(to: CChar.self)) }
    }
}
