import Foundation
import Platform
import Synchronization

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Fetches one commit of a public repository with the system's git, and hands it over as a zip archive (SEC-95).
///
/// Nothing is checked out, so no hook, filter, submodule or link of the repository is ever acted upon: the archive is made from the
/// objects and read like any other that comes from somewhere. The host is resolved once and vetted, and git connects to that address
/// over https only, follows no redirect, knows no configuration of this machine and asks nobody. Time, processor time and the size of
/// what it writes are bounded.
public struct GitImport: Sendable {
    public struct Limits: Sendable {
        /// From the first byte to the finished archive (API.md §3.10).
        public var time = Duration.seconds(60)
        /// Of each file that git writes: the pack, and the archive.
        public var fileBytes = 64 << 20
        public init() {}
    }
    private let egress: EgressGuard
    private let limits: Limits
    private let program: String?

    /// - Parameter program: git; nil = there is none on this machine.
    public init(egress: EgressGuard, limits: Limits = Limits(), program: String? = GitImport.installed) {
        self.egress = egress; self.limits = limits; self.program = program
    }

    /// Where git is, if it is.
    public static var installed: String? { ["/usr/bin/git", "/usr/local/bin/git", "/opt/homebrew/bin/git"].first { access($0, X_OK) == 0 } }

    /// - Throws: ``ManagementError``
    func archive(of text: String, ref: String?) async throws -> Data {
        guard let url = WebAddress(text), url.scheme == .https, !url.hasQuery else { throw ManagementError.invalid("url", EgressGuard.Refusal.sentence) }
        let target: EgressGuard.Target
        do { target = try await egress.vet(url, for: .git) } catch { throw ManagementError.invalid("url", EgressGuard.Refusal.sentence) }
        guard let program else { throw ManagementError.invalidState("git is not installed on this server. Upload the skill as a zip archive instead.") }

        let place = FileManager.default.temporaryDirectory.appending(path: "clawbot-git-\(ULID.make())", directoryHint: .isDirectory)
        try FileManager.default.createDirectory(at: place, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(at: place) }
        let repository = place.appending(path: "r").path, archive = place.appending(path: "a.zip")
        let clone = ["clone", "--quiet", "--bare", "--depth", "1", "--single-branch", "--no-tags", "--no-recurse-submodules", "--template="]
            + (ref.map { ["--branch", $0] } ?? []) + ["--", url.description, repository]
        let pack = ["--git-dir", repository, "archive", "--format=zip", "--output", archive.path, "HEAD"]
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    for arguments in [clone, pack] {
                        let status = try await run([program] + settings(target) + arguments, home: place.path)
                        guard status == 0 else { throw Failed() }
                    }
                }
                group.addTask {
                    try await Task.sleep(for: limits.time)
                    throw TimedOut()
                }
                try await group.next()
                group.cancelAll()
            }
        } catch is TimedOut {
            throw ManagementError.upstreamTimeout("The repository was not fetched within \(Int(limits.time.seconds)) seconds.")
        } catch is Failed {
            throw ManagementError.upstreamFailed("The repository could not be fetched: it is not public, has no such branch or tag, is too large, or is not there.")
        }
        return try Data(contentsOf: archive)
    }

    private struct TimedOut: Error {}
    private struct Failed: Error {}

    /// Before the command. The address is the one that was vetted (SEC-41).
    private func settings(_ target: EgressGuard.Target) -> [String] {
        let address = target.address.contains(":") ? "[\(target.address)]" : target.address
        return [
            "http.curloptResolve=\(target.url.host):\(target.url.port):\(address)", "http.followRedirects=false", "http.proxy=", "protocol.allow=never", "protocol.https.allow=always",
            "core.hooksPath=/dev/null", "core.fsmonitor=false", "core.askPass=", "credential.helper=", "submodule.recurse=false", "fetch.fsckObjects=true", "gc.auto=0",
            "transfer.bundleURI=false",
        ].flatMap { ["-c", $0] }
    }

    /// The exit status; the whole process group is ended when the task is cancelled.
    private func run(_ words: [String], home: String) async throws -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        // The shell only sets limits: every word comes as an argument. POSIX counts files in blocks of 512 bytes.
        process.arguments = ["-c", "ulimit -f \(limits.fileBytes / 512); ulimit -t \(max(1, Int(limits.time.seconds))); exec \"$@\"", "sh"] + words
        process.environment = [
            "PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": home, "TMPDIR": home, "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": "https", "GIT_LFS_SKIP_SMUDGE": "1", "GIT_NO_REPLACE_OBJECTS": "1", "GIT_ATTR_NOSYSTEM": "1",
        ]
        process.currentDirectoryURL = URL(filePath: home)
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        let child = Child(process)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                process.terminationHandler = { continuation.resume(returning: $0.terminationReason == .exit ? $0.terminationStatus : 128 + $0.terminationStatus) }
                do { try child.start() } catch {
                    process.terminationHandler = nil
                    continuation.resume(throwing: error)
                }
            }
        } onCancel: {
            child.kill()
        }
    }

    /// A process that may be cancelled before it was started.
    private final class Child: Sendable {
        private enum State { case new, running(pid_t), cancelled }
        private let state = Mutex(State.new)
        /// Only touched under the lock.
        private let process: Process
        init(_ process: Process) { self.process = process }

        func start() throws {
            try state.withLock { state in
                if case .cancelled = state { throw CancellationError() }
                try process.run()
                state = .running(process.processIdentifier)
            }
        }
        /// Foundation starts children in groups of their own, so git's helpers end with it; where it does not, they end when they
        /// next write to it.
        func kill() {
            state.withLock { state in
                if case .running(let pid) = state {
                    if getpgid(pid) == pid { _ = killpg(pid, SIGKILL) }
                    _ = Foundation.kill(pid, SIGKILL)
                }
                state = .cancelled
            }
        }
    }
}
