import AsyncHTTPClient
import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("The platform's web search", .paced)
struct WebSearchTests {
    private func search(_ command: String, _ body: String) async throws -> [WebSearch.Result] {
        let world = try await GatewayWorld()
        var hooks = AgentGateway.Hooks()
        hooks.search = WebSearch(.command(command), http: HTTPClient.shared)
        let gateway = AgentGateway(
            records: world.records, objects: world.objects, replies: world.replies, live: world.live, tasks: world.tasks, providers: world.gateway.providers,
            quota: world.quota, signer: world.signer, time: world.time, hooks: hooks)
        let run = try await gateway.authorize(token: try await world.start().token, socketSession: nil, scope: .egress)
        return try await gateway.search(run, body: Data(body.utf8))
    }

    private static let answer = #"printf '{"web":{"results":[{"title":"%s","url":"https://a.example/1","description":"<strong>x</strong> y"},{"title":"t","url":"https://sub.b.example/2"},{"title":"t","url":"ftp://c"}]}}' "$CLAWBOT_QUERY""#

    @Test("a command gets the query and prints the results, in either shape; what is no web address is left out")
    func command() async throws {
        let found = try await search(Self.answer, #"{"query": "plums $(id) 'and' more"}"#)
        #expect(found == [
            .init(title: "plums $(id) 'and' more", url: "https://a.example/1", snippet: "x y"), .init(title: "t", url: "https://sub.b.example/2", snippet: ""),
        ])
        #expect(try await search(#"echo '{"results":[{"url":"http://x.example","content":"c"}]}'"#, #"{"query": "ab"}"#) == [.init(title: "http://x.example", url: "http://x.example", snippet: "c")])
    }

    @Test("domains are allowed or blocked with what lies under them")
    func domains() async throws {
        #expect(try await search(Self.answer, #"{"query": "ab", "allowedDomains": ["b.example"]}"#).map(\.url) == ["https://sub.b.example/2"])
        #expect(try await search(Self.answer, #"{"query": "ab", "blockedDomains": ["b.example", "example.org"]}"#).map(\.url) == ["https://a.example/1"])
    }

    @Test("what is wrong with the request is said; a search that fails is unavailable, and none is not found")
    func refusals() async throws {
        for bad in [#"{}"#, #"{"query": "a"}"#, #"{"query": "ab", "botId": "x"}"#, #"{"query": "ab", "allowedDomains": "x"}"#, "nonsense"] {
            await #expect(throws: GatewayError.self) { _ = try await search(Self.answer, bad) }
        }
        for broken in ["exit 3", "echo nonsense", "echo '{}'"] {
            do {
                _ = try await search(broken, #"{"query": "ab"}"#)
                Issue.record("\(broken) was taken for an answer")
            } catch GatewayError.unavailable {}
        }
        let world = try await GatewayWorld()
        let run = try await world.gateway.authorize(token: try await world.start().token, socketSession: nil, scope: .egress)
        do {
            _ = try await world.gateway.search(run, body: Data(#"{"query": "ab"}"#.utf8))
            Issue.record("there is no search, and it answered")
        } catch GatewayError.notFound {}
    }
}
