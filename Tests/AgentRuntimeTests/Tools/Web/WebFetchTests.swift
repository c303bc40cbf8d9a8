import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import NIOPosix
import Pace
import Platform
import Synchronization
import Testing

@testable import AgentRuntime

@Suite("WebFetch", .paced)
struct WebFetchTests {
    private static let pdf = Data("%PDF-1.4\n%%EOF".utf8)
    private static let png = Data([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3])

    private func fetch(_ url: String, _ prompt: String? = nil, in world: ToolWorld) async throws -> ToolResult {
        try await world.call(WebFetchTool(), ["url": .string(url), "prompt": prompt.map(Value.string) ?? .null])
    }

    @Test("a page comes as Markdown with its title and address, other text as it is, with its encoding")
    func pages() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                #expect(try await fetch(server.url("/page"), in: world).text == "\(server.url("/page"))\nTitle: A page\n\n# Head\n\nwords with a [link](\(server.url("/x")))")
                #expect(try await fetch(server.url("/json"), in: world).text == "\(server.url("/json"))\n\n{\"a\": 1}")
                #expect(try await fetch(server.url("/latin"), in: world).text.hasSuffix("\n\ngrün"))
                #expect(try await fetch(server.url("/packed"), in: world).text.hasSuffix("unpacked"))
                let empty = try await fetch(server.url("/scripts"), in: world)
                #expect(empty.text.contains("no text on this page") && !empty.isError)
            }
        }
    }

    @Test("images and PDFs are shown where the model takes them, other files are kept and named")
    func files() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                world.context.takesDocuments = true
                #expect(try await fetch(server.url("/png"), in: world).content.last == .image(mediaType: "image/png", data: Self.png))
                #expect(try await fetch(server.url("/file.pdf"), in: world).content.last == .document(mediaType: "application/pdf", data: Self.pdf, title: "file.pdf"))
                let zip = try await fetch(server.url("/file.zip"), in: world).text
                let path = try #require(zip.firstMatch(of: /kept in (\S+)/)?.1)
                #expect(zip.contains("application/zip") && FileManager.default.contents(atPath: String(path)) == Data("PK\u{3}\u{4}\0".utf8))
            }
        }
    }

    @Test("a status over 399 is an error that shows what the page says")
    func statuses() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                let missing = try await fetch(server.url("/absent"), in: world)
                #expect(missing.isError && missing.text.contains("status 404") && missing.text.contains("not here"))
            }
        }
    }

    @Test("redirects within a site are followed, to another site they are told, and in circles they end")
    func redirects() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                #expect(try await fetch(server.url("/moved"), in: world).text.hasPrefix(server.url("/page")))
                let other = try await fetch(server.url("/away"), in: world)
                #expect(!other.isError && other.text.contains("redirects to another site (status 302): https://other.example/there"))
                #expect(try await fetch(server.url("/circle"), in: world).text.contains("more than 10 times"))
                #expect(try await fetch(server.url("/to-file"), in: world).text.contains("no web address"))
            }
        }
    }

    @Test("a page that is too long is kept in a file, and its beginning is shown, or the answer to the question")
    func long() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                world.context.limits.webText = 2000
                let plain = try await fetch(server.url("/long"), in: world).text
                #expect(plain.utf8.count < 2600 && plain.contains("word 1\n") && !plain.contains("word 900\n"))
                let path = try #require(plain.firstMatch(of: /is in (\S+): search/)?.1)
                #expect(try String(contentsOfFile: String(path), encoding: .utf8).contains("word 900"))
                let asked = Mutex("")
                world.context.sideModel = SideModel { question, _ in
                    asked.withLock { $0 = question }
                    return .assistant("It is word 900.")
                }
                let answered = try await fetch(server.url("/long"), "Which is the 900th word?", in: world).text
                #expect(answered.contains("It is word 900.") && answered.contains("The whole page"))
                let question = asked.withLock { $0 }
                #expect(question.hasPrefix("Which is the 900th word?") && question.contains("word 900"))
                // A model that cannot be asked costs nothing but the answer.
                world.context.sideModel = SideModel { _, _ in throw ModelFailure.quotaExceeded }
                #expect(try await fetch(server.url("/long"), "Which?", in: world).text.contains("Cut here"))
            }
        }
    }

    @Test("SEC-46 size and time are bounded, and a stopped call ends")
    func bounds() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                world.context.limits.web.bytes = 5000
                #expect(try await fetch(server.url("/endless"), in: world).text.contains("Only the first 5000 bytes"))
                world.context.limits.web.bytes = 10 << 20
                world.context.limits.web.time = .milliseconds(300)
                #expect(try await fetch(server.url("/silent"), in: world).text.contains("did not answer in full"))
                world.context.limits.web.time = .seconds(600)
                let context = world.context
                let call = Task { try await WebFetchTool().outcome(of: .object(["url": .string(server.url("/silent"))]), in: context) }
                try await server.hasSeen("/silent", times: 2)
                call.cancel()
                await #expect(throws: CancellationError.self) { _ = try await call.value }
            }
        }
    }

    @Test(
        "what is no public page is refused with a sentence",
        arguments: [
            ("ftp://example.org/x", "Only http and https"), ("file:///etc/passwd", "is no URL"), ("", "is no URL"), ("http://user:secret@example.org/", "user name"),
            ("https://" + String(repeating: "a", count: 3000), "longer than 2000"), ("http://127.0.0.1:1/", "could not be reached"),
        ])
    func refusals(_ url: String, _ sentence: String) async throws {
        try await ToolWorld.run { world in
            let result = try await fetch(url, in: world)
            #expect(result.isError && result.text.contains(sentence), "\(result.text)")
        }
    }

    @Test("the environment's proxy is used, its refusal told, and no_proxy honoured")
    func proxy() async throws {
        try await WebServer.with { server in
            try await ToolWorld.run { world in
                // It is asked to CONNECT, also for a plain request: so it sees which host is meant, and the page is between the two ends.
                let proxy = try await ConnectProxy.start(allowing: "site.example:8080")
                world.context.environment["http_proxy"] = "http://127.0.0.1:\(proxy.port)"
                world.context.environment["HTTPS_PROXY"] = "http://127.0.0.1:\(proxy.port)"
                let plain = try await fetch("http://site.example:8080/anything", in: world).text
                #expect(plain.hasSuffix("through CONNECT site.example:8080: GET /anything"))
                #expect(try await fetch("https://site.example/", in: world).text.contains("The way to site.example was refused"))
                #expect(try await fetch("http://site.example/", in: world).text.contains("The way to site.example was refused"))
                world.context.environment["NO_PROXY"] = "localhost,127.0.0.1"
                #expect(try await fetch(server.url("/json"), in: world).text.contains("{\"a\": 1}"))
                try await proxy.stop()
            }
        }
    }
}

