import ControlPlane
import Foundation
import Logging
import NIOCore
import Platform
import Tunnel

/// One connection of a sandbox's commands to its way out: a `CONNECT` that becomes a tunnel, or one request in absolute form (RFC 9110
/// §9.3.6, RFC 9112 §3.2.2). The grant comes in `Proxy-Authorization`.
///
/// Where it goes, the gateway decides: name by the bot's policy, addresses by the guard; the connection is made to the address that was
/// vetted. Nothing is followed, nothing stored, one request a connection.
struct EgressConnection: Sendable {
    /// Decides about one connection.
    typealias Decision = @Sendable (_ token: String?, _ place: WebAddress) async throws(EgressRefusal) -> EgressPassage
    let decide: Decision
    let group: any EventLoopGroup
    let logger: Logger

    /// Until a request's head is there.
    static let headSeconds: Int64 = 30

    func serve(_ client: ByteChannel) async {
        do {
            try await client.executeThenClose { inbound, outbound in
                var bytes = inbound.makeAsyncIterator(), rest = ByteBuffer()
                let patience = client.channel.eventLoop.scheduleTask(in: .seconds(Self.headSeconds)) { [channel = client.channel] in channel.close(promise: nil) }
                do {
                    let head = try await MessageHead.read(&bytes, rest: &rest)
                    patience.cancel()
                    try await answer(head, client, &bytes, rest, outbound)
                } catch let refusal as EgressRefusal {
                    patience.cancel()
                    try await outbound.write(Self.answer(refusal))
                    outbound.finish()
                } catch MessageHead.Failure.malformed, MessageHead.Failure.tooLong {
                    patience.cancel()
                    try await outbound.write(Self.answer(EgressRefusal(400, "This is not an HTTP/1.1 request that a proxy takes.")))
                    outbound.finish()
                }
            }
        } catch {
            // Either side went away, or the run ended: both have been closed.
            logger.trace("an egress connection ended", metadata: ["cause": "\(error)"])
        }
    }

    private func answer(
        _ head: MessageHead, _ client: ByteChannel, _ bytes: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, _ rest: ByteBuffer,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) async throws {
        guard let (method, target) = head.request else { throw MessageHead.Failure.malformed }
        let isTunnel = method == "CONNECT"
        guard isTunnel || target.lowercased().hasPrefix("http://"), let (place, path) = Self.place(target, isTunnel: isTunnel) else {
            throw EgressRefusal(400, isTunnel ? "CONNECT takes a host and a port." : "This proxy takes CONNECT, and http URLs without user and fragment.")
        }
        let request = isTunnel ? nil : try Self.request(head, method, place, path)
        let passage = try await decide(Self.token(head), place)
        defer { passage.end() }
        let upstream: ByteChannel
        do {
            upstream = try await ByteStream.connect(
                to: SocketAddress(ipAddress: passage.address, port: passage.port), on: group, within: .seconds(passage.limits.connectSeconds),
                idle: .seconds(passage.limits.idleSeconds))
        } catch { throw EgressRefusal(502, "\(place.host) could not be reached: nothing answers there.") }
        passage.onEnd { [a = client.channel, b = upstream.channel] in
            a.close(promise: nil)
            b.close(promise: nil)
        }
        do {
            try await exchange(request, client, &bytes, rest, outbound, upstream, passage)
        } catch let refusal as EgressRefusal { throw Cut(cause: refusal) }
    }

    /// Ended when bytes had been passed on already: there is no place for a sentence any more.
    private struct Cut: Error { var cause: EgressRefusal }

