import Logging
import NIOCore
import NIOPosix
import Platform
import ServiceLifecycle

/// Notices that the control plane of this machine is gone: holds one connection to the gateway's socket, which the kernel closes
/// when that process dies, however it dies. `--die-with-parent` does the same at once, but not for a control plane that was
/// killed in the very moment in which it started the sandbox.
struct GatewayWatch: Service {
    /// Connections refused in a row, a second apart, after which the agent ends.
    static let patience = 3

    let socket: String
    let group: any EventLoopGroup
    let time: any TimeSource
    let logger: Logger

    /// Returns when the gateway is gone, or with the process.
    func run() async throws {
        await cancelWhenGracefulShutdown {
            var refused = 0
            while !Task.isCancelled {
                do {
                    let connection = try await ClientBootstrap(group: group).connect(unixDomainSocketPath: socket).get()
                    refused = 0
                    await withTaskCancellationHandler {
                        try? await connection.closeFuture.get()
                    } onCancel: {
                        connection.close(promise: nil)
                    }
                } catch {
                    refused += 1
                    guard refused < Self.patience else {
                        logger.notice("the gateway is gone; the agent ends")
                        return
                    }
                }
                do { try await time.sleep(for: .seconds(1)) } catch { return }
            }
        }
    }
}
