import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Validation", .paced)
struct ValidationTests {
    @Test("unknown fields, wrong types and over-long values are named, one entry each")
    func names() async throws {
        let world = try await World()
        let long = String(repeating: "x", count: 101)
        let reply = try await world.send(.post, "/api/bots", json: #"{"name":"\#(long)","colour":"red","duringRun":7,"containerConfig":{"maxTurns":0}}"#)
        #expect(reply.status == 400 && reply.slug == "validation-failed")
        #expect(reply.headers[.contentType] == "application/problem+json")
        #expect(reply.errorFields == ["colour", "name", "containerConfig.maxTurns", "duringRun"])
        #expect(try await world.send(.get, "/api/bots").items.isEmpty)
    }

    @Test("an empty merge and a null for a required field are 400, null for an optional one clears it")
    func merges() async throws {
        let world = try await World()
        let bot = try await world.bots.create(for: World.alice, ["name": "Rosa", "description": "old"])
        let path = "/api/bots/\(bot.botId)"
        #expect(try await world.send(.put, path, json: "{}").slug == "validation-failed")
        #expect(try await world.send(.patch, path, json: #"{"name":null}"#).errorFields == ["name"])
        let cleared = try await world.send(.patch, path, json: #"{"description":null,"triggerPattern":"hey"}"#)
        #expect(cleared.status == 200 && cleared.json["description"] == nil && cleared.json["triggerPattern"]?.string == "hey")
        #expect(try await world.send(.put, path, json: #"{"triggerPattern":null}"#).json["triggerPattern"]?.string == "@Rosa")
    }

    @Test(
        "SEC-31 malformed JSON is 400 malformed-json",
        arguments: [#"{"name":"a","name":"b"}"#, "{", #"{"name":"a"}x"#, "[1,]", #"{"name":"\ud800"}"#, "{\"a\":\"\u{1}\"}", String(repeating: "[", count: 40), "NaN", "01", #"{"name": 1e999}"#])
    func SEC_31_malformed(_ body: String) async throws {
        let reply = try await World().send(.post, "/api/bots", json: body)
        #expect(reply.status == 400 && reply.slug == "malformed-json")
    }

    @Test("SEC-31 bytes that are not UTF-8 are refused")
    func SEC_31_encoding() async throws {
        let body = Data(#"{"name":""#.utf8) + Data([0xc0, 0xaf]) + Data(#""}"#.utf8)
        #expect(try await World().send(.post, "/api/bots", body: body, headers: [.contentType: "application/json"]).slug == "malformed-json")
    }

    @Test("SEC-32 invisible and direction-changing characters are refused in names, and names are composed", arguments: ["a\u{202e}b", "a\u{200b}b", "a\u{0}b", "a\nb", "   "])
    func SEC_32_names(_ name: String) async throws {
        let world = try await World()
        let reply = try await world.send(.post, "/api/bots", json: String(decoding: try JSON.data(.object(["name": .string(name)])), as: UTF8.self))
        #expect(reply.status == 400 && reply.errorFields == ["name"])
        let composed = try await world.send(.post, "/api/bots", json: #"{"name":" Zoe\u0308 "}"#)
        #expect(composed.json["name"]?.string?.unicodeScalars.count == 3)
    }

    @Test("SEC-112 a media type other than JSON is 415, a compressed body too")
    func mediaTypes() async throws {
        let world = try await World()
        #expect(try await world.send(.post, "/api/bots", json: "{}", headers: [.contentType: "text/plain"]).status == 415)
        #expect(try await world.send(.post, "/api/bots", json: "{}", headers: [.contentEncoding: "gzip"]).status == 415)
        #expect(try await world.send(.post, "/webhook/telegram/\(ULID.make())", as: nil, json: "{}", headers: [.contentEncoding: "gzip"]).status == 415)
    }

    @Test("SEC-31 a body over its limit is 413, a long URL 414, large headers 431")
    func SEC_31_sizes() async throws {
        let world = try await World()
        #expect(try await world.send(.post, "/api/bots", json: #"{"name":""# + String(repeating: "x", count: 300_000) + #""}"#).status == 413)
        #expect(try await world.send(.get, "/api/bots?x=" + String(repeating: "y", count: 9000)).status == 414)
        #expect(try await world.send(.get, "/api/bots", headers: [.userAgent: String(repeating: "y", count: 17_000)]).status == 431)
    }

    @Test("a chat message needs text or a file, and a file of the bot")
    func chat() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/chat"
        #expect(try await world.send(.post, path, json: #"{"content":"  "}"#).errorFields == ["content"])
        #expect(try await world.send(.post, path, json: #"{"content":"x","attachments":[{"key":"no.txt"}]}"#).errorFields == ["attachments[0].key"])
        #expect(try await world.send(.post, path, json: #"{"content":"x","attachments":[{"key":"../no.txt"}]}"#).errorFields == ["attachments[0].key"])
        #expect(try await world.send(.post, path, json: #"{"content":"x","conversationId":"a/b"}"#).errorFields == ["conversationId"])
        #expect(try await world.send(.put, "/api/bots/\(bot.botId)/files/raw?key=a.txt", body: Data("x".utf8)).status == 201)
        let sent = try await world.send(.post, path, json: #"{"content":"","attachments":[{"key":"a.txt"}]}"#)
        #expect(sent.status == 202 && sent.json["groupJid"]?.string == "web:main")
        // The first message activates the bot and connects web chat.
        let after = try await world.send(.get, "/api/bots/\(bot.botId)")
        #expect(after.json["status"]?.string == "active" && after.json["channels"]?.array?.first?["channelType"]?.string == "web")
    }

    @Test("a paused bot takes no chat, and impossible state changes are 409")
    func states() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)"
        #expect(try await world.send(.put, path, json: #"{"status":"paused"}"#).slug == "invalid-state")
        #expect(try await world.send(.put, path, json: #"{"status":"active"}"#).status == 200)
        #expect(try await world.send(.put, path, json: #"{"status":"paused"}"#).status == 200)
        #expect(try await world.send(.post, path + "/chat", json: #"{"content":"hi"}"#).slug == "invalid-state")
        #expect(try await world.send(.post, path, json: #"{"status":"paused"}"#).status == 405)
    }
}