/// A proxy that knows one host, and answers in its place.
struct ConnectProxy {
    let channel: any NIOCore.Channel
    var port: Int { channel.localAddress?.port ?? 0 }

    static func start(allowing host: String) async throws -> ConnectProxy {
        let bootstrap = ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(Handler(host: host)) }
        }
        return ConnectProxy(channel: try await bootstrap.bind(host: "127.0.0.1", port: 0).get())
    }
    func stop() async throws { try await channel.close().get() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let host: String
        private var text = ""
        private var target: String?
        init(host: String) { self.host = host }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text += String(buffer: unwrapInboundIn(data))
            guard text.contains("\r\n\r\n") else { return }
            let words = text.split(separator: " ").prefix(2).map(String.init)
            text = ""
            let answer: String
            if let target {
                let body = "through CONNECT \(target): \(words.joined(separator: " "))"
                answer = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)"
            } else if words == ["CONNECT", host] {
                target = host
                answer = "HTTP/1.1 200 OK\r\n\r\n"
            } else {
                answer = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
            }
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
        }
    }
}

/// A small site on a free port.
final class WebServer: Sendable {
    private let state = Mutex<(port: Int, seen: [String])>((0, []))
    var port: Int { state.withLock { $0.port } }
    func url(_ path: String) -> String { "http://127.0.0.1:\(port)\(path)" }

