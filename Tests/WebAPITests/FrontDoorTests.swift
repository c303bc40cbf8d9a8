import Foundation
import HTTPTypes
import Pace
import Platform
import Synchronization
import Testing

@testable import WebAPI

@Suite("Front door", .paced)
struct FrontDoorTests {
    @Test("every answer carries a request id, a well-formed one is echoed")
    func requestIds() async throws {
        let world = try await World()
        let name = HTTPField.Name("X-Request-Id")!
        #expect(try await world.send(.get, "/api/me", headers: [name: "abc.1"]).headers[name] == "abc.1")
        for path in ["/health", "/api/none", "/api/me", "/"] {
            let id = try await world.send(.get, path, as: nil, headers: [name: "not ok"]).headers[name]
            #expect(ULID.isWellFormed(id ?? ""))
        }
    }

    @Test("401 without a token, with WWW-Authenticate; a token in the URL is no token")
    func SEC_102_tokens() async throws {
        let world = try await World()
        for reply in [
            try await world.send(.get, "/api/me", as: nil), try await world.send(.get, "/api/me?access_token=\(World.alice)", as: nil),
            try await world.send(.get, "/api/me", as: nil, headers: [.cookie: "token=\(World.alice)"]),
            try await world.send(.get, "/api/me", as: UserID("forged")),
        ] {
            #expect(reply.status == 401 && reply.slug == "unauthenticated")
            #expect(reply.headers[.wwwAuthenticate] == #"Bearer error="invalid_token""#)
        }
        world.verifier.suspend(World.alice)
        #expect(try await world.send(.get, "/api/me").slug == "account-suspended")
    }

    @Test("SEC-16 admin paths, existing or not, are 401 without a token and 403 for others")
    func SEC_16_admin() async throws {
        let world = try await World()
        for path in ["/api/admin/users", "/api/admin/nothing", "/api/admin/providers/x"] {
            #expect(try await world.send(.get, path, as: nil).status == 401)
            #expect(try await world.send(.get, path).slug == "forbidden")
        }
        #expect(try await world.send(.get, "/api/admin/nothing", as: World.root).status == 404)
        #expect(try await world.send(.get, "/api/admin/users", as: World.root).items.count == 3)
    }

    @Test("an unknown method names the ones there are, HEAD answers like GET without a body")
    func methods() async throws {
        let world = try await World()
        let reply = try await world.send(.delete, "/api/me")
        #expect(reply.status == 405 && reply.headers[.allow] == "GET, HEAD")
        let head = try await world.send(.head, "/api/me")
        #expect(head.status == 200 && head.body.isEmpty && Int(head.headers[.contentLength] ?? "") ?? 0 > 100)
    }

    @Test("SEC-105 one over a bucket is 429 with Retry-After; another tenant goes on; the window slides")
    func SEC_105_buckets() async throws {
        let world = try await World(limits: [.api: 3])
        for left in [2, 1, 0] {
            let reply = try await world.send(.get, "/api/me")
            #expect(reply.status == 200 && reply.headers[HTTPField.Name("RateLimit-Remaining")!] == String(left))
        }
        let refused = try await world.send(.get, "/api/me")
        #expect(refused.slug == "rate-limited" && Int(refused.headers[.retryAfter] ?? "") != nil)
        #expect(try await world.send(.get, "/api/me", as: World.bob).status == 200)
        world.time.advance(by: .seconds(120))
        #expect(try await world.send(.get, "/api/me").status == 200)
    }

