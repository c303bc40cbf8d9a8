import ControlPlane
import Logging
import NIOCore
import NIOPosix
import Platform
import Tunnel

/// The way out of one session's sandbox: a Unix socket beside the gateway's, which speaks the language of HTTP proxies.
struct EgressListener: Sendable {
    static let socketName = "egress.sock"
    let channel: any NIOCore.Channel
    let serving: Task<Void, Never>

    /// - Parameter admit: looks at who connects, before anything is read.
    static func open(
        _ path: String, on group: any EventLoopGroup, logger: Logger, admit: @escaping @Sendable (any NIOCore.Channel) -> EventLoopFuture<Void>, decide: @escaping EgressConnection.Decision
    ) async throws -> EgressListener {
        let listening = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 128)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { child in
                admit(child).flatMapThrowing { try ByteStream.wrap(child, idle: .seconds(300)) }
            }
        let serving = Task {
            do {
                try await withThrowingDiscardingTaskGroup { tasks in
                    try await listening.executeThenClose { inbound in
                        for try await child in inbound {
                            tasks.addTask { await EgressConnection(decide: decide, group: group, logger: logger).serve(child) }
                        }
                    }
                    tasks.cancelAll()
                }
            } catch is CancellationError {
            } catch {
                logger.warning("an egress socket ended", metadata: ["cause": "\(error)"])
            }
        }
        return EgressListener(channel: listening.channel, serving: serving)
    }

    func close() async {
        serving.cancel()
        do { try await channel.close() } catch {}  // Closed already by the cancellation.
        await serving.value
    }
}
