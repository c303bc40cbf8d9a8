import Foundation
import Platform

/// npm packages of a server, installed without a shell and without running anything of theirs (SEC-90).
///
/// They lie in the conversation's workspace, so that what was resolved the first time stays until the owner changes the list: later
/// installations go by the lock file, whose digests a republished version does not match.
struct MCPPackages: Sendable {
    let packages: [String]
    /// A directory of the server's own.
    let directory: String
    let environment: [String: String]

    /// Where the programs of the packages are.
    var programs: String { directory + "/node_modules/.bin" }

    func install(time: Duration, groups: CommandGroups) async throws(MCPFailure) {
        let files = FileManager.default
        let stamp = directory + "/packages.json"
        let wanted = (try? JSON.encode(packages)) ?? Data()
        let isSame = files.contents(atPath: stamp) == wanted
        if isSame, files.fileExists(atPath: programs) { return }
        do {
            try files.createDirectory(atPath: directory, withIntermediateDirectories: true)
            if !isSame { try? files.removeItem(atPath: directory + "/package-lock.json") }
        } catch { throw .cannotStart("the directory of its packages cannot be made") }
        guard let npm = StdioTransport.Launch.find("npm", in: environment, first: nil, directory: directory) else { throw .cannotStart("npm is not installed") }
        let keepsVersions = isSame && files.fileExists(atPath: directory + "/package-lock.json")
        let flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", directory]
        let command = Command(
            executable: npm, arguments: keepsVersions ? ["ci"] + flags : ["install", "--save-exact"] + flags + ["--"] + packages, environment: environment,
            directory: directory)
        let end: Command.End
        do {
            end = try await command.run(into: CapturedOutput(limit: 8192, fileLimit: 0, directory: directory), timeout: time, groups: groups)
        } catch { throw .cannotStart("npm could not be run") }
        guard end == .exited(0) else { throw .cannotStart("its packages could not be installed") }
        try? wanted.write(to: URL(fileURLWithPath: stamp))
    }
}

extension StdioTransport.Launch {
    /// The program of that name: a path as it is, a name in `first` and then along the environment's `PATH`.
    static func find(_ command: String, in environment: [String: String], first: String?, directory: String) -> String? {
        if command.contains("/") {
            let path = command.hasPrefix("/") ? command : directory + "/" + command
            return access(path, X_OK) == 0 ? path : nil
        }
        let places = (first.map { [$0] } ?? []) + (environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map(String.init)
        return places.map { $0 + "/" + command }.first { path in
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue && access(path, X_OK) == 0
        }
    }
}
