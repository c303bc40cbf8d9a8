import AsyncHTTPClient
import ControlPlane
import Foundation
import Hummingbird
import HummingbirdTesting
import NIOCore
import NIOPosix
import Pace
import Platform
import Testing

@testable import WebAPI

/// A gateway with one run, over in-memory stores and the demo provider.
private struct Door {
    let time = ManualTime()
    let records: InMemoryRecordStore
    let objects = InMemoryObjectStore()
    let replies = InMemoryMessageQueue()
    let gateway: AgentGateway
    let routes: GatewayRoutes
    let userId = UserID("01J00000000000000000000USR")
    let botId = BotID("01J00000000000000000000B0T")
    let group = GroupJID("web:main")
    let invocation = InvocationID(ULID.make())
    let signer = PlatformKeys(roots: [Data(repeating: 7, count: 32)]).grantSigner
    var session: SessionKey { SessionKey(botId: botId, groupJid: group) }
    var layout: ObjectLayout { ObjectLayout(userId: userId, botId: botId) }
    let token: String

    init(provider: Provider? = nil, kinds: [Provider.Kind: any ModelProvider] = [:], key: String? = nil) async throws {
        records = InMemoryRecordStore(time: time)
        let secrets = InMemorySecretStore()
        gateway = AgentGateway(
            records: records, objects: objects, replies: replies, live: InMemoryLiveEvents(),
            tasks: TaskService(records: records, scheduler: NoScheduler(), time: time),
            providers: ProviderResolution(records: records, secrets: secrets, stage: "t", kinds: kinds), quota: Plenty(), signer: signer, time: time)
        routes = GatewayRoutes(gateway: gateway)
        token = try signer.sign(
            Grant(
                userId: userId, botId: botId, groupJid: group, channelType: .web, invocationId: invocation, sessionEpoch: 0, issuedAt: time.now(),
                expiresAt: time.now() + 600))
        try await records.put(User(userId: userId, email: "a@example.org", at: time.now()))
        var bot = Bot(botId: botId, userId: userId, name: "Bo", at: time.now())
        bot.status = .active
        try await records.put(bot)
        try await ProviderBootstrap.ensure(records: records, secrets: secrets, stage: "t", environment: [:], time: time)
        if let provider { try await records.put(provider) }
        if let key, let provider { try await secrets.put(ProviderResolution.secretName(stage: "t", provider.providerId), Secret(key)) }
        var session = Session(session: SessionKey(botId: botId, groupJid: group), userId: userId)
        session.run = Run(
            invocationId: invocation, attempt: 1, startedAt: time.now(), deadline: time.now() + 540, node: "n", channelType: .web, isGroup: false,
            slot: "s",
            model: provider?.modelIds.first ?? "demo", providerId: provider?.providerId ?? Provider.demoID, toolWhitelist: ToolWhitelist())
        try await records.put(session)
    }

    func test(_ body: @escaping @Sendable (any TestClientProtocol) async throws -> Void) async throws {
        let router = Router()
        routes.add(to: router)
        try await Application(router: router).test(.live) { try await body($0) }
    }
    var headers: HTTPFields { [.authorization: "Bearer \(token)", .contentType: "application/json"] }
}

private struct NoScheduler: Scheduler {
    func put(_ schedule: TaskSchedule) async throws {}
    func remove(_ botId: BotID, _ taskId: TaskID) async throws {}
    func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {}
    func probe() async throws {}
}
private struct Plenty: TokenQuota {
    func granted(_ userId: UserID, slot: String) async throws -> Int { 10_000_000 }
    func topUp(_ userId: UserID, slot: String, by tokens: Int) async throws(QuotaExceeded) -> Int { tokens }
}
/// The body as JSON; null when it is none.
private func json(_ buffer: ByteBuffer) -> Value { (try? JSON.value(Data(buffer.readableBytesView))) ?? .null }

