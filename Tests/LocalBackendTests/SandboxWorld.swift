#if os(Linux)
import Foundation
import Glibc
import Logging
import Platform
import Testing

@testable import LocalBackend

/// A launcher in a temporary directory that runs probe scripts as the sandboxed payload.
struct SandboxWorld: Sendable {
    let root: String
    let launcher: ProcessLauncher

    static func run<T>(
        _ payload: [String] = ["/usr/bin/python3", "/workspace/probe/probe.py"], configure: (inout SandboxSettings) -> Void = { _ in },
        _ body: (SandboxWorld) async throws -> T
    ) async throws -> T {
        let root = FileManager.default.temporaryDirectory.path + "/sb" + String(ULID.make().suffix(8))
        // As a data directory is: nobody but the server may pass.
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        var settings = SandboxSettings(payload: .command(payload), runtimeDirectory: root + "/run", dataDirectory: root)
        configure(&settings)
        var logger = Logger(label: "sandbox-test")
        logger.logLevel = .error
        let launcher = try await ProcessLauncher(settings, logger: logger)
        let world = SandboxWorld(root: root, launcher: launcher)
        do {
            let result = try await body(world)
            await launcher.shutdown()
            try? FileManager.default.removeItem(atPath: root)
            return result
        } catch {
            await launcher.shutdown()
            try? FileManager.default.removeItem(atPath: root)
            throw error
        }
    }

    /// A session's directories, with the probe script mounted read-only.
    func session(_ name: String, probe: String) throws -> LaunchRequest {
        for directory in ["\(name)/group", "\(name)/probe", "\(name)/gateway"] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(directory)", withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        try probe.write(toFile: "\(root)/\(name)/probe/probe.py", atomically: true, encoding: .utf8)
        return LaunchRequest(
            id: LaunchID(ULID.make()), session: SessionKey(botId: BotID("bot"), groupJid: GroupJID("web:\(name)")),
            mounts: [
                .init(source: "\(root)/\(name)/group", target: "/workspace/group", writable: true),
                .init(source: "\(root)/\(name)/probe", target: "/workspace/probe", writable: false),
            ], processKey: Secret("the-process-key"), gatewaySocket: "\(root)/\(name)/gateway/gateway.sock", idleTimeout: .seconds(60))
    }

    /// Runs a Python probe to its end and returns what it left in `result` as JSON.
    func probe(_ name: String = "a", _ script: String, prepare: (LaunchRequest) throws -> LaunchRequest = { $0 }) async throws -> Value {
        let prelude = """
            import os, sys, json, errno, socket, ctypes, signal, subprocess, time
            result = {}
            def attempt(name, f):
                try:
                    f(); result[name] = 'OK'
                except OSError as e:
                    result[name] = errno.errorcode.get(e.errno, str(e))
                except BaseException as e:
                    result[name] = type(e).__name__
            libc = ctypes.CDLL(None, use_errno=True)
            def call(name, number, *args):
                ctypes.set_errno(0)
                r = libc.syscall(number, *args)
                result[name] = 'OK' if r >= 0 else errno.errorcode.get(ctypes.get_errno())

            """
        let end = "\nopen('/workspace/group/result.json', 'w').write(json.dumps(result))\n"
        let request = try prepare(session(name, probe: prelude + script + end))
        _ = try await launcher.launch(request)
        await launcher.waitUntilGone(request.id)
        let state = try #require(await launcher.describe([request.id])[request.id])
        let path = "\(root)/\(name)/group/result.json"
        guard let data = FileManager.default.contents(atPath: path) else {
            Issue.record("the probe left no result: \(state)")
            return .null
        }
        return try JSON.value(data)
    }
}

/// Waits until a condition holds; a generous deadline instead of a sleep.
func eventually(within seconds: Double = 60, _ condition: () async throws -> Bool) async throws -> Bool {
    let deadline = Date() + seconds
    while Date() < deadline {
        if try await condition() { return true }
        try await Task.sleep(for: .milliseconds(3))
    }
    return false
}
#endif
