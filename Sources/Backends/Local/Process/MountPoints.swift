#if os(Linux)
import Foundation
import Glibc
import Platform

/// Mounts inside other mounts have their mount point in a tree that an agent may have written. The sandbox tool would follow
/// a link planted there, so the launcher makes such points itself, walking by descriptor and never through a link (SEC-35).
enum MountPoints {
    static func prepare(_ mounts: [LaunchRequest.Mount]) throws {
        for mount in mounts {
            let parents = mounts.filter { $0.target != mount.target && mount.target.hasPrefix($0.target + "/") }
            guard let parent = parents.max(by: { $0.target.count < $1.target.count }) else { continue }
            let relative = mount.target.dropFirst(parent.target.count + 1).split(separator: "/").map(String.init)
            try make(relative, beneath: parent.source, directory: isDirectory(mount.source))
        }
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func make(_ parts: [String], beneath root: String, directory: Bool) throws {
        var current = open(root, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard current >= 0 else { throw KernelError("opening \(root)") }
        defer { close(current) }
        for (index, part) in parts.enumerated() {
            let last = index == parts.count - 1
            if last && !directory {
                try clear(part, in: current, keeping: S_IFREG)
                let file = openat(current, part, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
                guard file >= 0 else { throw KernelError("making the mount point \(part)") }
                close(file)
            } else {
                try clear(part, in: current, keeping: S_IFDIR)
                mkdirat(current, part, 0o700)
                let next = openat(current, part, O_DIRECTORY | O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
                guard next >= 0 else { throw KernelError("making the mount point \(part)") }
                close(current)
                current = next
            }
        }
    }

    /// Removes what stands in the way: a link, a pipe, a file where a directory is meant.
    private static func clear(_ name: String, in directory: Int32, keeping type: mode_t) throws {
        var status = stat()
        guard fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0, status.st_mode & S_IFMT != type else { return }
        let isDirectory = status.st_mode & S_IFMT == S_IFDIR
        guard unlinkat(directory, name, isDirectory ? AT_REMOVEDIR : 0) == 0 else { throw KernelError("clearing the mount point \(name)") }
    }
}
#endif
