import HTTPTypes
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOHTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("connections", .paced)
struct ConnectionGuardTests {
    private func connect(_ counter: ConnectionGuard.Counter, from address: String = "192.0.2.1") throws -> EmbeddedChannel {
        let channel = EmbeddedChannel(handler: ConnectionGuard(counter: counter))
        try channel.connect(to: SocketAddress(ipAddress: address, port: 4711)).wait()
        return channel
    }
    private func begin(_ channel: EmbeddedChannel) throws {
        try channel.writeInbound(HTTPRequestPart.head(HTTPRequest(method: .put, scheme: "http", authority: "x", path: "/api/shared-memory")))
    }
    private func send(_ count: Int, to channel: EmbeddedChannel) throws { try channel.writeInbound(HTTPRequestPart.body(ByteBuffer(repeating: 0x61, count: count))) }

    @Test("SEC-110 an address has so many connections and no more; the end of one makes room for the next, and others are not concerned")
    func SEC_110_perAddress() throws {
        let counter = ConnectionGuard.Counter(limit: 2)
        let first = try connect(counter), second = try connect(counter), third = try connect(counter), other = try connect(counter, from: "192.0.2.2")
        #expect(first.isActive && second.isActive && !third.isActive && other.isActive)
        try first.close().wait()
        #expect(try connect(counter).isActive)
        #expect(try !connect(counter).isActive)
    }

    @Test("SEC-110 a body that trickles ends its connection; one that flows, and the pause between requests, do not")
    func SEC_110_bodyRate() throws {
        let counter = ConnectionGuard.Counter(limit: 10)
        let slow = try connect(counter), quick = try connect(counter), idle = try connect(counter)
        try begin(slow)
        try begin(quick)
        try begin(idle)
        try idle.writeInbound(HTTPRequestPart.end(nil))
        for _ in 0..<3 {
            if slow.isActive { try send(1000, to: slow) }
            try send(11_000, to: quick)
            for channel in [slow, quick, idle] { channel.embeddedEventLoop.advanceTime(by: .seconds(20)) }
        }
        #expect(!slow.isActive && quick.isActive && idle.isActive)
    }

    @Test("what the parser refuses is answered with a sentence once, and answers to requests before it are left alone")
    func unreadable() throws {
        let channel = EmbeddedChannel(handler: UnreadableRequests(headers: ResponseHeaders(isHTTPS: false, corsOrigins: []), limit: 1000))
        func answer() throws -> [HTTPResponsePart] {
            try channel.writeOutbound(HTTPResponsePart.head(.init(status: .badRequest, headerFields: [.connection: "close", .contentLength: "0"])))
            var parts: [HTTPResponsePart] = []
            while let part = try channel.readOutbound(as: HTTPResponsePart.self) { parts.append(part) }
            return parts
        }
        #expect(try answer().count == 1)
        channel.pipeline.fireErrorCaught(HTTPParserError.headerOverflow)
        let parts = try answer()
        guard parts.count == 2, case .head(let head) = parts[0], case .body(let body) = parts[1] else { Issue.record("\(parts)"); return }
        #expect(head.status.code == 431 && head.headerFields[.contentType] == "application/problem+json" && head.headerFields[.contentLength] == "\(body.readableBytes)")
        #expect(String(buffer: body).contains("1000 bytes"))
        _ = try? channel.finish()
    }
}
