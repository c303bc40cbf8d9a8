import NIOCore
import NIOPosix

/// One end of a connection as raw bytes: what of a proxy stays after its head has been read.
public typealias ByteChannel = NIOAsyncChannel<ByteBuffer, ByteBuffer>

/// Makes connections whose two directions end one after the other: the end of one must not cut what still flows in the other.
public enum ByteStream {
    /// Takes a connection over on its event loop; it is closed when nothing moves on it for `idle`.
    public static func wrap(_ channel: any Channel, idle: TimeAmount) throws -> ByteChannel {
        try channel.pipeline.syncOperations.addHandlers([IdleStateHandler(allTimeout: idle), CloseWhenIdle()])
        return try ByteChannel(
            wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true, inboundType: ByteBuffer.self, outboundType: ByteBuffer.self))
    }

    /// Connects to an address, not to a name: whoever vetted it knows where this goes.
    /// - Throws: what the kernel says, or a time-out.
    public static func connect(to address: SocketAddress, on group: any EventLoopGroup, within limit: TimeAmount, idle: TimeAmount) async throws -> ByteChannel {
        try await ClientBootstrap(group: group).connectTimeout(limit).channelOption(.allowRemoteHalfClosure, value: true)
            .connect(to: address) { channel in channel.eventLoop.makeCompletedFuture { try wrap(channel, idle: idle) } }
    }

    /// Passes on what comes from `source`, then closes the other's output. `take` may hold bytes back, change them, or end it by throwing.
    public static func pump(
        _ source: NIOAsyncChannelInboundStream<ByteBuffer>, into sink: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ take: (ByteBuffer) async throws -> ByteBuffer = { $0 }
    ) async throws {
        var bytes = source.makeAsyncIterator()
        try await pump(&bytes, into: sink, take)
    }

    public static func pump(
        _ bytes: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, into sink: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        _ take: (ByteBuffer) async throws -> ByteBuffer = { $0 }
    ) async throws {
        while let chunk = try await bytes.next() {
            let passed = try await take(chunk)
            if passed.readableBytes > 0 { try await sink.write(passed) }
        }
        sink.finish()
    }

    private final class CloseWhenIdle: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) } else { context.fireUserInboundEventTriggered(event) }
        }
    }
}
