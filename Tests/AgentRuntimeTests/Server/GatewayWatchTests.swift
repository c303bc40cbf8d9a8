import Foundation
import Logging
import NIOCore
import NIOPosix
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("An agent whose control plane is gone", .paced)
struct GatewayWatchTests {
    @Test("SEC-67 the watch returns once nobody listens on the gateway's socket any more, and not before")
    func SEC_67_gone() async throws {
        let path = "/tmp/cb-watch-\(UInt32.random(in: .min ... .max)).sock"
        let accepted = AsyncStream<any NIOCore.Channel>.makeStream()
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { child in
                accepted.continuation.yield(child)
                return child.eventLoop.makeSucceededVoidFuture()
            }
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        let watch = Task {
            try await GatewayWatch(socket: path, group: MultiThreadedEventLoopGroup.singleton, time: SystemTime(), logger: Logger(label: "test")).run()
        }
        var connections = accepted.stream.makeAsyncIterator()
        // A connection that is cut while somebody listens still is made again.
        let first = try #require(await connections.next())
        try await first.close()
        let second = try #require(await connections.next())
        try await listener.close()
        // Closed with its listener, or by us.
        second.close(promise: nil)
        try await watch.value
        unlink(path)
    }
}
