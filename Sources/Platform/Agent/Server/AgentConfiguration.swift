import Foundation
import Platform

/// How an agent process was told to serve, from its environment.
///
/// | variable | meaning |
/// |---|---|
/// | `CLAWBOT_AGENT_SOCKET` | path of the unix socket to listen on; or |
/// | `CLAWBOT_AGENT_PORT` | TCP port on all addresses; needs the key |
/// | `CLAWBOT_PROCESS_KEY` | key of this process alone, under which calls are signed |
/// | `CLAWBOT_IDLE_SECONDS` | ends after so long without a run; absent = never |
/// | `CLAWBOT_SESSION` | `botId#groupJid` that it was launched for; absent = a warm process, bound by its first payload |
/// | `CLAWBOT_MOUNTS` | without a sandbox only: JSON object, usual path (`/workspace/group`, …) → the directory that stands for it |
/// | `CLAWBOT_SANDBOX` | `1` = in a sandbox, with a network namespace of its own |
/// | `HOME` | `/home/agent` |
/// | `CLAWBOT_CLAUDE_CLI` | the `claude` CLI, for bots with the engine `claude-code`; absent = such runs fail |
/// | `CLAWBOT_MANAGED_POLICY` | file with the operator's policy, part of every system prompt |
/// | `CLAWBOT_LOG_LEVEL` | `info` |
public struct AgentConfiguration: Sendable {
    public enum Listener: Sendable, Hashable { case unixSocket(String), port(Int) }
    public var listener: Listener
    public var processKey: Secret?
    public var idleTimeout: Duration?
    public var session: SessionKey?
    /// The gateway's socket, where it is one on this machine: the agent ends when nobody listens there any more.
    public var gatewaySocket: String?
    /// In a sandbox, with a network namespace of its own.
    public var isSandboxed = false
    public var places: AgentPlaces
    /// Absolute path of the `claude` CLI.
    public var claudeCLI: String?
    /// Of the native engine.
    public var options = NativeEngine.Options()
    public var logLevel: String

    public struct Invalid: Error, Sendable, CustomStringConvertible { public var description: String }

    public init(environment: [String: String], processKey: Secret?) throws {
        func absent(_ name: String) -> Bool { environment[name]?.isEmpty ?? true }
        switch (environment["CLAWBOT_AGENT_SOCKET"], environment["CLAWBOT_AGENT_PORT"]) {
        case (let path?, nil) where path.hasPrefix("/") && path.utf8.count <= 107: listener = .unixSocket(path)
        case (nil, let text?):
            guard let port = Int(text), (1...65_535).contains(port) else {
                throw Invalid(description: "CLAWBOT_AGENT_PORT must be a port number from 1 to 65535.")
            }
            listener = .port(port)
        case (.some, nil): throw Invalid(description: "CLAWBOT_AGENT_SOCKET must be an absolute path of at most 107 bytes.")
        case (.some, .some): throw Invalid(description: "Set CLAWBOT_AGENT_SOCKET or CLAWBOT_AGENT_PORT, not both.")
        case (nil, nil): throw Invalid(description: "Set CLAWBOT_AGENT_SOCKET (a path) or CLAWBOT_AGENT_PORT (a number): where the agent is to listen.")
        }
        if case .port = listener, processKey?.isEmpty ?? true {
            throw Invalid(description: "CLAWBOT_PROCESS_KEY is needed with CLAWBOT_AGENT_PORT: calls over the network must be signed.")
        }
        self.processKey = processKey.flatMap { $0.isEmpty ? nil : $0 }
        if !absent("CLAWBOT_IDLE_SECONDS") {
            guard let seconds = Int(environment["CLAWBOT_IDLE_SECONDS"] ?? ""), (1...31_536_000).contains(seconds) else {
                throw Invalid(description: "CLAWBOT_IDLE_SECONDS must be a number of seconds from 1.")
            }
            idleTimeout = .seconds(seconds)
        }
        if !absent("CLAWBOT_SESSION") {
            guard let session = SessionKey(partition: environment["CLAWBOT_SESSION"] ?? ""), session.groupJid.isWellFormed else {
                throw Invalid(description: "CLAWBOT_SESSION must be botId#groupJid.")
            }
            self.session = session
        }
        if let gateway = environment["CLAWBOT_GATEWAY"], gateway.hasPrefix("unix:/") { gatewaySocket = String(gateway.dropFirst(5)) }
        var mounts: [String: String] = [:]
        if let text = environment["CLAWBOT_MOUNTS"], !text.isEmpty {
            guard let given = try? JSON.decode([String: String].self, from: text), given.values.allSatisfy({ $0.hasPrefix("/") }) else {
                throw Invalid(description: "CLAWBOT_MOUNTS must be a JSON object of absolute paths.")
            }
            mounts = given
        }
        // A launcher without a sandbox says where the directories are instead.
        isSandboxed = mounts.isEmpty && environment["CLAWBOT_SANDBOX"] == "1"
        let home = environment["HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil } ?? "/home/agent"
        places = AgentPlaces(mounts: mounts, home: home, policy: environment["CLAWBOT_MANAGED_POLICY"])
        claudeCLI = environment["CLAWBOT_CLAUDE_CLI"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        logLevel = environment["CLAWBOT_LOG_LEVEL"] ?? "info"
    }
}
