import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Proxy rules", .paced)
struct ProxyRuleTests {
    private static let body = #"{"name":"GitHub","prefix":"/github","target":"https://api.example.com/v3","authType":"bearer","value":"CANARY-1"}"#

    private func secret(_ world: World, _ id: String) async throws -> String? {
        try await world.secrets.get(SecretName("test/\(World.alice)/proxy-rules/\(id)"))?.reveal()
    }

    @Test("SEC-49 a rule is made, listed by prefix, changed and deleted; its value is never shown")
    func SEC_49_lifecycle() async throws {
        let world = try await World()
        let made = try await world.send(.post, "/api/proxy-rules", json: Self.body)
        #expect(made.status == 201 && made.json["hasValue"]?.bool == true && !made.text.contains("CANARY"))
        let id = try #require(made.json["id"]?.string)
        #expect(made.headers[.location] == "/api/proxy-rules/\(id)")
        _ = try await world.send(.post, "/api/proxy-rules", json: Self.body.replacingOccurrences(of: "/github", with: "/a"))
        let listed = try await world.send(.get, "/api/proxy-rules")
        #expect(listed.items.map { $0["prefix"]?.string } == ["/a", "/github"] && !listed.text.contains("CANARY"))
        #expect(try await world.send(.get, "/api/proxy-rules", as: World.bob).items.isEmpty)
        #expect(try await secret(world, id) == "CANARY-1")
        #expect(try await world.send(.patch, "/api/proxy-rules/\(id)", json: #"{"name":"Hub","value":"CANARY-2"}"#).json["name"]?.string == "Hub")
        #expect(try await secret(world, id) == "CANARY-2")
        for (method, user) in [(HTTPRequest.Method.put, World.bob), (.delete, World.bob), (.delete, World.root)] {
            #expect(try await world.send(method, "/api/proxy-rules/\(id)", as: user, json: method == .put ? #"{"name":"x"}"# : nil).status == 404)
        }
        #expect(try await world.send(.delete, "/api/proxy-rules/\(id)").status == 204)
        #expect(try await world.send(.delete, "/api/proxy-rules/\(id)").status == 404)
        #expect(try await secret(world, id) == nil)
    }

    @Test("SEC-50 a stored secret cannot be redirected: a new target or header needs the value again")
    func SEC_50_redirection() async throws {
        let world = try await World()
        let body = Self.body.replacingOccurrences(of: #""bearer""#, with: #""api-key","headerName":"X-Key""#)
        let id = try #require(try await world.send(.post, "/api/proxy-rules", json: body).json["id"]?.string)
        let path = "/api/proxy-rules/\(id)"
        for change in [#"{"target":"https://evil.example.com"}"#, #"{"headerName":"X-Other"}"#, #"{"authType":"bearer","headerName":null}"#] {
            #expect(try await world.send(.patch, path, json: change).errorFields == ["value"], "\(change)")
        }
        let kept = try await world.send(.get, "/api/proxy-rules").items[0]
        #expect(kept["target"]?.string == "https://api.example.com/v3" && kept["headerName"]?.string == "X-Key")
        #expect(try await world.send(.patch, path, json: #"{"target":"https://api.example.com/v4","value":"new"}"#).status == 200)
        #expect(try await world.send(.patch, path, json: #"{"target":"https://api.example.com/v4","name":"same target"}"#).status == 200)
    }

    @Test("the header name goes with api-key and only with it")
    func headers() async throws {
        let world = try await World()
        func with(_ fields: String) -> String { Self.body.replacingOccurrences(of: #""authType":"bearer""#, with: fields) }
        #expect(try await world.send(.post, "/api/proxy-rules", json: with(#""authType":"api-key""#)).errorFields == ["headerName"])
        #expect(try await world.send(.post, "/api/proxy-rules", json: with(#""authType":"basic","headerName":"X-A""#)).errorFields == ["headerName"])
        for name in ["Host", "connection", "Proxy-Authorization", "a b", "x:y"] {
            #expect(try await world.send(.post, "/api/proxy-rules", json: with(#""authType":"api-key","headerName":"\#(name)""#)).errorFields == ["headerName"])
        }
    }

    @Test("prefixes are unique per user, and fifty rules are the limit under concurrent creates too")
    func limits() async throws {
        let world = try await World(limits: [.api: 10_000])
        #expect(try await world.send(.post, "/api/proxy-rules", json: Self.body).status == 201)
        #expect(try await world.send(.post, "/api/proxy-rules", json: Self.body).slug == "already-exists")
        #expect(try await world.send(.post, "/api/proxy-rules", as: World.bob, json: Self.body).status == 201)
        for index in 0..<48 {
            #expect(try await world.send(.post, "/api/proxy-rules", json: Self.body.replacingOccurrences(of: "/github", with: "/p\(index)")).status == 201)
        }
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<8 {
                group.addTask { try await world.send(.post, "/api/proxy-rules", json: Self.body.replacingOccurrences(of: "/github", with: "/q\(index)")).status }
            }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 201 }.count == 1 && statuses.filter { $0 == 403 }.count == 7)
        #expect(try await world.secrets.list(prefix: "test/\(World.alice)/").count == 50, "a refused create leaves no secret")
    }

    @Test(
        "SEC-40 targets that are not on the public internet are refused",
        arguments: [
            "http://api.example.com", "https://127.0.0.1", "https://[::1]/", "https://10.1.2.3", "https://169.254.169.254/latest", "https://localhost",
            "https://metadata.google.internal", "https://rebind.example.com", "https://inside.example.com", "https://2130706433/", "https://0x7f.1/", "https://a@api.example.com",
            "https://api.example.com:22", "https://api.example.com.", "https://api.example.com/#x", "https://api.example.com/?q=1", "ftp://api.example.com", "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/", "https://[2002:a00:1::]/", "https://100.64.0.1", "https://192.0.2.1", "https://224.0.0.1", "https://[fd00::1]/", "https://[fe80::1]/",
        ])
    func SEC_40_targets(_ target: String) async throws {
        let reply = try await World().send(.post, "/api/proxy-rules", json: Self.body.replacingOccurrences(of: "https://api.example.com/v3", with: target))
        #expect(reply.errorFields == ["target"])
        #expect(!reply.text.contains("10.0.0.5") && !reply.text.contains("127.0.0.1"), "what a name resolves to is not told")
    }

    @Test("an idempotency key makes one rule, and a replay does not show the value")
    func idempotency() async throws {
        let world = try await World()
        let name = HTTPField.Name("Idempotency-Key")!
        for _ in 0..<2 {
            let reply = try await world.send(.post, "/api/proxy-rules", json: Self.body, headers: [name: "k"])
            #expect(reply.status == 201 && !reply.text.contains("CANARY"))
        }
        #expect(try await world.send(.get, "/api/proxy-rules").items.count == 1)
    }
}
