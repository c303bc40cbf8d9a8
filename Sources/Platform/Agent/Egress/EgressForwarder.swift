import Foundation
import Logging
import NIOCore
import NIOPosix
import Platform
import Synchronization
import Tunnel

/// The way out for commands in a sandbox: a listener on the loopback of the agent's own network namespace, which hands each connection to
/// the control plane's sockets and adds the grant of the run (SEC-60, SEC-82).
///
/// `CONNECT` and requests in absolute form go to the egress socket; `/proxy/…` is a call of the credential proxy and goes to the gateway.
/// What a command sends as its own log-in to a proxy is dropped.
final class EgressForwarder: Sendable {
    private let gatewaySocket: String
    private let egressSocket: String
    private let group: any EventLoopGroup
    private let logger: Logger
    /// The grant of the active run; nil between runs.
    private let grant: @Sendable () -> String?
    let refusals = EgressRefusals()
    let port: Int
    private let listening: NIOAsyncChannel<ByteChannel, Never>

    /// Binds at once, so that ``port`` is known before any command starts.
    init(gatewaySocket: String, on group: any EventLoopGroup, logger: Logger, grant: @escaping @Sendable () -> String?) async throws {
        self.gatewaySocket = gatewaySocket
        egressSocket = (gatewaySocket as NSString).deletingLastPathComponent + "/egress.sock"
        self.group = group; self.logger = logger; self.grant = grant
        listening = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 128)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(host: "127.0.0.1", port: 0) { child in
                child.eventLoop.makeCompletedFuture { try ByteStream.wrap(child, idle: .seconds(600)) }
            }
        port = listening.channel.localAddress?.port ?? 0
    }

    /// What commands find in their environment. Both spellings: curl reads `http_proxy` in lower case only.
    var environment: [String: String] {
        let address = "http://127.0.0.1:\(port)"
        var variables = ["CLAWBOT_PROXY_URL": "\(address)/proxy"]
        for (name, value) in ["HTTP_PROXY": address, "HTTPS_PROXY": address, "NO_PROXY": "localhost,127.0.0.1,::1"] {
            variables[name] = value
            variables[name.lowercased()] = value
        }
        return variables
    }

    /// Serves until cancelled.
    func run() async {
        do {
            try await withThrowingDiscardingTaskGroup { tasks in
                try await listening.executeThenClose { inbound in
                    for try await child in inbound { tasks.addTask { await self.serve(child) } }
                }
                tasks.cancelAll()
            }
        } catch is CancellationError {
        } catch {
            logger.warning("the way out for commands ended", metadata: ["cause": "\(error)"])
        }
    }

    private func serve(_ client: ByteChannel) async {
        do {
            try await client.executeThenClose { inbound, outbound in
                var bytes = inbound.makeAsyncIterator(), rest = ByteBuffer()
                let head = try await MessageHead.read(&bytes, rest: &rest)
                guard let (socket, outgoing) = route(head) else {
                    let sentence = grant() == nil ? "No run is active: nothing goes out between runs." : "This is a proxy, and /proxy/ for APIs with stored log-ins."
                    try await outbound.write(
                        ByteBuffer(string: "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\(sentence)\n"))
                    return outbound.finish()
                }
                let isTunnel = head.request?.method == "CONNECT"
                let upstream = try await ByteStream.connect(
                    to: SocketAddress(unixDomainSocketPath: socket), on: group, within: .seconds(5), idle: .seconds(600))
                try await join(client, &bytes, rest, outbound, upstream, outgoing, noting: isTunnel)
            }
        } catch {
            logger.trace("a command's connection ended", metadata: ["cause": "\(error)"])
        }
    }

    private func join(
        _ client: ByteChannel, _ bytes: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, _ rest: ByteBuffer,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ upstream: ByteChannel, _ head: MessageHead, noting: Bool
    ) async throws {
        try await upstream.executeThenClose { answers, questions in
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    do {
                        var bytes = answers.makeAsyncIterator()
                        if noting {
                            var rest = ByteBuffer()
                            let head = try await MessageHead.read(&bytes, rest: &rest)
                            if let sentence = head["x-clawbot-refusal"].first { self.refusals.note(sentence) }
                            var first = head.bytes
                            first.writeImmutableBuffer(rest)
                            try await outbound.write(first)
                        }
                        try await ByteStream.pump(&bytes, into: outbound)
                    } catch {
                        // Half an answer must not look like a whole one.
                        client.channel.close(promise: nil)
                        throw error
                    }
                }
                var first = head.bytes
                first.writeImmutableBuffer(rest)
                try await questions.write(first)
                try await ByteStream.pump(&bytes, into: questions)
                try await tasks.waitForAll()
            }
        }
    }

    /// The socket that a request is for, and its head as that socket wants it; nil for what is neither, and between runs.
    private func route(_ head: MessageHead) -> (socket: String, head: MessageHead)? {
        guard let grant = grant(), let (method, target) = head.request else { return nil }
        var head = head
        head.remove(["proxy-authorization", "proxy-connection"])
        guard target.hasPrefix("/") else {
            head.add("Proxy-Authorization", "Bearer \(grant)")
            return (egressSocket, head)
        }
        guard target.hasPrefix("/proxy/") else { return nil }
        // One request a connection: the next one would come without a grant.
        head.remove(head.hopByHop.union(["authorization", "host"]))
        head.startLine = "\(method) /agent/v1\(target) HTTP/1.1"
        head.fields.insert(("Host", "gateway"), at: 0)
        head.add("Authorization", "Bearer \(grant)")
        head.add("Connection", "close")
        return (gatewaySocket, head)
    }
}

/// Sentences with which connections of commands were refused: many programs show a status only, so the tool tells the model.
public final class EgressRefusals: Sendable {
    private let sentences = Mutex<[String]>([])
    public init() {}
    func note(_ sentence: String) { sentences.withLock { if $0.count < 10, !$0.contains(sentence) { $0.append(String(sentence.prefix(300))) } } }
    /// Those since the last time.
    func take() -> [String] { sentences.withLock { all in defer { all = [] }; return all } }
}
