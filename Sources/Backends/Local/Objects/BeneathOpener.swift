import Foundation
import Platform

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// An open file descriptor, closed with its last reference.
final class Descriptor: Sendable {
    let number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { close(number) }
}

/// What a path beneath the object tree was found to be, or why it could not be opened.
enum PathFailure: Error {
    case absent
    /// A link, a device, a FIFO, a file with several names, or a directory where a file is meant (SEC-35).
    case refused(String)
    case failed(String, Int32)
}

/// Opens paths beneath a directory without ever following a link: `openat2` with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS
/// and RESOLVE_NO_MAGICLINKS where the kernel has it (Linux 5.6), else segment by segment with O_NOFOLLOW.
struct BeneathOpener: Sendable {
    private let root: Descriptor
    private let usesOpenat2: Bool

    /// - Parameter usesOpenat2: false to test the other way on a kernel that has it.
    init(root: Descriptor, usesOpenat2: Bool = true) {
        self.root = root
        self.usesOpenat2 = usesOpenat2 && Openat2.isAvailable
    }

    /// Opens `segments` beneath the root; none = the root itself.
    /// - Throws: ``PathFailure``
    func open(_ segments: [String], flags: Int32) throws -> Descriptor {
        let flags = flags | O_CLOEXEC | O_NOFOLLOW
        if segments.isEmpty { return try Self.check(openat(root.number, ".", flags), errno, "") }
        if usesOpenat2 {
            let path = segments.joined(separator: "/")
            // EAGAIN: something was renamed or mounted during the walk, so the kernel could not vouch for it.
            for _ in 0..<16 {
                let number = Openat2.open(root.number, path, flags: flags)
                let code = errno
                if number < 0, code == EAGAIN || code == EINTR { continue }
                return try Self.check(number, code, path)
            }
            throw PathFailure.failed(path, EAGAIN)
        }
        var directory = root
        for segment in segments.dropLast() {
            let number = openat(directory.number, segment, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            directory = try Self.check(number, errno, segment)
        }
        let last = segments[segments.count - 1]
        return try Self.check(openat(directory.number, last, flags), errno, last)
    }

    static func check(_ number: Int32, _ code: Int32, _ path: String) throws -> Descriptor {
        if number >= 0 { return Descriptor(number) }
        switch code {
        // ENOTDIR: a file (or, with O_DIRECTORY | O_NOFOLLOW, a link) stands where a directory is meant; nothing is there.
        case ENOENT, ENAMETOOLONG, ENOTDIR: throw PathFailure.absent
        case ELOOP, EXDEV: throw PathFailure.refused("the path \(path) meets a link")
        case ENXIO, ENODEV: throw PathFailure.refused("\(path) is no regular file")
        default: throw PathFailure.failed(path, code)
        }
    }
}

/// The system call that Glibc has no function for.
private enum Openat2 {
    private typealias Call = @convention(c) (Int, Int, UnsafePointer<CChar>, UnsafeRawPointer, Int) -> Int
    /// `struct open_how` (linux/openat2.h).
    private struct How { var flags: UInt64; var mode: UInt64; var resolve: UInt64 }
    // RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
    private static let resolve: UInt64 = 0x02 | 0x04 | 0x08
    private static let number = 437

    #if os(Linux)
    /// `syscall(2)` takes its arguments in registers on every Linux ABI that Swift runs on, so the variadic C function
    /// may be called as a plain one; Swift cannot import it.
    private static let call: Call? = dlsym(nil, "syscall").map { unsafeBitCast($0, to: Call.self) }
    #else
    private static let call: Call? = nil
    #endif

    static let isAvailable: Bool = {
        let descriptor = open(AT_FDCWD, ".", flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }()

    static func open(_ directory: Int32, _ path: String, flags: Int32) -> Int32 {
        guard let call else { errno = ENOSYS; return -1 }
        var how = How(flags: UInt64(UInt32(bitPattern: flags)), mode: 0, resolve: resolve)
        return Int32(truncatingIfNeeded: call(number, Int(directory), path, &how, MemoryLayout<How>.size))
    }
}
