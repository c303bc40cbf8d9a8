import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Skills from git", .paced)
struct GitImportTests {
    private struct Resolver: HostResolver { func addresses(of host: String) async throws -> [String] { host == "inside.example.com" ? ["10.0.0.7"] : ["93.184.216.34"] } }

    /// A program that stands in git's place; `$dir` is the directory given to `body`.
    private func withGit(_ script: String, limits: GitImport.Limits = .init(), _ body: (GitImport, URL) async throws -> Void) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "git-\(ULID.make())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let program = folder.appending(path: "git")
        try Data("#!/bin/sh\ndir='\(folder.path)'\n\(script)\n".utf8).write(to: program)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program.path)
        try await body(GitImport(egress: EgressGuard(resolver: Resolver()), limits: limits, program: program.path), folder)
    }

    @Test("SEC-95 git is run with nothing of this machine, goes to the vetted address only, and its archive is handed over")
    func SEC_95_command() async throws {
        let script = #"""
            printf '%s\n' "$@" >> "$dir/words"; env > "$dir/env"
            while [ $# -gt 0 ]; do [ "$1" = --output ] && echo packed > "$2"; shift; done
            """#
        try await withGit(script) { git, folder in
            #expect(try await git.archive(of: "https://example.com/a/b.git", ref: "v1") == Data("packed\n".utf8))
            let words = try String(contentsOf: folder.appending(path: "words"), encoding: .utf8).split(separator: "\n").map(String.init)
            for setting in ["http.curloptResolve=example.com:443:93.184.216.34", "http.followRedirects=false", "protocol.allow=never", "protocol.https.allow=always", "core.hooksPath=/dev/null"] {
                #expect(words.contains(setting), "\(setting)")
            }
            for word in ["--bare", "--no-recurse-submodules", "--single-branch"] { #expect(words.contains(word), "\(word)") }
            let end = try #require(words.firstIndex(of: "--"))
            #expect(words[end + 1] == "https://example.com/a/b.git" && words[end - 2...end - 1] == ["--branch", "v1"])
            let variables = Set(try String(contentsOf: folder.appending(path: "env"), encoding: .utf8).split(separator: "\n").map { String($0.prefix { $0 != "=" }) })
            #expect(variables.isSubset(of: [
                "PATH", "HOME", "TMPDIR", "LC_ALL", "PWD", "_", "OLDPWD", "SHLVL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_GLOBAL", "GIT_TERMINAL_PROMPT", "GIT_ALLOW_PROTOCOL", "GIT_LFS_SKIP_SMUDGE",
                "GIT_NO_REPLACE_OBJECTS", "GIT_ATTR_NOSYSTEM",
            ]), "\(variables)")
        }
    }

    @Test("SEC-95 a name that leads inside is refused before git is run", arguments: [
        "https://inside.example.com/a", "https://10.0.0.7/a", "http://example.com/a", "ext::sh -c id", "file:///etc", "https://example.com/a?x=1", "ssh://example.com/a",
    ])
    func SEC_95_targets(_ url: String) async throws {
        try await withGit("touch \"$dir/ran\"") { git, folder in
            await #expect(throws: ManagementError.invalid("url", EgressGuard.Refusal.sentence)) { try await git.archive(of: url, ref: nil) }
            #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "ran").path))
        }
    }

    @Test("SEC-95 a repository that takes too long, writes too much or fails is a sentence")
    func SEC_95_bounds() async throws {
        var short = GitImport.Limits()
        short.time = .milliseconds(300)
        try await withGit("sleep 1000", limits: short) { git, _ in
            await #expect(throws: ManagementError.upstreamTimeout("The repository was not fetched within 0 seconds.")) { try await git.archive(of: "https://example.com/a", ref: nil) }
        }
        var small = GitImport.Limits()
        small.fileBytes = 64 << 10
        for script in ["dd if=/dev/zero of=\"$HOME/pack\" bs=65536 count=2 || exit 1", "exit 128"] {
            try await withGit(script, limits: small) { git, _ in
                await #expect(throws: ManagementError.upstreamFailed("The repository could not be fetched: it is not public, has no such branch or tag, is too large, or is not there.")) {
                    try await git.archive(of: "https://example.com/a", ref: nil)
                }
            }
        }
    }
}
