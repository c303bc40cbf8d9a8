import ControlPlane
import Foundation
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("MCP servers over the API", .paced)
struct MCPServerTests {
    private static let stdio = #"{"name":"My Notes","type":"stdio","command":"notes","args":["--fast"],"envVars":[{"name":"NOTES_KEY","required":true},{"name":"MODE","template":"quiet"}]}"#
    private static let http = #"{"name":"weather","type":"http","url":"https://mcp.example.com/mcp","headers":{"Authorization":"Bearer ${secret:TOKEN}"},"envVars":[{"name":"TOKEN"}]}"#

    private func custom(_ world: World, _ bot: Bot, _ json: String = stdio) async throws -> Reply {
        try await world.send(.post, "/api/bots/\(bot.botId)/mcp-servers/custom", json: json)
    }
    private func library(_ world: World, _ json: String) async throws -> String {
        let made = try await world.send(.post, "/api/admin/mcp-servers", as: World.root, json: json)
        #expect(made.status == 201, "\(made.text)")
        return made.json["mcpServerId"]?.string ?? ""
    }
    private func stored(_ world: World, _ bot: Bot, _ id: String) async throws -> String? {
        try await world.secrets.get(BotMCPServer.secretName("test", bot.botId, MCPServerID(id)))?.reveal()
    }

