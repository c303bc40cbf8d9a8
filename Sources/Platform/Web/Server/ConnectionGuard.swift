import Foundation
import NIOCore
import NIOHTTPTypes
import Synchronization

/// Keeps slow and greedy clients from holding the server (SEC-110): a limit of connections per address, and a lowest rate at which a
/// request body must arrive. Slow headers and idle connections end by the server's idle timeout.
final class ConnectionGuard: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart

    /// Open connections per client address, shared by all connections of a listener.
    final class Counter: Sendable {
        let limit: Int
        private let counts = Mutex<[String: Int]>([:])
        init(limit: Int) { self.limit = limit }
        func enter(_ address: String) -> Bool {
            counts.withLock { counts in
                guard counts[address, default: 0] < limit else { return false }
                counts[address, default: 0] += 1
                return true
            }
        }
        func leave(_ address: String) {
            counts.withLock { counts in
                let left = (counts[address] ?? 1) - 1
                counts[address] = left > 0 ? left : nil
            }
        }
    }

    /// In each interval at least so many bytes of a started body.
    private static let interval = TimeAmount.seconds(20)
    private static let leastBytes = 10 << 10
    private let counter: Counter
    private var address: String?
    private var received = 0
    private var watch: Scheduled<Void>?

    init(counter: Counter) { self.counter = counter }

    func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { enter(context) } }
    func channelActive(context: ChannelHandlerContext) {
        enter(context)
        context.fireChannelActive()
    }
    func channelInactive(context: ChannelHandlerContext) {
        leave()
        context.fireChannelInactive()
    }
    func handlerRemoved(context: ChannelHandlerContext) { leave() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head:
            received = 0
            schedule(context)
        case .body(let buffer): received += buffer.readableBytes
        case .end:
            watch?.cancel()
            watch = nil
        }
        context.fireChannelRead(data)
    }

    private func enter(_ context: ChannelHandlerContext) {
        guard address == nil, let peer = context.remoteAddress?.ipAddress else { return }
        guard counter.enter(peer) else { context.close(promise: nil); return }
        address = peer
    }

    private func leave() {
        watch?.cancel()
        watch = nil
        if let address { counter.leave(address) }
        address = nil
    }

    private func schedule(_ context: ChannelHandlerContext) {
        watch?.cancel()
        let channel = context.channel
        watch = context.eventLoop.assumeIsolatedUnsafeUnchecked().scheduleTask(in: Self.interval) { [weak self] in
            guard let self else { return }
            // A reader of ours that is itself slow holds reads back: then the client is not to blame.
            if received < Self.leastBytes, channel.isWritable { channel.close(promise: nil); return }
            received = 0
            schedule(context)
        }
    }
}
