import Foundation
import NIOCore
import NIOPosix
import Pace
import Testing

@testable import Tunnel

@Suite("What a proxy reads of a connection", .paced) struct TunnelTests {
    private static func vector(_ size: Int, _ bytes: [UInt8]) -> [UInt8] {
        (0..<size).reversed().map { UInt8(truncatingIfNeeded: bytes.count >> ($0 * 8)) } + bytes
    }
    /// A ClientHello in one handshake message, as records of `record` bytes.
    private static func hello(_ names: [String], record: Int = 16_000) -> [UInt8] {
        let extensions = names.flatMap { name in [0, 0] + vector(2, vector(2, [0] + vector(2, Array(name.utf8)))) } + [0, 43] + vector(2, [2, 3, 4])
        let body = [3, 3] + [UInt8](repeating: 7, count: 32) + vector(1, [UInt8](repeating: 1, count: 32)) + vector(2, [0x13, 1]) + vector(1, [0]) + vector(2, extensions)
        let message: [UInt8] = [1] + vector(3, body)
        return stride(from: 0, to: message.count, by: record).flatMap { [22, 3, 1] + vector(2, Array(message[$0..<min($0 + record, message.count)])) }
    }

    @Test("SEC-84 a ClientHello's server is read, whole, in parts and over records; what is none is told apart")
    func SEC_84_hello() {
        let whole = Self.hello(["a.example"])
        #expect(ClientHello(whole) == .server("a.example"))
        #expect(ClientHello(whole + [23, 3, 3, 0, 1, 0]) == .server("a.example"))
        #expect(ClientHello(Self.hello(["a.example"], record: 20)) == .server("a.example"))
        for count in 1..<whole.count { #expect(ClientHello(Array(whole[..<count])) == .incomplete, "\(count)") }
        #expect(ClientHello(Self.hello([])) == .server(nil))
        #expect(ClientHello([]) == .incomplete)
        #expect(ClientHello(Array("GET / HTTP/1.1\r\n".utf8)) == .other)
        #expect(ClientHello(Self.hello(["a.example", "b.example"])) == .malformed)
        var torn = whole
        torn[5] = 2
        #expect(ClientHello(torn) == .malformed)
    }

    @Test("a head is read strictly", arguments: [
        ("GET http://a/ HTTP/1.1\r\nHost: a\r\n", true), ("CONNECT a:1 HTTP/1.1\r\n", true), ("GET / HTTP/1.1\r\nA:  b \t\r\n", true), ("GET / HTTP/1.1\r\nA:\r\n", true),
        ("GET / HTTP/1.1\nA: b\r\n", false), ("GET / HTTP/1.1\r\nA : b\r\n", false), ("GET / HTTP/1.1\r\n A: b\r\n", false), ("GET / HTTP/1.1\r\nA\r\n", false),
        ("GET / HTTP/1.1\r\nA: b\rc\r\n", false), ("GET / HTTP/1.1\r\nA: b\u{0}\r\n", false), ("\r\n", false),
    ])
    func heads(_ text: String, _ isFine: Bool) {
        // Without the last line's LF, as the reader cuts it.
        let head = try? MessageHead(Array(text.utf8.dropLast()))
        #expect((head != nil) == isFine)
    }

    @Test("SEC-78 fields of one connection are known by name and by what Connection names")
    func SEC_78_hops() throws {
        let head = try MessageHead(Array("GET / HTTP/1.1\r\nConnection: close, X-One\r\nHost: a\r\nX-One: 1\r\nProxy-Authorization: b\r\nTE: trailers\r\nContent-Length: 3\r".utf8))
        var passed = head
        passed.remove(head.hopByHop)
        #expect(passed.fields.map(\.name) == ["Host", "Content-Length"])
        let evil = try MessageHead(Array("GET / HTTP/1.1\r\nConnection: content-length, host\r".utf8))
        #expect(!evil.hopByHop.contains("content-length") && !evil.hopByHop.contains("host"))
    }
}
