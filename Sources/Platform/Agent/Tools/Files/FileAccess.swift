import Foundation

/// What a file was when it was looked at: enough to see that it changed.
struct FileStamp: Sendable, Hashable {
    var size: Int
    /// Nanoseconds since 1970.
    var modified: Int
    var inode: UInt64
}

struct FileStatus: Sendable {
    enum Kind: Sendable { case file, folder, link, other }
    var kind: Kind
    var stamp: FileStamp
    var mode: mode_t
    var links: Int

    fileprivate init(_ raw: stat) {
        kind =
            switch raw.st_mode & S_IFMT {
            case S_IFREG: .file
            case S_IFDIR: .folder
            case S_IFLNK: .link
            default: .other
            }
        #if canImport(Darwin)
            let time = raw.st_mtimespec
        #else
            let time = raw.st_mtim
        #endif
        stamp = FileStamp(size: Int(raw.st_size), modified: Int(time.tv_sec) * 1_000_000_000 + Int(time.tv_nsec), inode: UInt64(raw.st_ino))
        mode = raw.st_mode & 0o7777
        links = Int(raw.st_nlink)
    }
}

/// Files as tools reach them: never waiting on a pipe or a device, and with sentences for the model.
enum FileAccess {
    static func status(_ path: String, followingLinks: Bool = true) -> FileStatus? {
        var raw = stat()
        guard (followingLinks ? stat(path, &raw) : lstat(path, &raw)) == 0 else { return nil }
        return FileStatus(raw)
    }

    static func realPath(_ path: String) -> String? {
        guard let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    /// Opens a plain file for reading; the caller closes it.
    static func open(_ path: String) throws(ToolError) -> (descriptor: Int32, status: FileStatus) {
        // Without O_NONBLOCK the open of a pipe would wait for a writer.
        let descriptor = systemOpen(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw failure(errno, path, "read") }
        var raw = stat()
        guard fstat(descriptor, &raw) == 0 else {
            close(descriptor)
            throw failure(errno, path, "read")
        }
        let status = FileStatus(raw)
        guard status.kind == .file else {
            close(descriptor)
            throw ToolError(status.kind == .folder ? "\(path) is a directory." : "\(path) is no plain file but a pipe, socket or device.")
        }
        return (descriptor, status)
    }

    /// Reads from the descriptor until `limit` bytes, the end, or a failure.
    static func read(_ descriptor: Int32, upTo limit: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: limit) { buffer, filled in
            while filled < limit {
                let count = systemRead(descriptor, buffer.baseAddress.map { $0 + filled }, limit - filled)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return }
                filled += count
            }
        }
    }

    /// The whole of a plain file of at most `limit` bytes.
    static func contents(_ path: String, limit: Int) throws(ToolError) -> (bytes: [UInt8], status: FileStatus) {
        let (descriptor, status) = try open(path)
        defer { close(descriptor) }
        // Files of /proc say that they have no bytes.
        let bytes = read(descriptor, upTo: max(1, min(limit, max(status.stamp.size, 1 << 20))) + 1)
        guard bytes.count <= limit, status.stamp.size <= limit else { throw ToolError("\(path) is larger than \(sizeText(limit)).") }
        return (bytes, status)
    }

    /// Replaces or makes a file. Whole or not at all where the file can be renamed over; in place where it cannot: a file that is
    /// itself a mount, one in a directory that may not be written, one with several names.
    static func replace(_ path: String, with bytes: [UInt8]) throws(ToolError) {
        let present = status(path)
        if present == nil, status(path, followingLinks: false) != nil { throw ToolError("\(path) is a link to a file that does not exist.") }
        let target = realPath(path) ?? path
        if let present, present.links > 1 { return try writeInPlace(target, bytes) }
        let folder = (target as NSString).deletingLastPathComponent
        let temporary = "\(folder)/.\(UInt64.random(in: .min ... .max)).clawbot-part"
        let descriptor = systemOpen(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
        guard descriptor >= 0 else {
            let code = errno
            if present != nil, [EROFS, EACCES, EPERM].contains(code) { return try writeInPlace(target, bytes) }
            throw failure(code, path, "written")
        }
        var code = writeAll(descriptor, bytes)
        if code == 0, let present, fchmod(descriptor, present.mode) != 0 { code = errno }
        close(descriptor)
        if code == 0 {
            if rename(temporary, target) == 0 { return }
            code = errno
        }
        unlink(temporary)
        if present != nil, [EBUSY, EXDEV, EROFS, EACCES, EPERM].contains(code) { return try writeInPlace(target, bytes) }
        throw failure(code, path, "written")
    }

    private static func writeInPlace(_ path: String, _ bytes: [UInt8]) throws(ToolError) {
        let descriptor = systemOpen(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW)
        guard descriptor >= 0 else { throw failure(errno, path, "written") }
        defer { close(descriptor) }
        // Cut only after writing, so that a full disk leaves most of the old content.
        let code = writeAll(descriptor, bytes)
        guard code == 0 else { throw failure(code, path, "written") }
        guard ftruncate(descriptor, off_t(bytes.count)) == 0 else { throw failure(errno, path, "written") }
    }

    /// - Returns: 0 or the error number.
    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Int32 {
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let count = write(descriptor, buffer.baseAddress.map { $0 + done }, buffer.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return count < 0 ? errno : EIO }
                done += count
            }
            return 0
        }
    }

    /// - Parameter deed: read, written
    static func failure(_ code: Int32, _ path: String, _ deed: String) -> ToolError {
        switch code {
        case ENOENT: ToolError("\(path) does not exist.")
        case ENOTDIR: ToolError("\(path) cannot be \(deed): a part of its path is no directory.")
        case EISDIR: ToolError("\(path) is a directory.")
        case EACCES, EPERM: ToolError("\(path) may not be \(deed): permission denied.")
        case EROFS: ToolError("\(path) may not be \(deed): it is read-only here.")
        case ENOSPC, EDQUOT: ToolError("\(path) cannot be \(deed): the disk is full.")
        case EFBIG: ToolError("\(path) cannot be \(deed): it would be larger than a file may be.")
        case ENXIO: ToolError("\(path) is no plain file but a pipe, socket or device.")
        case ENAMETOOLONG: ToolError("\(path) cannot be \(deed): the name is too long.")
        case ELOOP: ToolError("\(path) cannot be \(deed): its links go round in circles.")
        default: ToolError("\(path) cannot be \(deed): \(String(cString: strerror(code))).")
        }
    }

    static func looksBinary(_ bytes: some Collection<UInt8>) -> Bool { bytes.prefix(8192).contains(0) }

    static func sizeText(_ bytes: Int) -> String {
        switch bytes {
        case ..<10_000: "\(bytes) bytes"
        case ..<10_000_000: "\(bytes / 1024) KiB"
        default: "\(bytes >> 20) MiB"
        }
    }
}

private func systemOpen(_ path: String, _ flags: Int32, _ mode: mode_t = 0) -> Int32 { open(path, flags, mode) }
private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int { read(descriptor, buffer, count) }