    @Test("a bot's own server is made, listed, changed and removed; its secrets are never shown and go with it")
    func life() async throws {
        let world = try await World(), bot = try await world.bot()
        let made = try await custom(world, bot)
        #expect(made.status == 201, "\(made.text)")
        let id = made.json["mcpServerId"]?.string ?? ""
        #expect(made.json["slug"] == "my_notes" && made.json["source"] == "custom" && made.json["enabled"] == true && made.json["version"] == "1.0.0")
        #expect(made.json["missingSecrets"] == .array(["NOTES_KEY"]))
        let path = "/api/bots/\(bot.botId)/mcp-servers"
        let secret = try await world.send(.put, "\(path)/\(id)/secrets", json: #"{"secrets":{"NOTES_KEY":"hush"},"agentVisible":["NOTES_KEY"]}"#)
        #expect(secret.status == 200 && secret.json["missingSecrets"] == .array([]) && secret.json["agentVisible"] == .array(["NOTES_KEY"]))
        #expect(!secret.text.contains("hush"))
        let listed = try await world.send(.get, path)
        #expect(listed.items.count == 1 && !listed.text.contains("hush") && listed.items[0]["command"] == "notes")
        let renamed = try await world.send(.patch, "\(path)/custom/\(id)", json: #"{"name":"Diary","enabled":false}"#)
        #expect(renamed.json["slug"] == "diary" && renamed.json["configuredSecrets"] == .array(["NOTES_KEY"]))
        #expect(try await world.send(.delete, "\(path)/custom/\(id)").status == 204)
        #expect(try await stored(world, bot, id) == nil)
        #expect(try await world.send(.delete, "\(path)/custom/\(id)").status == 404)
        // The name is free again.
        #expect(try await custom(world, bot).status == 201)
    }

    @Test("SEC-50 another type, command, URL or what goes with it drops the stored secrets", arguments: [
        #"{"command":"other"}"#, #"{"args":["--slow"]}"#, #"{"npmPackages":["evil"]}"#, #"{"type":"http","command":null,"args":null,"url":"https://a.example/"}"#,
    ])
    func SEC_50_target(_ change: String) async throws {
        let world = try await World(), bot = try await world.bot()
        let id = try await custom(world, bot).json["mcpServerId"]?.string ?? ""
        _ = try await world.send(.put, "/api/bots/\(bot.botId)/mcp-servers/\(id)/secrets", json: #"{"secrets":{"NOTES_KEY":"hush"},"agentVisible":["NOTES_KEY"]}"#)
        #expect(try await stored(world, bot, id) != nil)
        let changed = try await world.send(.patch, "/api/bots/\(bot.botId)/mcp-servers/custom/\(id)", json: change)
        #expect(changed.status == 200, "\(changed.text)")
        #expect(changed.json["configuredSecrets"] == .array([]) && changed.json["agentVisible"] == .array([]))
        #expect(try await stored(world, bot, id) == nil)
    }

    @Test("SEC-90 SEC-91 what is wrong in a definition is refused by its field", arguments: [
        (#"{"name":"x","type":"stdio"}"#, "command"), (#"{"name":"x","type":"http"}"#, "url"), (#"{"name":"clawbot","type":"stdio","command":"a"}"#, "name"),
        (#"{"name":"!!","type":"stdio","command":"a"}"#, "name"), (#"{"name":"x","type":"stdio","command":"a; id"}"#, "command"),
        (#"{"name":"x","type":"stdio","command":"a","url":"https://a.example/"}"#, "url"), (#"{"name":"x","type":"http","url":"http://a.example/"}"#, "url"),
        (#"{"name":"x","type":"http","url":"https://127.0.0.1/"}"#, "url"), (#"{"name":"x","type":"http","url":"https://169.254.169.254/"}"#, "url"),
        (#"{"name":"x","type":"http","url":"https://user@a.example/"}"#, "url"), (#"{"name":"x","type":"sse","url":"https://a.example/","args":["a"]}"#, "args"),
        (#"{"name":"x","type":"stdio","command":"a","npmPackages":["x; id"]}"#, "npmPackages[0]"),
        (#"{"name":"x","type":"stdio","command":"a","npmPackages":["--registry=https://evil.example"]}"#, "npmPackages[0]"),
        (#"{"name":"x","type":"stdio","command":"a","npmPackages":["git+ssh://evil.example/x"]}"#, "npmPackages[0]"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"LD_PRELOAD"}]}"#, "envVars[0].name"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"NODE_OPTIONS"}]}"#, "envVars[0].name"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"AWS_X"}]}"#, "envVars[0].name"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"lower"}]}"#, "envVars[0].name"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"A","template":"${secret:OTHER}"}]}"#, "envVars[0].template"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"A"},{"name":"B","template":"x${secret:A}"}]}"#, "envVars[1].template"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"B","template":"${HOME}"}]}"#, "envVars[0].template"),
        (#"{"name":"x","type":"stdio","command":"a","envVars":[{"name":"A"},{"name":"A"}]}"#, "envVars"),
        (#"{"name":"x","type":"http","url":"https://a.example/","headers":{"X-A":"${secret:NONE}"}}"#, "headers.X-A"),
        (#"{"name":"x","type":"http","url":"https://a.example/","headers":{"Host":"b"}}"#, "headers.Host"),
        (#"{"name":"x","type":"http","url":"https://a.example/","headers":{"X-A":"a\r\nb"}}"#, "headers.X-A"),
    ])
    func SEC_90_validation(_ json: String, _ field: String) async throws {
        let world = try await World(), bot = try await world.bot()
        for reply in [try await custom(world, bot, json), try await world.send(.post, "/api/admin/mcp-servers", as: World.root, json: json)] {
            #expect(reply.status == 400, "\(json): \(reply.text)")
            #expect(reply.errorFields.contains(field), "\(json): \(reply.errorFields)")
        }
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/mcp-servers").items.isEmpty)
    }

    @Test("the library is the administrators'; bots choose from its active servers and do not see how they are reached")
    func platform() async throws {
        let world = try await World(), bot = try await world.bot()
        #expect(try await world.send(.post, "/api/admin/mcp-servers", json: Self.http).status == 403)
        let id = try await library(world, Self.http)
        #expect(try await world.send(.post, "/api/admin/mcp-servers", as: World.root, json: Self.http).slug == "already-exists")
        let path = "/api/bots/\(bot.botId)/mcp-servers"
        let listed = try await world.send(.get, path)
        #expect(listed.items.count == 1 && listed.items[0]["enabled"] == false && listed.items[0]["url"] == nil && listed.items[0]["headers"] == nil)
        #expect(try await world.send(.put, path, json: #"{"mcpServers":["nope"]}"#).errorFields == ["mcpServers[0]"])
        #expect(try await world.send(.put, path, json: "{\"mcpServers\":[\"\(id)\"]}").status == 200)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["mcpServers"] == .array([.string(id)]))
        #expect(try await world.send(.get, "/api/bots").items[0]["mcpServers"] == .array([.string(id)]))
        // Disabled: hidden, and still there when it comes back.
        _ = try await world.send(.patch, "/api/admin/mcp-servers/\(id)", as: World.root, json: #"{"status":"disabled"}"#)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["mcpServers"] == .array([]))
        #expect(try await world.send(.get, path).items.isEmpty)
        _ = try await world.send(.patch, "/api/admin/mcp-servers/\(id)", as: World.root, json: #"{"status":"active"}"#)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["mcpServers"] == .array([.string(id)]))
        _ = try await world.send(.put, "\(path)/\(id)/secrets", json: #"{"secrets":{"TOKEN":"hush"}}"#)
        #expect(try await stored(world, bot, id) != nil)
        #expect(try await world.send(.delete, "/api/admin/mcp-servers/\(id)", as: World.root).status == 204)
        #expect(try await stored(world, bot, id) == nil)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["mcpServers"] == .array([]))
    }

    @Test("SEC-88 a slug names one server of a bot, whichever list it comes from")
    func SEC_88_slugs() async throws {
        let world = try await World(), bot = try await world.bot()
        let id = try await library(world, Self.http)
        let same = Self.http.replacingOccurrences(of: "\"weather\"", with: "\"Weather\"")
        let own = try await custom(world, bot, same)
        #expect(own.status == 201)
        #expect(try await custom(world, bot, same).slug == "already-exists")
        #expect(try await world.send(.put, "/api/bots/\(bot.botId)/mcp-servers", json: "{\"mcpServers\":[\"\(id)\"]}").status == 409)
        _ = try await world.send(.delete, "/api/bots/\(bot.botId)/mcp-servers/custom/\(own.json["mcpServerId"]?.string ?? "")")
        #expect(try await world.send(.put, "/api/bots/\(bot.botId)/mcp-servers", json: "{\"mcpServers\":[\"\(id)\"]}").status == 200)
        #expect(try await custom(world, bot, same).status == 409)
    }

    @Test("undeclared secrets are refused, null removes one")
    func secrets() async throws {
        let world = try await World(), bot = try await world.bot()
        let id = try await custom(world, bot).json["mcpServerId"]?.string ?? "", path = "/api/bots/\(bot.botId)/mcp-servers/\(id)/secrets"
        #expect(try await world.send(.put, path, json: #"{"secrets":{"OTHER":"x"}}"#).errorFields == ["secrets.OTHER"])
        #expect(try await world.send(.put, path, json: #"{"secrets":{"MODE":"x"}}"#).errorFields == ["secrets.MODE"])
        #expect(try await world.send(.put, path, json: #"{"secrets":{"NOTES_KEY":7}}"#).errorFields == ["secrets.NOTES_KEY"])
        #expect(try await world.send(.put, path, json: #"{"agentVisible":["OTHER"]}"#).status == 400)
        #expect(try await world.send(.put, path, json: "{}").status == 400)
        #expect(try await world.send(.put, path, json: #"{"secrets":{"NOTES_KEY":"a"}}"#).json["configuredSecrets"] == .array(["NOTES_KEY"]))
        #expect(try await world.send(.patch, path, json: #"{"secrets":{"NOTES_KEY":null}}"#).json["configuredSecrets"] == .array([]))
        #expect(try await stored(world, bot, id) == nil)
    }

    @Test("SEC-14 another tenant's bot and servers are not found")
    func SEC_14_tenancy() async throws {
        let world = try await World(), bot = try await world.bot()
        let id = try await custom(world, bot).json["mcpServerId"]?.string ?? "", path = "/api/bots/\(bot.botId)/mcp-servers"
        #expect(try await world.send(.get, path, as: World.bob).status == 404)
        #expect(try await world.send(.put, "\(path)/\(id)/secrets", as: World.bob, json: #"{"secrets":{"NOTES_KEY":"x"}}"#).status == 404)
        #expect(try await world.send(.delete, "\(path)/custom/\(id)", as: World.bob).status == 404)
        let other = try await world.bot(of: World.bob)
        #expect(try await world.send(.put, "/api/bots/\(other.botId)/mcp-servers", as: World.bob, json: "{\"mcpServers\":[\"\(id)\"]}").status == 400)
    }

    @Test("a bot has at most 20 servers of its own, also when they are made at once")
    func limit() async throws {
        let world = try await World(), bot = try await world.bot()
        for index in 0..<19 { #expect(try await custom(world, bot, "{\"name\":\"s\(index)\",\"type\":\"stdio\",\"command\":\"a\"}").status == 201) }
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for index in 0..<4 { group.addTask { try await custom(world, bot, "{\"name\":\"late\(index)\",\"type\":\"stdio\",\"command\":\"a\"}").status } }
            return try await group.reduce(into: [Int]()) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 201 }.count == 1)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/mcp-servers?limit=200").items.count == 20)
    }
}
