import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Platform

#if canImport(Glibc)
    import Glibc
#endif

/// The gateway for sandboxes on this machine: one small HTTP listener per session, on a Unix socket in a directory of its own
/// (0700), all on one event loop group. Over a session's socket only that session's grants pass (SEC-64, SEC-73).
///
/// ```swift
/// let sockets = try GatewaySockets(routes: routes, runtimeDirectory: "/run/clawbot")
/// let path = try await sockets.open(session: session)   // …/5f2c…/gateway.sock; mount its directory
/// ```
public actor GatewaySockets {
    public enum SocketError: Error, Sendable, CustomStringConvertible {
        /// `sun_path` holds 107 bytes; the runtime directory must be shorter.
        case pathTooLong(String)
        case cannotCreate(String)
        public var description: String {
            switch self {
            case .pathTooLong(let path): "The socket path \(path) is longer than 103 bytes: choose a shorter runtime directory."
            case .cannotCreate(let path): "The directory \(path) cannot be made or is not ours."
            }
        }
    }
    private struct Listener {
        var channel: any NIOCore.Channel
        var serving: Task<Void, Never>
        var directory: String
        var egress: EgressListener?
    }
    public static let socketName = "gateway.sock"

    private let runtimeDirectory: String
    private let group: any EventLoopGroup
    private let peers: ClosedRange<uid_t>?
    private let logger: Logger
    private let decide: @Sendable (String?, SessionKey, WebAddress) async throws(EgressRefusal) -> EgressPassage
    private let respond: @Sendable (Request, SessionKey) async -> Response
    private var listeners: [SessionKey: Listener] = [:]

    /// - Parameters:
    ///   - runtimeDirectory: short, on a file system of this machine. What an earlier process left in it is removed.
    ///   - peers: the uids under which agents run, where those are not ours; they reach the sockets through id-mapped mounts.
    public init(
        routes: GatewayRoutes, runtimeDirectory: String, peers: ClosedRange<uid_t>? = nil, on group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger = Logger(label: "clawbot.gateway.sockets")
    ) throws {
        self.runtimeDirectory = runtimeDirectory
        self.group = group
        self.peers = peers
        self.logger = logger
        let gateway = routes.gateway
        decide = { (token, session, place) async throws(EgressRefusal) in try await gateway.egress(token: token, socketSession: session, to: place) }
        respond = { request, session in
            guard request.uri.path.hasPrefix(GatewayRoutes.prefix + "/") else {
                return GatewayProblem(404, "not-found", "Only \(GatewayRoutes.prefix) is served here.").response
            }
            return await routes.respond(to: request, socketSession: session)
        }
        try Self.makeDirectory(runtimeDirectory)
        for left in try FileManager.default.contentsOfDirectory(atPath: runtimeDirectory) where left.count == 24 {
            try FileManager.default.removeItem(atPath: "\(runtimeDirectory)/\(left)")
        }
    }

    /// Listens for the session's agent. Opening twice is harmless.
    /// - Returns: path of the socket on this host; its directory holds nothing else.
    public func open(session: SessionKey) async throws -> String {
        let directory = "\(runtimeDirectory)/\(Digest.sha256Hex(session.partition).prefix(24))"
        let path = "\(directory)/\(Self.socketName)"
        if listeners[session] != nil { return path }
        guard path.utf8.count <= 103 else { throw SocketError.pathTooLong(path) }
        try Self.makeDirectory(directory)
        let http = HTTP1Channel(
            responder: { [respond] request, writer, _ in
                let response = await respond(request, session)
                try await writer.write(response: response.head, body: response.body)
            },
            configuration: .init(
                httpDecoderConfiguration: .init(maxHeaderFieldSize: 16 * 1024, maxHeaderListSize: 16 * 1024, maxHeaderFieldCount: 100)))
        let own = geteuid()
        let allowed: @Sendable (uid_t) -> Bool = { [peers] uid in uid == own || peers?.contains(uid) == true }
        let logger = logger
        let listening = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { child in
                Self.checkPeer(child, allowed).flatMap { http.setup(channel: child, logger: logger) }
            }
        // Another caller may have opened the same session while this one was binding: the socket file is the later one's.
        if let other = listeners.removeValue(forKey: session) {
            other.serving.cancel()
            other.egress?.serving.cancel()
        }
        let serving = Task {
            do {
                try await withThrowingDiscardingTaskGroup { tasks in
                    try await listening.executeThenClose { inbound in
                        for try await child in inbound { tasks.addTask { await http.handle(value: child, logger: logger) } }
                    }
                    tasks.cancelAll()
                }
            } catch is CancellationError {
            } catch {
                logger.warning(
                    "a gateway socket ended", metadata: ["session": "\(Digest.sha256Hex(session.partition).prefix(12))", "cause": "\(error)"])
            }
        }
        let decide = decide
        let egress: EgressListener
        do {
            egress = try await EgressListener.open(
                "\(directory)/\(EgressListener.socketName)", on: group, logger: logger, admit: { Self.checkPeer($0, allowed) },
                decide: { (token, place) async throws(EgressRefusal) in try await decide(token, session, place) })
        } catch {
            serving.cancel()
            throw error
        }
        // As above: a second caller's sockets have replaced those of the first.
        if let other = listeners.removeValue(forKey: session) {
            other.serving.cancel()
            other.egress?.serving.cancel()
        }
        listeners[session] = Listener(channel: listening.channel, serving: serving, directory: directory, egress: egress)
        return path
    }

    /// Stops listening, cuts what is open on the socket, removes its directory. Harmless when it is closed.
    public func close(session: SessionKey) async {
        guard let listener = listeners.removeValue(forKey: session) else { return }
        await close(listener)
    }

    public func closeAll() async {
        let all = listeners
        listeners = [:]
        await withDiscardingTaskGroup { group in
            for listener in all.values { group.addTask { await self.close(listener) } }
        }
    }

    public var openCount: Int { listeners.count }

    private func close(_ listener: Listener) async {
        await listener.egress?.close()
        listener.serving.cancel()
        do { try await listener.channel.close() } catch {}  // Closed already by the cancellation.
        await listener.serving.value
        do { try FileManager.default.removeItem(atPath: listener.directory) } catch {
            logger.warning("removing a socket directory failed", metadata: ["cause": "\(error)"])
        }
    }

    /// Makes the directory 0700, or takes one that is ours and is no link.
    private static func makeDirectory(_ path: String) throws {
        if mkdir(path, 0o700) == 0 { return }
        if errno == ENOENT {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            return
        }
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR, status.st_uid == geteuid() || geteuid() == 0, chmod(path, 0o700) == 0
        else {
            throw SocketError.cannotCreate(path)
        }
    }

    /// `struct ucred` of unix(7), which Glibc's module shows under `_GNU_SOURCE` only.
    private struct PeerCredentials { var pid: Int32; var uid: UInt32; var gid: UInt32 }

    /// Only the agent's uid and ours may speak here (SEC-64).
    private static func checkPeer(_ channel: any NIOCore.Channel, _ allowed: @escaping @Sendable (uid_t) -> Bool) -> EventLoopFuture<Void> {
        #if os(Linux)
            guard let options = channel as? any SocketOptionProvider else { return channel.eventLoop.makeSucceededVoidFuture() }
            return options.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED)).flatMapThrowing { (peer: PeerCredentials) in
                guard allowed(peer.uid) else { throw ChannelError.inappropriateOperationForState }
            }
        #else
            return channel.eventLoop.makeSucceededVoidFuture()
        #endif
    }
}
