import Foundation

#if canImport(Glibc)
import Glibc
#else
import Darwin
#endif

/// Holds the data directory for this process: the kernel lets go of it when the process dies, however it dies.
/// So whoever has it knows that every earlier holder is dead.
final class DirectoryLock: Sendable {
    private let descriptor: Int32

    /// - Throws: ``LocalDatabaseError/inUse(directory:processID:)``, ``LocalDatabaseError/directory(_:reason:)``
    init(directory: URL) throws {
        let path = directory.appendingPathComponent("clawbot.lock").path
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            let code = errno
            if code == EROFS || code == EACCES { throw LocalDatabaseError.readOnly(path: directory.path) }
            throw LocalDatabaseError.directory(directory.path, reason: String(cString: strerror(code)))
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            var text = [UInt8](repeating: 0, count: 20)
            let count = max(0, pread(descriptor, &text, text.count, 0))
            close(descriptor)
            let holder = String(decoding: text[..<count], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
            throw LocalDatabaseError.inUse(directory: directory.path, processID: holder.isEmpty ? nil : holder)
        }
        let text = Array("\(getpid())\n".utf8)
        // The number is only there for the message of a second process; the lock is what counts.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, text, text.count, 0) }
        self.descriptor = descriptor
    }

    /// Lets another process (or this one) have the directory before the value goes away.
    func release() { flock(descriptor, LOCK_UN) }

    deinit { close(descriptor) }
}

/// Who holds a data directory.
public enum DataHolder {
    /// The process that has it open; nil when nobody has. Takes nothing from anybody.
    public static func processID(of directory: URL) -> String? {
        guard FileManager.default.fileExists(atPath: directory.appendingPathComponent("clawbot.lock").path) else { return nil }
        do {
            try DirectoryLock(directory: directory).release()
            return nil
        } catch LocalDatabaseError.inUse(_, let id) { return id ?? "?" } catch { return nil }
    }
}
