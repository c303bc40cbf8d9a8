import Foundation
import Logging
import NIOCore
import NIOPosix
import Platform
import ServiceLifecycle

#if canImport(Glibc)
    import Glibc
#endif

/// The operator's door of a running process: a Unix socket that only the same user (or root) on this machine may speak to. One
/// order, one report, each a line of JSON.
struct OperatorSocket: Service {
    let dataDirectory: String
    let desk: OperatorDesk
    let logger: Logger
    private static let longestLine = 1 << 20

    /// In the data directory; where that path is too long for a socket (107 bytes), in a directory named after it.
    static func path(_ dataDirectory: String) -> String {
        let data = URL(fileURLWithPath: dataDirectory).resolvingSymlinksInPath().standardizedFileURL.path
        let plain = data + "/operator.sock"
        return plain.utf8.count <= 103 ? plain : "/tmp/clawbot-\(Digest.sha256Hex(data).prefix(16))-o/operator.sock"
    }

    func run() async throws {
        let path = Self.path(dataDirectory)
        let directory = (path as NSString).deletingLastPathComponent
        if !FileManager.default.fileExists(atPath: directory) {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        }
        guard Self.isOurs(directory) else {
            logger.error("operator socket not opened: its directory belongs to somebody else", metadata: ["path": .string(directory)])
            return
        }
        let listening = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true) { child in
                Self.checkPeer(child).flatMapThrowing {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: child)
                }
            }
        chmod(path, 0o600)
        try? await cancelWhenGracefulShutdown {
            try await listening.executeThenClose { inbound in
                try await withThrowingDiscardingTaskGroup { tasks in
                    for try await child in inbound { tasks.addTask { await serve(child) } }
                }
            }
        }
        unlink(path)
    }

    private func serve(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async {
        do {
            try await connection.executeThenClose { inbound, outbound in
                guard let line = try await Self.line(inbound) else { return }
                let report: OperatorReport
                if let order = try? JSON.decode(OperatorOrder.self, from: line) {
                    report = await desk.carryOut(order)
                    logger.notice("operator order", metadata: ["action": .string(order.action.rawValue), "done": "\(report.refusal == nil)"])
                } else {
                    report = OperatorReport(refusal: "The running server does not know this order; it may be of another version.")
                }
                try await outbound.write(ByteBuffer(string: JSON.text(report) + "\n"))
            }
        } catch { logger.debug("operator connection ended", metadata: ["error": "\(error)"]) }
    }

    /// Sends an order to the process that runs on the data.
    /// - Returns: nil when none runs.
    static func send(_ order: OperatorOrder, dataDirectory: String) async throws -> OperatorReport? {
        let path = path(dataDirectory)
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        guard isOurs((path as NSString).deletingLastPathComponent) || geteuid() == 0 else {
            throw OperatorRefusal("The data in \(dataDirectory) belongs to another user of this machine: run this as that user or as root.")
        }
        let connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>
        do {
            connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton).connect(unixDomainSocketPath: path) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel) }
            }
        } catch let error as IOError where error.errnoCode == ECONNREFUSED || error.errnoCode == ENOENT { return nil }
        return try await connection.executeThenClose { inbound, outbound in
            try await outbound.write(ByteBuffer(string: JSON.text(order) + "\n"))
            guard let line = try await Self.line(inbound) else { throw OperatorRefusal("The running server ended before it answered. Look whether the order was carried out.") }
            return try JSON.decode(OperatorReport.self, from: line)
        }
    }

    private static func line(_ inbound: NIOAsyncChannelInboundStream<ByteBuffer>) async throws -> Data? {
        var data = Data()
        for try await chunk in inbound {
            data.append(contentsOf: chunk.readableBytesView)
            if data.last == 0x0a { return data.dropLast() }
            guard data.count <= longestLine else { return nil }
        }
        return nil
    }

    private static func isOurs(_ directory: String) -> Bool {
        var status = stat()
        return lstat(directory, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
    }

    /// `struct ucred` of unix(7), which Glibc's module shows under `_GNU_SOURCE` only.
    private struct PeerCredentials { var pid: Int32; var uid: UInt32; var gid: UInt32 }

    private static func checkPeer(_ channel: any NIOCore.Channel) -> EventLoopFuture<Void> {
        #if os(Linux)
            guard let options = channel as? any SocketOptionProvider else {
                return channel.eventLoop.makeFailedFuture(ChannelError.inappropriateOperationForState)
            }
            return options.unsafeGetSocketOption(level: .socket, name: .init(rawValue: SO_PEERCRED)).flatMapThrowing { (peer: PeerCredentials) in
                guard peer.uid == geteuid() || peer.uid == 0 else { throw ChannelError.inappropriateOperationForState }
            }
        #else
            return channel.eventLoop.makeSucceededVoidFuture()
        #endif
    }
}
