#if os(Linux)
import Foundation
import Glibc
import Platform

/// This server's own directory of sockets, 0711 with unguessable 0700 children (SEC-64). A lock tells a living server's
/// directory from one that a killed server left behind; those are removed at start.
struct RuntimeDirectory: Sendable {
    let path: String
    private let lock: Int32
    /// Longest path of a Unix socket: `sun_path` less its final NUL.
    static let longestSocketPath = 107

    init(under parent: String) throws(ComputeError) {
        let parent = parent.count > 1 && parent.hasSuffix("/") ? String(parent.dropLast()) : parent
        let example = "\(parent)/000000/00000000/agent/agent.sock"
        guard parent.hasPrefix("/"), example.utf8.count <= Self.longestSocketPath else {
            throw .launchFailed("the runtime directory \(parent) is not absolute, or too long for socket paths (at most \(Self.longestSocketPath - example.utf8.count + parent.utf8.count) bytes)")
        }
        if !FileManager.default.fileExists(atPath: parent) {
            do { try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711]) }
            catch { throw .launchFailed("the runtime directory \(parent) cannot be made: \(error.localizedDescription)") }
        }
        Self.sweep(parent)
        path = "\(parent)/\(Self.name(6))"
        guard mkdir(path, 0o711) == 0 else { throw .launchFailed("the runtime directory \(parent) is not writable: \(String(cString: strerror(errno)))") }
        lock = open("\(path)/lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else { throw .launchFailed("the runtime directory \(path) cannot be locked") }
    }

    func remove() {
        try? FileManager.default.removeItem(atPath: path)
        close(lock)
    }

    /// A new 0700 directory for one launch, with `agent` in it.
    func makeLaunchDirectory() throws -> String {
        let directory = "\(path)/\(Self.name(8))"
        guard mkdir(directory, 0o700) == 0, mkdir("\(directory)/agent", 0o700) == 0 else { throw KernelError("mkdir \(directory)") }
        return directory
    }

    private static func name(_ length: Int) -> String { String(ULID.make().suffix(length)).lowercased() }

    private static func sweep(_ parent: String) {
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            let file = open("\(parent)/\(entry)/lock", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
            guard file >= 0 else { continue }
            if flock(file, LOCK_EX | LOCK_NB) == 0 { try? FileManager.default.removeItem(atPath: "\(parent)/\(entry)") }
            close(file)
        }
    }
}
#endif