    /// - Parameter request: what the server is asked first; nil for a tunnel.
    private func exchange(
        _ request: MessageHead?, _ client: ByteChannel, _ bytes: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, _ rest: ByteBuffer,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ upstream: ByteChannel, _ passage: EgressPassage
    ) async throws {
        try await upstream.executeThenClose { answers, questions in
            // Questions are read on here; the answers come from a task of their own.
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    do {
                        if request == nil {
                            try await ByteStream.pump(answers, into: outbound) { try passage.count(received: $0.readableBytes); return $0 }
                        } else {
                            try await Self.passAnswer(answers, to: outbound, passage)
                        }
                    } catch {
                        // Half an answer must not look like a whole one.
                        client.channel.close(promise: nil)
                        throw error
                    }
                }
                guard let request else {
                    try await outbound.write(ByteBuffer(string: "HTTP/1.1 200 Connection established\r\n\r\n"))
                    try await tunnel(&bytes, rest, questions, passage)
                    return try await tasks.waitForAll()
                }
                try await questions.write(request.bytes)
                try passage.count(sent: rest.readableBytes)
                if rest.readableBytes > 0 { try await questions.write(rest) }
                // The server learns the end of a request from its length; half a connection that is closed would make some give up.
                while let chunk = try await bytes.next() {
                    try passage.count(sent: chunk.readableBytes)
                    try await questions.write(chunk)
                }
                try await tasks.waitForAll()
            }
        }
    }

    /// The client's bytes into the tunnel. The first of a TLS client must name the host that the tunnel is for.
    private func tunnel(
        _ bytes: inout NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator, _ rest: ByteBuffer, _ questions: NIOAsyncChannelOutboundWriter<ByteBuffer>,
        _ passage: EgressPassage
    ) async throws {
        var first = rest
        examination: while true {
            switch ClientHello(Array(first.readableBytesView)) {
            case .incomplete:
                guard let more = try await bytes.next() else { break examination }
                first.writeImmutableBuffer(more)
            case .other: break examination
            case .server(let name):
                guard name == nil || name?.lowercased() == passage.host else { throw await passage.wrongServer(name) }
                break examination
            case .malformed: throw await passage.wrongServer(nil)
            }
        }
        try passage.count(sent: first.readableBytes)
        if first.readableBytes > 0 { try await questions.write(first) }
        try await ByteStream.pump(&bytes, into: questions) { try passage.count(sent: $0.readableBytes); return $0 }
    }

    /// One answer, its head marked as the last of the connection: a client that took it for reusable would send the next host's request here.
    private static func passAnswer(
        _ answers: NIOAsyncChannelInboundStream<ByteBuffer>, to outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ passage: EgressPassage
    ) async throws {
        var bytes = answers.makeAsyncIterator(), rest = ByteBuffer()
        while true {
            var head: MessageHead
            do { head = try await MessageHead.read(&bytes, rest: &rest) } catch is MessageHead.Failure {
                try await outbound.write(answer(EgressRefusal(502, "\(passage.host) did not answer as a web server does.")))
                outbound.finish()
                return
            }
            let isInterim = head.status.map { (100..<200).contains($0) } ?? false
            if !isInterim {
                head.remove(["connection", "keep-alive", "proxy-connection"])
                head.add("Connection", "close")
            }
            try await outbound.write(head.bytes)
            if !isInterim { break }
        }
        try passage.count(received: rest.readableBytes)
        if rest.readableBytes > 0 { try await outbound.write(rest) }
        try await ByteStream.pump(&bytes, into: outbound) { try passage.count(received: $0.readableBytes); return $0 }
    }

    /// Where a request goes, as the guard reads it; and what is asked for there.
    private static func place(_ target: String, isTunnel: Bool) -> (WebAddress, path: String)? {
        if isTunnel {
            // The port must be said, and nothing behind it.
            guard let colon = target.lastIndex(of: ":"), !target.hasSuffix("]"), colon < target.index(before: target.endIndex), !target.contains("/"), !target.contains("?"),
                let place = WebAddress("https://\(target)"), place.pathAndQuery.isEmpty
            else { return nil }
            return (place, "")
        }
        let rest = target.dropFirst("http://".count)
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let path = rest[end...]
        guard path.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }), let place = WebAddress("http://\(rest[..<end])") else { return nil }
        return (place, path.hasPrefix("/") ? String(path) : "/\(path)")
    }

    private static func request(_ head: MessageHead, _ method: String, _ place: WebAddress, _ path: String) throws -> MessageHead {
        // Two ways to tell a length are one too many.
        guard head["content-length"].count <= 1, head["content-length"].isEmpty || head["transfer-encoding"].isEmpty else { throw MessageHead.Failure.malformed }
        var passed = MessageHead(startLine: "\(method) \(path) HTTP/1.1", fields: [("Host", place.authority)] + head.fields.filter { $0.name.lowercased() != "host" })
        passed.remove(head.hopByHop)
        passed.add("Connection", "close")
        return passed
    }

    private static func token(_ head: MessageHead) -> String? {
        let values = head["proxy-authorization"]
        guard values.count == 1, values[0].utf8.count > 7, values[0].prefix(7).lowercased() == "bearer " else { return nil }
        return String(values[0].dropFirst(7))
    }

    private static let reasons = [400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 429: "Too Many Requests", 502: "Bad Gateway", 503: "Service Unavailable"]

    /// The sentence as a body for people, and in a field for the agent's runtime, which tells the model.
    private static func answer(_ refusal: EgressRefusal) -> ByteBuffer {
        // 407 would make clients ask their users for a password.
        let body = refusal.sentence + "\n"
        var head = MessageHead(startLine: "HTTP/1.1 \(refusal.status) \(reasons[refusal.status] ?? "Refused")")
        head.add("Content-Type", "text/plain; charset=utf-8")
        head.add("Content-Length", "\(body.utf8.count)")
        head.add("Connection", "close")
        head.add("X-Clawbot-Refusal", refusal.sentence.filter { $0.isASCII && $0 != "\r" && $0 != "\n" })
        var bytes = head.bytes
        bytes.writeString(body)
        return bytes
    }
}
