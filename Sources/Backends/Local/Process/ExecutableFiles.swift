#if os(Linux)
import Foundation
import Glibc

/// What the sandbox must hold beside the system directories to run our own executable: the file itself, and the libraries
/// that this process, which is the same program, has loaded from elsewhere (a Swift tool chain under `/opt`, a build folder).
struct ExecutableFiles: Sendable {
    /// Host path → path in the sandbox.
    var mounts: [(source: String, target: String)]
    /// As the sandbox sees it.
    var program: String
    /// Set where a library's directory differs in the sandbox.
    var libraryPath: String?

    static let systemDirectories = ["/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/lib32/"]

    init(executable: String, maps: String = "/proc/self/maps") {
        let executable = realpath(executable, nil).map { pointer in defer { free(pointer) }; return String(cString: pointer) } ?? executable
        let folder = (executable as NSString).deletingLastPathComponent
        program = "\(SandboxLayout.programs)/\((executable as NSString).lastPathComponent)"
        mounts = [(executable, program)]
        let text = (try? String(contentsOfFile: maps, encoding: .utf8)) ?? ""
        var libraries = Set<String>(), directories = Set<String>()
        for line in text.split(separator: "\n") {
            guard let start = line.firstIndex(of: "/") else { continue }
            let path = String(line[start...])
            guard path.contains(".so"), !path.hasSuffix(" (deleted)"), !Self.systemDirectories.contains(where: path.hasPrefix) else { continue }
            let directory = (path as NSString).deletingLastPathComponent
            // A build folder holds more than libraries: only the files. $ORIGIN finds them beside the program.
            if directory == folder { libraries.insert(path) } else { directories.insert(directory) }
        }
        for library in libraries.sorted() { mounts.append((library, "\(SandboxLayout.programs)/\((library as NSString).lastPathComponent)")) }
        // The same place as on the host, so that the program's own search path holds.
        for directory in directories.sorted() { mounts.append((directory, directory)) }
        libraryPath = directories.isEmpty ? nil : directories.sorted().joined(separator: ":")
    }

    /// Asks the kernel to read the program into the page cache: a cold first start costs 70 ms more (FACTS.md).
    func warmPageCache() {
        for (source, _) in mounts {
            let file = open(source, O_RDONLY | O_CLOEXEC)
            guard file >= 0 else { continue }
            posix_fadvise(file, 0, 0, POSIX_FADV_WILLNEED)
            close(file)
        }
    }
}
#endif