    @Test("log-in has a bucket per address")
    func signInBucket() async throws {
        let world = try await World(limits: [.signIn: 2])
        let body = #"{"email":"a@b.c","password":"wrong"}"#
        for _ in 0..<2 { #expect(try await world.send(.post, "/auth/login", as: nil, json: body).slug == "invalid-credentials") }
        #expect(try await world.send(.post, "/auth/login", as: nil, json: body).status == 429)
    }

    @Test("SEC-106 forwarded addresses count only from trusted proxies, right-most untrusted hop")
    func SEC_106_proxies() throws {
        let proxies = try TrustedProxies(["10.0.0.0/8", "192.168.1.7"])
        #expect(proxies.client(peer: "203.0.113.9", forwarded: "1.1.1.1") == "203.0.113.9")
        #expect(proxies.client(peer: "10.1.2.3", forwarded: "6.6.6.6, 198.51.100.4, 10.9.9.9") == "198.51.100.4")
        #expect(proxies.client(peer: "10.1.2.3", forwarded: "junk") == "10.1.2.3")
        #expect(throws: TrustedProxies.InvalidBlock.self) { try TrustedProxies(["10.0.0.0/33"]) }
    }

    @Test("SEC-102 CORS is closed but for exact origins, and * stops the start")
    func SEC_102_cors() async throws {
        let world = try await World(cors: ["https://console.example.com"])
        let name = HTTPField.Name("Access-Control-Allow-Origin")!
        for origin in ["https://evil.example", "null", "https://console.example.com.evil"] {
            #expect(try await world.send(.get, "/api/me", headers: [.origin: origin]).headers[name] == nil)
        }
        let reply = try await world.send(.get, "/api/me", headers: [.origin: "https://console.example.com"])
        #expect(reply.headers[name] == "https://console.example.com" && reply.headers[HTTPField.Name("Access-Control-Allow-Credentials")!] == nil)
        let preflight = try await world.send(.options, "/api/bots", as: nil, headers: [.origin: "https://console.example.com", .accessControlRequestMethod: "POST"])
        #expect(preflight.status == 204)
        #expect(try await world.send(.options, "/api/bots", as: nil, headers: [.origin: "https://evil.example", .accessControlRequestMethod: "POST"]).status == 405)
        await #expect(throws: WebServerError.self) { try await World(cors: ["*"]) }
    }

    @Test("with an origin secret, only requests that carry it pass; /health does not need it")
    func originVerify() async throws {
        let world = try await World(origin: Secret("s3cret"))
        let name = HTTPField.Name("X-Origin-Verify")!
        #expect(try await world.send(.get, "/api/me").status == 403)
        #expect(try await world.send(.get, "/api/me", headers: [name: "wrong"]).status == 403)
        #expect(try await world.send(.get, "/api/me", headers: [name: "s3cret"]).status == 200)
        #expect(try await world.send(.get, "/health", as: nil).status == 200)
    }

    @Test("SEC-116 /health has one field, /ready names and states only, 503 when a critical check fails or the node drains")
    func SEC_116_health() async throws {
        struct Down: Error {}
        let broken = Mutex(true)
        let world = try await World(checks: [
            Readiness.Check("records", critical: true) { if broken.withLock({ $0 }) { throw Down() } }, Readiness.Check("live", critical: false) { throw Down() },
        ])
        #expect(try await world.send(.get, "/health", as: nil).text == #"{"status":"ok"}"#)
        let down = try await world.send(.get, "/ready", as: nil)
        #expect(down.status == 503 && down.json["status"]?.string == "not_ready" && !down.text.contains("Down"))
        broken.withLock { $0 = false }
        #expect(try await world.send(.get, "/ready", as: nil).status == 503, "cached for 5 s")
        world.time.advance(by: .seconds(6))
        let up = try await world.send(.get, "/ready", as: nil)
        #expect(up.status == 200 && up.json["status"]?.string == "degraded")
        world.readiness.drain()
        #expect(try await world.send(.get, "/ready", as: nil).status == 503)
        #expect(try await world.send(.get, "/metrics", as: nil).status == 404)
    }

    @Test("SEC-100 SEC-103 the console comes with its strict policy, unknown pages are the console, unknown files 404")
    func SEC_100_console() async throws {
        let world = try await World(publicURL: "https://claw.example.com")
        let page = try await world.send(.get, "/", as: nil)
        #expect(page.status == 200 && page.headers[.contentType] == "text/html; charset=utf-8")
        let policy = page.headers[.contentSecurityPolicy] ?? ""
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] { #expect(policy.contains(part)) }
        #expect(!policy.contains("unsafe"))
        #expect(page.headers[.xContentTypeOptions] == "nosniff" && page.headers[HTTPField.Name("Referrer-Policy")!] == "no-referrer")
        #expect(page.headers[.strictTransportSecurity] != nil && page.headers[.server] == nil)
        #expect(try await world.send(.get, "/bots/abc/chat", as: nil, headers: [.accept: "text/html"]).body == page.body)
        #expect(try await world.send(.get, "/bots/abc", as: nil, headers: [.accept: "application/json"]).status == 404)
        #expect(try await world.send(.get, "/nothing.js", as: nil, headers: [.accept: "text/html"]).status == 404)
        let script = try await world.send(.get, "/core/app.js", as: nil)
        #expect(script.headers[.contentType]?.hasPrefix("text/javascript") == true)
        #expect(try await world.send(.get, "/core/app.js", as: nil, headers: [.ifNoneMatch: script.headers[.eTag] ?? ""]).status == 304)
        for file in ConsoleAssets.all.keys { #expect(try await world.send(.get, file == "/index.html" ? "/" : file, as: nil).status == 200) }
        // No inline code anywhere, and no way from text to HTML.
        #expect(!page.text.contains("<script>") && !page.text.contains("style=") && !page.text.contains("onclick"))
        for file in ConsoleAssets.all.keys where file.hasSuffix(".js") {
            let text = try await world.send(.get, file, as: nil).text
            for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] { #expect(!text.contains(word), "\(file)") }
            // Language and theme, nothing else (SEC-101).
            #expect(!text.contains("localStorage") || file == "/core/preferences.js", "\(file)")
        }
    }

    @Test("sign-in answers tokens, a challenge, or one refusal for all")
    func signIn() async throws {
        let world = try await World()
        let right = try await world.send(.post, "/auth/login", as: nil, json: #"{"email":"A@b.c","password":"right password"}"#)
        #expect(right.status == 200 && right.json["accessToken"]?.string == "access" && right.json["tokenType"]?.string == "Bearer")
        #expect(right.headers[.cacheControl] == "no-store")
        #expect(try await world.send(.post, "/auth/login", as: nil, json: #"{"email":"a@b.c","password":"temporary"}"#).json["challengeName"]?.string == "NEW_PASSWORD_REQUIRED")
        #expect(try await world.send(.post, "/auth/refresh", as: nil, json: #"{"refreshToken":"old"}"#).slug == "token-reused")
        #expect(try await world.send(.post, "/auth/logout", as: nil, json: #"{"refreshToken":"unknown"}"#).status == 204)
        #expect(try await world.send(.post, "/auth/change-password", json: #"{"currentPassword":"right password","newPassword":"short"}"#).errorFields == ["newPassword"])
        #expect(try await world.send(.post, "/auth/change-password", as: nil, json: #"{"challengeToken":"challenge","newPassword":"long enough words"}"#).status == 200)
        #expect(try await world.send(.post, "/auth/change-password", as: nil, json: #"{"newPassword":"long enough words"}"#).status == 401)
        #expect(try await world.send(.get, "/api/config", as: nil).headers[.cacheControl] == "public, max-age=60")
    }

    @Test("an error nobody foresaw is one fixed sentence")
    func SEC_113_internal() async throws {
        #expect(ProblemMapping.problem(for: CocoaError(.fileReadNoSuchFile)) == nil)
        #expect(ProblemMapping.problem(for: RecordStoreError.unavailable("/var/db/secret.sqlite is full"))?.detail.contains("sqlite") == false)
        #expect(Problem.internalError.answer.status == 500)
    }
}