    func hasSeen(_ path: String, times: Int) async throws {
        #expect(await eventually { self.state.withLock { $0.seen.count { $0 == path } } >= times })
    }

    static func with(_ body: @escaping @Sendable (WebServer) async throws -> Void) async throws {
        let server = WebServer()
        try await withThrowingTaskGroup(of: Void.self) { group in
            let ready = Latch(1)
            group.addTask {
                let application = Application(
                    responder: Responder(server: server), configuration: .init(address: .hostname("127.0.0.1", port: 0), serverName: nil),
                    onServerRunning: { channel in
                        server.state.withLock { $0.port = channel.localAddress?.port ?? 0 }
                        ready.arrive()
                    }, logger: quietLogger)
                try await application.run()
            }
            await ready.wait()
            let result: Result<Void, any Error>
            do {
                try await body(server)
                result = .success(())
            } catch {
                result = .failure(error)
            }
            group.cancelAll()
            while let ended = await group.nextResult() { _ = ended }
            try result.get()
        }
    }

    private struct Responder: HTTPResponder {
        typealias Context = BasicRequestContext
        let server: WebServer
        func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
            server.state.withLock { $0.seen.append(request.uri.path) }
            return try await server.answer(request)
        }
    }

    private func text(_ text: String, _ type: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(status: status, headers: [.contentType: type], body: .init(byteBuffer: ByteBuffer(string: text)))
    }
    private func bytes(_ data: some Sequence<UInt8>, _ type: String) -> Response {
        Response(status: .ok, headers: [.contentType: type], body: .init(byteBuffer: ByteBuffer(bytes: data)))
    }
    private func moved(_ to: String, _ status: HTTPResponse.Status = .found) -> Response { Response(status: status, headers: [.location: to]) }

    private func answer(_ request: Request) async throws -> Response {
        switch request.uri.path {
        case "/page": return text("<title>A page</title><script>1</script><h1>Head</h1><p>words with a <a href=/x>link</a>", "text/html; charset=utf-8")
        case "/json": return text("{\"a\": 1}", "application/json")
        case "/latin": return bytes(Array("gr".utf8) + [0xfc] + Array("n".utf8), "text/plain; charset=ISO-8859-1")
        case "/packed":
            var response = bytes(
                // gzip of "unpacked"
                [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 0x2b, 0xcd, 0x2b, 0x48, 0x4c, 0xce, 0x4e, 0x4d, 0x01, 0x00, 0x96, 0x62, 0x2f, 0xca, 8, 0, 0, 0], "text/plain")
            response.headers[.contentEncoding] = "gzip"
            return response
        case "/scripts": return text("<div id=root></div><script>render()</script>", "text/html")
        case "/png": return bytes([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3], "application/octet-stream")
        case "/file.pdf": return text("%PDF-1.4\n%%EOF", "application/pdf")
        case "/file.zip": return bytes(Array("PK\u{3}\u{4}\0".utf8), "application/zip")
        case "/moved": return moved("/moved-again", .movedPermanently)
        case "/moved-again": return moved(url("/page"), .temporaryRedirect)
        case "/away": return moved("https://other.example/there")
        case "/circle": return moved("/circle")
        case "/to-file": return moved("file:///etc/passwd")
        case "/long": return text("<ol>" + (1...1000).map { "<p>word \($0)</p>" }.joined() + "</ol>", "text/html")
        case "/endless":
            return Response(status: .ok, headers: [.contentType: "text/plain"], body: .init { writer in
                while true { try await writer.write(ByteBuffer(string: String(repeating: "x", count: 1000) + "\n")) }
            })
        case "/silent":
            return Response(status: .ok, headers: [.contentType: "text/plain"], body: .init { writer in
                try await writer.write(ByteBuffer(string: "a"))
                try await Task.sleep(for: .seconds(3600))
            })
        default: return text("<p>not here</p>", "text/html", status: .notFound)
        }
    }
}
