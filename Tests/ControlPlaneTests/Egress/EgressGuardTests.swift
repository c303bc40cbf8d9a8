import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Pace
import Synchronization
import Testing

@testable import ControlPlane
@testable import Platform

@Suite("Egress", .paced)
struct EgressGuardTests {
    private struct Names: HostResolver {
        var table: [String: [String]] = [:]
        func addresses(of host: String) async throws -> [String] { table[host] ?? [] }
    }

    private func refusal(_ guardian: EgressGuard, _ text: String, _ consumer: EgressGuard.Consumer = .proxyRule) async -> EgressGuard.Refusal? {
        guard let url = WebAddress(text) else { return .unresolved }
        do throws(EgressGuard.Refusal) { _ = try await guardian.vet(url, for: consumer); return nil } catch { return error }
    }

    @Test(
        "SEC-40 addresses of special ranges are told from those of the internet, in every form that carries one",
        arguments: [
            ("8.8.8.8", AddressRange.global), ("1.1.1.1", .global), ("172.15.255.255", .global), ("172.32.0.1", .global), ("100.63.255.255", .global), ("100.128.0.0", .global),
            ("192.0.1.1", .global), ("198.17.0.1", .global), ("198.20.0.1", .global), ("223.255.255.255", .global), ("11.0.0.1", .global), ("128.0.0.1", .global),
            ("2606:4700::1111", .global), ("2a00:1450::1", .global), ("64:ff9b::808:808", .global), ("::ffff:8.8.8.8", .global), ("2001:4860:4860::8888", .global),
            ("127.0.0.1", .privateUse), ("127.255.255.254", .privateUse), ("10.0.0.0", .privateUse), ("10.255.255.255", .privateUse), ("172.16.0.1", .privateUse),
            ("172.31.255.255", .privateUse), ("192.168.1.1", .privateUse), ("100.64.0.1", .privateUse), ("100.127.255.255", .privateUse), ("::1", .privateUse),
            ("fc00::1", .privateUse), ("fdff::1", .privateUse), ("::ffff:10.0.0.1", .privateUse), ("64:ff9b::a00:1", .privateUse), ("::ffff:127.0.0.1", .privateUse),
            ("0.0.0.0", .never), ("0.1.2.3", .never), ("169.254.169.254", .never), ("169.254.0.1", .never), ("100.100.100.200", .never), ("168.63.129.16", .never),
            ("192.0.0.192", .never), ("192.0.0.8", .never), ("192.0.2.7", .never), ("198.51.100.1", .never), ("203.0.113.255", .never), ("198.18.0.1", .never), ("198.19.255.255", .never),
            ("192.88.99.1", .never), ("224.0.0.1", .never), ("239.255.255.255", .never), ("240.0.0.1", .never), ("255.255.255.255", .never),
            ("::", .never), ("::ffff:169.254.169.254", .never), ("64:ff9b::a9fe:a9fe", .never), ("64:ff9b:1::1", .never), ("fe80::1", .never), ("fec0::1", .never), ("ff02::1", .never),
            ("fd00:ec2::254", .never), ("2001::1", .never), ("2001:2::1", .never), ("2001:20::1", .never), ("2001:db8::1", .never), ("2002:a00:1::", .never), ("2002:808:808::", .never),
            ("3fff::1", .never), ("3ffe::1", .never), ("::10.0.0.1", .never), ("4000::1", .never), ("100::1", .never),
        ])
    func SEC_40_ranges(_ address: String, _ range: AddressRange) { #expect(AddressRange(of: address) == range) }

    @Test(
        "SEC-43 a URL that two readers could understand differently is none",
        arguments: [
            "", "x", "//a.example", "https:a.example", "https:///x", "http://2130706433/", "https://0x7f.1/", "https://0x7f000001", "https://127.1", "https://0177.0.0.1", "https://1.2.3.4.5",
            "https://256.1.1.1", "https://01.2.3.4", "https://a@b.example", "https://a:b@c.example/", "https://b.example#x", "https://b.example.", "https://.b.example", "https://b..example",
            "https://-b.example", "https://b_c.example", "https://b.example:0", "https://b.example:080", "https://b.example:99999", "https://b.example:", "https://b.example:4x", "https://[::1",
            "https://[::1]x", "https://[1.2.3.4]", "https://[fe80::1%25eth0]/", "https://b%2eexample/", "https://bücher.example/", "https://b.example/a b", "https://b.example\\@c.example/",
            "https://b.example/\u{0}", "https://b.example/\n", "ftp://b.example", "file:///etc/passwd", "javascript:alert(1)", "gopher://b.example", "https://b.example/" + String(repeating: "x", count: 500),
        ])
    func SEC_43_parser(_ text: String) { #expect(WebAddress(text) == nil) }

    @Test("what a good URL says is read as written")
    func parser() throws {
        let url = try #require(WebAddress("HTTPS://API.Example.com:8443/v1/x?y=1"))
        #expect(url.scheme == .https && url.host == "api.example.com" && url.port == 8443 && url.pathAndQuery == "/v1/x?y=1" && url.hasQuery)
        #expect(url.description == "https://api.example.com:8443/v1/x?y=1")
        #expect(try #require(WebAddress("http://[2606:4700::1111]")).authority == "[2606:4700::1111]")
        #expect(try #require(WebAddress("https://xn--bcher-kva.example")).isDefaultPort)
    }

    @Test("SEC-41 every address of a name must pass, and the connection goes to one that was vetted")
    func SEC_41_all() async throws {
        let guardian = EgressGuard(resolver: Names(table: [
            "good.example": ["2606:4700::1111", "93.184.215.14"], "mixed.example": ["93.184.215.14", "127.0.0.1"], "six.example": ["93.184.215.14", "fd00::1"],
            "odd.example": ["93.184.215.14", "not an address"],
        ]))
        let url = try #require(WebAddress("https://good.example/x"))
        #expect(try await guardian.vet(url, for: .proxyRule).address == "93.184.215.14")
        for name in ["mixed", "six", "odd"] { #expect(await refusal(guardian, "https://\(name).example") == .address) }
        #expect(await refusal(guardian, "https://nobody.example") == .unresolved)
        #expect(await refusal(guardian, "https://good.example:22") == .port)
        #expect(await refusal(guardian, "http://good.example") == .plainHTTP)
        #expect(await refusal(EgressGuard(resolver: Names(table: ["good.example": ["93.184.215.14"]]), ownBlocks: [NetworkBlock("93.184.0.0/16")!]), "https://good.example") == .address)
    }

    @Test("SEC-44 a private target is for the consumer that the operator named, never for a tenant, and metadata for nobody")
    func SEC_44_private() async throws {
        let target = PlatformConfiguration.PrivateTarget(consumer: .providers, host: "10.1.2.3", port: 443)
        let guardian = EgressGuard(resolver: Names(table: ["evil.example": ["127.0.0.1"]]), privateTargets: [target])
        #expect(await refusal(guardian, "https://10.1.2.3/v1", .provider) == nil)
        #expect(await refusal(guardian, "https://10.1.2.3:444/v1", .provider) == .address)
        for consumer in [EgressGuard.Consumer.proxyRule, .mcpServer, .git, .attachment, .agent, .channel] { #expect(await refusal(guardian, "https://10.1.2.3/v1", consumer) == .address) }
        let local = EgressGuard(resolver: Names(table: ["evil.example": ["127.0.0.1"], "localhost": ["127.0.0.1", "::1"]]), allowsLocalProviders: true)
        for url in ["http://127.0.0.1:11434", "http://localhost:8080/v1", "https://192.168.1.9", "http://[::1]:1234"] {
            #expect(await refusal(local, url, .provider) == nil, "\(url)")
            #expect(await refusal(local, url, .proxyRule) != nil, "\(url)")
            #expect(await refusal(guardian, url, .provider) != nil, "\(url)")
        }
        #expect(await refusal(local, "https://evil.example", .provider) == .address, "a public name that leads home is a rebinding")
        for url in ["http://169.254.169.254/", "https://[fd00:ec2::254]", "http://metadata.google.internal", "http://[fe80::1]"] { #expect(await refusal(local, url, .provider) == .address) }
    }

    @Test("SEC-45 a name that moves is refused at the connection, and the canary behind it hears nothing")
    func SEC_45_connection() async throws {
        let canary = try await Canary()
        let client = EgressClient()
        let names = MovingNames()
        names.set("moved.example", ["93.184.215.14"])
        let target = PlatformConfiguration.PrivateTarget(consumer: .providers, host: "moved.example", port: canary.port)
        let url = try #require(WebAddress("http://moved.example:\(canary.port)/path"))
        let tenant = EgressGuard(resolver: names, morePorts: [canary.port])
        names.set("moved.example", ["127.0.0.1"])
        #expect(await refusal(tenant, "https://moved.example:\(canary.port)/path") == .address)
        #expect(canary.heard.isEmpty)
        // The operator's own target is reached where the name leads, under its own name.
        let operators = EgressGuard(resolver: names, privateTargets: [target])
        let vetted = try await operators.vet(url, for: .provider)
        // Moves once more between the look and the connection: the vetted address counts.
        names.set("moved.example", ["192.0.2.1"])
        let status = try await client.execute(HTTPClientRequest(url: url.description), to: vetted, timeout: .seconds(30)) { $0.status.code }
        await #expect(throws: EgressGuard.Refusal.address) {
            try await client.execute(HTTPClientRequest(url: "http://moved.example.evil.example:\(canary.port)/"), to: vetted, timeout: .seconds(30)) { $0.status.code }
        }
        #expect(status == 302, "SEC-42: a redirect is an answer, nobody follows it")
        #expect(canary.heard == ["GET /path moved.example:\(canary.port)"])
        await client.shutdown()
        await canary.close()
    }
}

private final class MovingNames: HostResolver {
    private let table = Mutex<[String: [String]]>([:])
    func set(_ host: String, _ addresses: [String]) { table.withLock { $0[host] = addresses } }
    func addresses(of host: String) async throws -> [String] { table.withLock { $0[host] ?? [] } }
}

/// A server on this machine that notes what reaches it and answers with a redirect to the metadata service.
private final class Canary: Sendable {
    private let channel: any NIOCore.Channel
    private let log = Log()
    let port: Int
    var heard: [String] { log.lines.withLock { $0 } }

    final class Log: Sendable { let lines = Mutex<[String]>([]) }

    init() async throws {
        let log = log
        channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(log: log))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }
    func close() async { try? await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart
        let log: Log
        init(log: Log) { self.log = log }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): log.lines.withLock { $0.append("\(head.method) \(head.uri) \(head.headers["host"].joined())") }
            case .body: break
            case .end:
                let head = HTTPResponseHead(version: .http1_1, status: .found, headers: ["location": "http://169.254.169.254/", "content-length": "0"])
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            }
        }
    }
}