@Suite("The gateway over HTTP", .paced) struct GatewayHTTPTests {
    @Test("a reply is accepted with 202; unknown fields, other types and broken JSON are problems") func replies() async throws {
        let door = try await Door()
        try await door.test { client in
            let id = ULID.make()
            let body = ByteBuffer(string: #"{"sequence":0,"messageId":"\#(id)","kind":"message","text":"hi"}"#)
            try await client.execute(uri: "/agent/v1/replies", method: .post, headers: door.headers, body: body) { response in
                #expect(response.status == .accepted)
                #expect(json(response.body)["messageId"]?.string == id)
                #expect(response.headers[.init("X-Request-Id")!] != nil)
            }
            for (text, status, slug) in [
                (#"{"sequence":1,"messageId":"x","kind":"message","text":"hi","extra":1}"#, 400, "validation-failed"), ("{", 400, "malformed-json"),
                (#"{"sequence":0,"messageId":"\#(id)","kind":"message","text":"other"}"#, 422, "idempotency-mismatch"),
            ] {
                try await client.execute(uri: "/agent/v1/replies", method: .post, headers: door.headers, body: ByteBuffer(string: text)) { response in
                    #expect(response.status.code == status)
                    #expect(response.headers[.contentType] == "application/problem+json")
                    #expect(json(response.body)["type"]?.string == "urn:clawbot:problem:\(slug)")
                }
            }
            try await client.execute(
                uri: "/agent/v1/replies", method: .post, headers: [.authorization: "Bearer \(door.token)", .contentType: "text/plain"], body: body
            ) {
                #expect($0.status == .unsupportedMediaType)
            }
            try await client.execute(
                uri: "/agent/v1/replies", method: .post, headers: door.headers, body: ByteBuffer(repeating: 0x20, count: 257 << 10)
            ) {
                #expect($0.status == .contentTooLarge)
            }
        }
    }

    @Test("SEC-72: a grant in a query or cookie is none; unknown paths, methods and encodings are refused") func SEC_72_places() async throws {
        let door = try await Door()
        try await door.test { client in
            try await client.execute(uri: "/agent/v1/inbox?grant=\(door.token)", method: .get, headers: [.cookie: "grant=\(door.token)"]) {
                response in
                #expect(response.status == .unauthorized)
                #expect(response.headers[.wwwAuthenticate] == "Bearer error=\"invalid_token\"")
            }
            try await client.execute(uri: "/agent/v1/inbox", method: .get, headers: door.headers) { response in
                #expect(response.status == .ok)
                #expect(response.headers[.init("RateLimit-Limit")!] == "1200")
            }
            try await client.execute(uri: "/agent/v1/inbox", method: .post, headers: door.headers) { response in
                #expect(response.status == .methodNotAllowed)
                #expect(response.headers[.allow] == "GET, HEAD")
            }
            try await client.execute(uri: "/agent/v1/nothing", method: .get, headers: door.headers) { #expect($0.status == .notFound) }
            var compressed = door.headers
            compressed[.contentEncoding] = "gzip"
            try await client.execute(uri: "/agent/v1/replies", method: .post, headers: compressed) { #expect($0.status == .unsupportedMediaType) }
        }
    }

    @Test("objects are put, read by range, listed and deleted under their encoded keys") func objects() async throws {
        let door = try await Door()
        let key = door.layout.workspace(door.group) + "a b.txt"
        let path =
            "/agent/v1/objects/"
            + key.split(separator: "/").map { $0.addingPercentEncoding(withAllowedCharacters: .alphanumerics)! }.joined(separator: "/")
        try await door.test { client in
            var etag = ""
            try await client.execute(uri: path, method: .put, headers: door.headers, body: ByteBuffer(string: "hello")) { response in
                #expect(response.status == .created)
                etag = try #require(response.headers[.eTag])
            }
            let ranged = door.headers + [.range: "bytes=1-3"]
            try await client.execute(uri: path, method: .get, headers: ranged) { response in
                #expect(response.status == .partialContent)
                #expect(String(buffer: response.body) == "ell")
                #expect(response.headers[.contentRange] == "bytes 1-3/5")
            }
            try await client.execute(uri: path, method: .get, headers: door.headers + [.ifNoneMatch: etag]) { #expect($0.status == .notModified) }
            try await client.execute(uri: path, method: .get, headers: door.headers + [.range: "bytes=9-"]) {
                #expect($0.status == .rangeNotSatisfiable)
            }
            try await client.execute(uri: path, method: .put, headers: door.headers + [.ifMatch: "\"stale\""], body: ByteBuffer(string: "x")) {
                #expect($0.status == .preconditionFailed)
            }
            try await client.execute(
                uri: "/agent/v1/objects?prefix=\(door.layout.workspace(door.group).addingPercentEncoding(withAllowedCharacters: .alphanumerics)!)",
                method: .get, headers: door.headers
            ) {
                #expect(json($0.body)["items"]?.array?.first?["key"]?.string == key)
            }
            try await client.execute(uri: path, method: .delete, headers: door.headers) { #expect($0.status == .noContent) }
            try await client.execute(uri: path, method: .delete, headers: door.headers) { #expect($0.status == .notFound) }
            try await client.execute(
                uri: "/agent/v1/objects/\(door.userId.rawValue)/\(door.botId.rawValue)/workspace/..%2f..%2fCLAUDE.md", method: .get,
                headers: door.headers
            ) {
                #expect($0.status == .notFound)
            }
        }
    }

    @Test("tasks are made, listed, paused and cancelled") func tasks() async throws {
        let door = try await Door()
        try await door.test { client in
            var id = ""
            let body = ByteBuffer(string: #"{"prompt":"x","scheduleType":"interval","scheduleValue":"60000"}"#)
            try await client.execute(uri: "/agent/v1/tasks", method: .post, headers: door.headers, body: body) { response in
                #expect(response.status == .created)
                id = try #require(json(response.body)["taskId"]?.string)
                #expect(response.headers[.location] == "/agent/v1/tasks/\(id)")
            }
            try await client.execute(
                uri: "/agent/v1/tasks/\(id)", method: .patch, headers: door.headers, body: ByteBuffer(string: #"{"status":"paused"}"#)
            ) {
                #expect(json($0.body)["status"] == "paused")
            }
            try await client.execute(uri: "/agent/v1/tasks?status=paused", method: .get, headers: door.headers) {
                #expect(json($0.body)["items"]?.array?.count == 1)
            }
            try await client.execute(
                uri: "/agent/v1/tasks", method: .post, headers: door.headers,
                body: ByteBuffer(string: #"{"prompt":"x","scheduleType":"interval","scheduleValue":"60000","groupJid":"web:other"}"#)
            ) {
                #expect($0.status == .badRequest)
            }
            try await client.execute(uri: "/agent/v1/tasks/\(id)", method: .delete, headers: door.headers) { #expect($0.status == .noContent) }
            try await client.execute(uri: "/agent/v1/tasks/\(id)", method: .get, headers: door.headers) { #expect($0.status == .notFound) }
        }
    }

    @Test("the model route streams the Messages API, and reports errors in its shape") func model() async throws {
        let door = try await Door()
        try await door.test { client in
            let body = ByteBuffer(string: #"{"model":"demo","max_tokens":500,"stream":true,"messages":[{"role":"user","content":"hello"}]}"#)
            try await client.execute(uri: "/agent/v1/model/v1/messages", method: .post, headers: door.headers, body: body) { response in
                #expect(response.status == .ok)
                #expect(response.headers[.contentType]?.hasPrefix("text/event-stream") == true)
                #expect(String(buffer: response.body).hasSuffix("data: {\"type\":\"message_stop\"}\n\n"))
            }
            try await client.execute(uri: "/agent/v1/model/v1/messages/count_tokens", method: .post, headers: door.headers, body: body) {
                #expect(json($0.body)["input_tokens"]?.int ?? 0 > 0)
            }
            try await client.execute(uri: "/agent/v1/model/v1/messages", method: .post, headers: [.authorization: "Bearer x"], body: body) {
                response in
                #expect(response.status == .unauthorized)
                #expect(json(response.body)["error"]?["type"] == "authentication_error")
            }
        }
    }
}

@Suite("Sockets of sessions", .paced) struct GatewaySocketsTests {
    private func withSockets(_ door: Door, _ body: (GatewaySockets, HTTPClient, String) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("gw-\(UInt32.random(in: 0...UInt32.max))").path
        let sockets = try GatewaySockets(routes: door.routes, runtimeDirectory: directory)
        var configuration = HTTPClient.Configuration()
        configuration.connectionPool.retryConnectionEstablishment = false
        let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        do { try await body(sockets, client, directory) } catch { Issue.record(error) }
        await sockets.closeAll()
        try await client.shutdown()
        try FileManager.default.removeItem(atPath: directory)
    }
    private func inbox(_ client: HTTPClient, _ path: String, _ token: String) async throws -> UInt {
        var request = HTTPClientRequest(url: "http+unix://\(path.addingPercentEncoding(withAllowedCharacters: .alphanumerics)!)/agent/v1/inbox")
        request.headers = ["authorization": "Bearer \(token)"]
        return try await client.execute(request, timeout: .seconds(20)).status.code
    }

    @Test("SEC-64: a session's socket serves that session's grant only, from a directory of its own") func SEC_64_sockets() async throws {
        let door = try await Door()
        try await withSockets(door) { sockets, client, _ in
            let own = try await sockets.open(session: door.session)
            let other = try await sockets.open(session: SessionKey(botId: door.botId, groupJid: GroupJID("web:other")))
            #expect(own != other)
            #expect(try await inbox(client, own, door.token) == 200)
            #expect(try await inbox(client, other, door.token) == 401)
            let mode = try FileManager.default.attributesOfItem(atPath: (own as NSString).deletingLastPathComponent)[.posixPermissions] as? Int
            #expect(mode == 0o700)
            await sockets.close(session: door.session)
            #expect(!FileManager.default.fileExists(atPath: own))
            await #expect(throws: (any Error).self) { _ = try await inbox(client, own, door.token) }
            let again = try await sockets.open(session: door.session)
            #expect(again == own)
            #expect(try await inbox(client, again, door.token) == 200)
        }
    }

    @Test("hundreds of sockets open and close") func many() async throws {
        let door = try await Door()
        try await withSockets(door) { sockets, client, directory in
            let clock = ContinuousClock(), begin = clock.now
            for number in 0..<300 { _ = try await sockets.open(session: SessionKey(botId: door.botId, groupJid: GroupJID("web:\(number)"))) }
            let each = (clock.now - begin) / 300
            // Alone on the machine it is well under 2 ms; tests beside this one take their share.
            #expect(each < .milliseconds(200), "opening took \(each) each")
            #expect(await sockets.openCount == 300)
            await sockets.closeAll()
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory).isEmpty)
        }
    }
}

@Suite("An Anthropic-compatible endpoint", .paced) struct AnthropicCompatibleProviderTests {
    /// A provider whose endpoint answers with `handler`, seen through the gateway.
    private func through(
        key: String = "sk-canary-1234", _ handler: @escaping @Sendable (Request) async throws -> Response,
        _ body: @escaping @Sendable (Int, HTTPFields, String) throws -> Void
    ) async throws {
        let upstream = Router()
        upstream.post("/v1/messages") { request, _ in try await handler(request) }
        let client = AnthropicCompatibleProvider.makeClient(on: MultiThreadedEventLoopGroup.singleton)
        do {
            try await Application(router: upstream, configuration: .init(address: .hostname("127.0.0.1", port: 0))).test(.live) { running in
                var provider = Provider(providerId: ProviderID("p"), name: "P", type: .anthropicCompatible, modelIds: ["m"], at: Date())
                provider.baseUrl = "http://127.0.0.1:\(try #require(running.port))/v1/"
                provider.hasApiKey = true
                provider.headers = ["x-team": "blue", "X-Api-Key": "smuggled"]
                let door = try await Door(provider: provider, kinds: [.anthropicCompatible: AnthropicCompatibleProvider(client: client)], key: key)
                try await door.test { agent in
                    let request = ByteBuffer(string: #"{"model":"m","max_tokens":5,"stream":true,"messages":[{"role":"user","content":"x"}]}"#)
                    let headers =
                        door.headers + [
                            .init("anthropic-beta")!: "interleaved-thinking-2025-05-14,oauth-2025-04-20", .init("x-api-key")!: "agents-own",
                            .cookie: "a=b",
                        ]
                    try await agent.execute(uri: "/agent/v1/model/v1/messages", method: .post, headers: headers, body: request) {
                        try body($0.status.code, $0.headers, String(buffer: $0.body))
                    }
                }
            }
        } catch { Issue.record(error) }
        try await client.shutdown()
    }

    @Test("SEC-83: the endpoint sees the provider's key, none of the agent's headers, and the listed betas") func SEC_83_headers() async throws {
        try await through({ request in
            #expect(request.headers[values: .init("x-api-key")!] == ["sk-canary-1234"])
            #expect(request.headers[.authorization] == nil && request.headers[.cookie] == nil)
            #expect(request.headers[.init("anthropic-version")!] == "2023-06-01")
            #expect(request.headers[.init("anthropic-beta")!] == "interleaved-thinking-2025-05-14")
            #expect(request.headers[.init("x-team")!] == "blue")
            return Response(
                status: .ok, headers: [.contentType: "text/event-stream"],
                body: .init { writer in
                    try await writer.write(
                        ByteBuffer(
                            string: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n"))
                    try await writer.write(ByteBuffer(string: "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"))
                    try await writer.finish(nil)
                })
        }) { status, headers, body in
            #expect(status == 200 && headers[.contentType] == "text/event-stream")
            #expect(body.hasSuffix("{\"type\":\"message_stop\"}\n\n") && !body.contains("event: error"))
        }
    }

    @Test("SEC-80: an error that echoes the key arrives without it, its retry-after kept") func SEC_80_echo() async throws {
        try await through({ _ in
            Response(
                status: .tooManyRequests, headers: [.contentType: "application/json", .retryAfter: "7"],
                body: .init(
                    byteBuffer: ByteBuffer(
                        string: #"{"type":"error","error":{"type":"rate_limit_error","message":"key sk-canary-1234 is over its limit"}}"#)))
        }) { status, headers, body in
            #expect(status == 429 && headers[.retryAfter] == "7")
            #expect(body.contains("rate_limit_error") && body.contains("‹redacted›") && !body.contains("canary"))
        }
    }

    @Test("SEC-42: a redirect is not followed; refused credentials are the platform's trouble, not the agent's", arguments: [302, 401, 403])
    func SEC_42_redirect(_ code: Int) async throws {
        try await through({ _ in Response(status: .init(code: code), headers: [.location: "http://127.0.0.1:1/steal"]) }) { status, _, body in
            #expect(status == 502 && body.contains(code == 302 ? "upstream-failed" : "credentials-rejected") && !body.contains("steal"))
        }
    }

    @Test("an overloaded endpoint stays recognisable") func overloaded() async throws {
        try await through({ _ in Response(status: .init(code: 529), body: .init(byteBuffer: ByteBuffer(string: "<html>busy</html>"))) }) {
            status, _, body in
            #expect(status == 529 && body.contains("overloaded_error") && !body.contains("html"))
        }
    }

    @Test("a connection cut in mid-stream ends with an error event") func cut() async throws {
        struct Broken: Error {}
        try await through({ _ in
            Response(
                status: .ok, headers: [.contentType: "text/event-stream"],
                body: .init { writer in
                    try await writer.write(
                        ByteBuffer(
                            string: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":1}}}\n\n"))
                    throw Broken()
                })
        }) { status, _, body in
            #expect(status == 200 && body.contains("message_start") && body.contains("event: error") && body.contains("upstream-failed"))
        }
    }
}

extension HTTPFields {
    fileprivate static func + (left: HTTPFields, right: HTTPFields) -> HTTPFields {
        var sum = left
        for field in right { sum[field.name] = field.value }
        return sum
    }
}
