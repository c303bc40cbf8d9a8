import Foundation
import Platform

/// Where this machine has the `claude` CLI, for bots with the engine `claude-code`.
enum ClaudeCLI {
    /// Absolute path of an executable file, links resolved: that one file is what a sandbox is given.
    case found(String)
    /// A sentence.
    case absent(String)

    var path: String? { if case .found(let path) = self { path } else { nil } }

    static func locate(_ compute: PlatformConfiguration.Compute, searchPath: String? = ProcessInfo.processInfo.environment["PATH"]) -> ClaudeCLI {
        guard compute.backend == .process else { return .absent("compute.backend is \(compute.backend.rawValue): the CLI is only driven in processes of this machine") }
        if let path = compute.claudeCLI { return examine(path, named: "compute.claudeCLI") }
        let candidates = (searchPath ?? "").split(separator: ":").filter { $0.hasPrefix("/") }.map { "\($0)/claude" }
        guard let path = candidates.first(where: FileManager.default.isExecutableFile) else {
            return .absent("there is no claude on PATH and compute.claudeCLI is not set: bots cannot choose the engine claude-code")
        }
        return examine(path, named: "claude on PATH")
    }

    private static func examine(_ path: String, named name: String) -> ClaudeCLI {
        guard path.hasPrefix("/") else { return .absent("\(name) is '\(path)', which is no absolute path") }
        let real = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
        guard FileManager.default.isExecutableFile(atPath: real), let file = FileHandle(forReadingAtPath: real) else {
            return .absent("\(name) is \(path), and there is no executable file")
        }
        defer { try? file.close() }
        // A script of the npm package needs Node and the files around it; the native build is one file.
        guard (try? file.read(upToCount: 2)) != Data("#!".utf8) else {
            return .absent("\(name) is \(path), a script that needs more than itself: use the native build, as the PyPI package claude-agent-sdk has it")
        }
        return .found(real)
    }
}
