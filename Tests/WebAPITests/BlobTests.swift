import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Files by link, and previews", .paced)
struct BlobTests {
    private func path(_ reply: Reply) throws -> String { "/blob/" + (try #require(reply.json["url"]?.string?.components(separatedBy: "/blob/").last)) }

    private func upload(_ world: World, _ bot: Bot, size: Int = 5, type: String = "text/plain", key: String = "a/b.txt") async throws -> Reply {
        try await world.send(
            .post, "/api/bots/\(bot.botId)/files/upload-url", json: #"{"key":"\#(key)","size":\#(size),"contentType":"\#(type)"}"#)
    }

    @Test("a file goes up and down by links, without an access token")
    func roundTrip() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let link = try await upload(world, bot)
        #expect(link.json["method"]?.string == "PUT" && link.json["expiresIn"]?.int == 900 && link.json["headers"]?["Content-Type"]?.string == "text/plain")
        #expect(link.json["url"]?.string?.hasPrefix("http://127.0.0.1:8787/blob/") == true)
        let put = try await world.send(.put, try path(link), as: nil, body: Data("hello".utf8), headers: [.contentType: "text/plain"])
        #expect(put.status == 201 && put.json["key"]?.string == "a/b.txt" && put.headers[.eTag] != nil)
        let again = try await world.send(.put, try path(link), as: nil, body: Data("HELLO".utf8), headers: [.contentType: "text/plain"])
        #expect(again.status == 200)
        let down = try path(try await world.send(.get, "/api/bots/\(bot.botId)/files/download-url?key=a/b.txt&disposition=inline"))
        // Whatever Bearer comes along is not looked at.
        let got = try await world.send(.get, down, as: UserID("nonsense"))
        #expect(got.status == 200 && got.text == "HELLO" && got.headers[.contentDisposition]?.hasPrefix("inline") == true)
        #expect(got.headers[.contentSecurityPolicy] == "sandbox; default-src 'none'" && got.headers[.cacheControl] == "private, no-store")
        #expect(try await world.send(.get, down, as: nil, headers: [.range: "bytes=1-2"]).text == "EL")
        #expect(try await world.send(.head, down, as: nil).status == 200)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files/download-url?key=none.txt").status == 404)
    }

    @Test("SEC-99 a longer or shorter body, another type, method or key, an altered token and one second too late are 403, and nothing is written")
    func SEC_99_bindings() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let link = try path(try await upload(world, bot))
        for body in ["hello!", "hell", ""] {
            #expect(try await world.send(.put, link, as: nil, body: Data(body.utf8), headers: [.contentType: "text/plain"]).slug == "forbidden")
        }
        #expect(try await world.send(.put, link, as: nil, body: Data("hello".utf8), headers: [.contentType: "text/html"]).status == 403)
        #expect(try await world.send(.get, link, as: nil).status == 403)
        // Every part of the token counts: the last character of each is turned, then payloads are exchanged.
        let other = try path(try await upload(world, bot, key: "c.txt"))
        let parts = link.split(separator: ".").map(String.init), others = other.split(separator: ".").map(String.init)
        func turned(_ text: String) -> String { String(text.dropLast()) + (text.hasSuffix("A") ? "B" : "A") }
        for forged in [
            [parts[0], turned(parts[1]), parts[2]], [parts[0], parts[1], turned(parts[2])], [parts[0], others[1], parts[2]], ["/blob/v2", parts[1], parts[2]], [parts[0], parts[1]],
        ] {
            let reply = try await world.send(.put, forged.joined(separator: "."), as: nil, body: Data("hello".utf8), headers: [.contentType: "text/plain"])
            #expect(reply.status == 403, "\(forged)")
        }
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files").items.isEmpty)
        world.time.advance(by: .seconds(901))
        #expect(try await world.send(.put, link, as: nil, body: Data("hello".utf8), headers: [.contentType: "text/plain"]).status == 403)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files").items.isEmpty)
    }

    @Test("SEC-13 a link is no cursor and a cursor no link")
    func SEC_13_classes() async throws {
        let world = try await World()
        let bot = try await world.bot()
        _ = try await world.bot(name: "Other")
        let cursor = try #require(try await world.send(.get, "/api/bots?limit=1").json["nextCursor"]?.string)
        #expect(try await world.send(.get, "/blob/v1.\(cursor)", as: nil).status == 403)
        let token = try path(try await upload(world, bot)).dropFirst("/blob/".count)
        #expect(try await world.send(.get, "/api/bots?cursor=\(token)").slug == "invalid-cursor")
        #expect(try await world.send(.get, "/api/me", as: UserID(String(token))).status == 401)
    }

    @Test("a link dies with its bot and sleeps with its owner")
    func owners() async throws {
        let world = try await World()
        let bot = try await world.bot()
        _ = try await world.send(.put, "/api/bots/\(bot.botId)/files/raw?key=a.txt", body: Data("x".utf8))
        let link = try path(try await world.send(.get, "/api/bots/\(bot.botId)/files/download-url?key=a.txt"))
        try await world.records.update(User.key(World.alice), [.set("status", "suspended")])
        #expect(try await world.send(.get, link, as: nil).status == 403)
        try await world.records.update(User.key(World.alice), [.set("status", "active")])
        #expect(try await world.send(.get, link, as: nil).status == 200)
        try await world.bots.delete(bot, by: .system)
        #expect(try await world.send(.get, link, as: nil).status == 404)
    }

    @Test("a link for too large a file is 413, for a bad key or type 400")
    func refusals() async throws {
        let world = try await World()
        let bot = try await world.bot()
        #expect(try await upload(world, bot, size: (100 << 20) + 1).status == 413)
        #expect(try await upload(world, bot, key: "../x").errorFields == ["key"])
        #expect(try await upload(world, bot, key: "records/x").status == 404)
        #expect(try await upload(world, bot, type: "text").errorFields == ["contentType"])
        #expect(try await upload(world, bot, size: -1).errorFields == ["size"])
        #expect(try await upload(world, bot, size: 100 << 20).status == 200)
    }

    @Test("SEC-97 HTML and SVG come down as attachments by link too", arguments: ["page.html", "image.svg", "doc.xml", "x.xhtml"])
    func SEC_97_active(_ name: String) async throws {
        let world = try await World()
        let bot = try await world.bot()
        let type = name.hasSuffix("svg") ? "image/svg+xml" : "text/html"
        _ = try await world.send(.put, "/api/bots/\(bot.botId)/files/raw?key=\(name)", body: Data("<script>1</script>".utf8), headers: [.contentType: type])
        let link = try path(try await world.send(.get, "/api/bots/\(bot.botId)/files/download-url?key=\(name)&disposition=inline"))
        let reply = try await world.send(.get, link, as: nil)
        #expect(reply.headers[.contentDisposition]?.hasPrefix("attachment") == true && reply.headers[.contentType] == "application/octet-stream")
    }

    @Test("a preview tells the kind and shows text only")
    func previews() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let long = String(repeating: "ü", count: (1 << 19) + 10)
        let files: [(String, Data, String, String?, Bool)] = [
            ("notes.txt", Data("hé".utf8), "text", "hé", false), ("README.md", Data("# x".utf8), "markdown", "# x", false),
            ("a.html", Data("<b>".utf8), "html", "<b>", false), ("a.png", Data([0x89, 0x50]), "image", nil, false), ("a.svg", Data("<svg/>".utf8), "text", "<svg/>", false),
            ("bin", Data([0, 1, 2]), "binary", nil, false), ("latin.txt", Data([0x68, 0xe9]), "binary", nil, false), ("empty", Data(), "text", "", false),
            ("long.txt", Data("a".utf8) + Data(long.utf8), "text", "a" + String(long.prefix((1 << 19) - 1)), true),
        ]
        for (key, content, kind, text, truncated) in files {
            _ = try await world.send(.put, "/api/bots/\(bot.botId)/files/raw?key=\(key)", body: content)
            let shown = try await world.send(.get, "/api/bots/\(bot.botId)/files/content?key=\(key)").json
            #expect(shown["previewKind"]?.string == kind && shown["content"]?.string == text && shown["truncated"]?.bool == truncated, "\(key)")
            #expect(shown["size"]?.int == content.count)
        }
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files/content?key=none").status == 404)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files/content?key=../x").status == 400)
    }
}
