import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Lists, idempotency, tags", .paced)
struct ListsAndWritesTests {
    @Test("a list is walked exactly once with any limit", arguments: [1, 7, 50, 200])
    func walk(_ limit: Int) async throws {
        let world = try await World(limits: [.api: 10_000])
        let bot = try await world.bot()
        _ = try await world.conversation(bot, messages: 60)
        var seen: [String] = [], cursor: String?
        repeat {
            let path = "/api/bots/\(bot.botId)/groups/web%3Amain/messages?limit=\(limit)" + (cursor.map { "&cursor=\($0)" } ?? "")
            let page = try await world.send(.get, path)
            #expect(page.status == 200)
            seen += page.items.compactMap { $0["messageId"]?.string }
            cursor = page.json["nextCursor"]?.string
        } while cursor != nil
        #expect(seen == (0..<60).reversed().map { "m-\($0)" })
    }

    @Test("a cursor is good for its caller, route and filters only")
    func cursors() async throws {
        let world = try await World()
        for name in ["a", "b", "c"] { _ = try await world.bot(name: name) }
        for name in ["d", "e"] { _ = try await world.bot(of: World.bob, name: name) }
        let cursor = try #require(try await world.send(.get, "/api/bots?limit=1").json["nextCursor"]?.string)
        #expect(try await world.send(.get, "/api/bots?limit=2&cursor=\(cursor)").items.count == 2)
        #expect(try await world.send(.get, "/api/bots?cursor=\(cursor)", as: World.bob).slug == "invalid-cursor")
        #expect(try await world.send(.get, "/api/bots?status=active&cursor=\(cursor)").slug == "invalid-cursor")
        #expect(try await world.send(.get, "/api/providers?cursor=\(cursor)").slug == "invalid-cursor")
        #expect(try await world.send(.get, "/api/bots?cursor=\(cursor)x").slug == "invalid-cursor")
        #expect(try await world.send(.get, "/api/bots?limit=201").errorFields == ["query.limit"])
        #expect(try await world.send(.get, "/api/bots?status=deleted").errorFields == ["query.status"])
    }

    @Test("an Idempotency-Key makes one bot of many requests; another body is 422")
    func idempotency() async throws {
        let world = try await World()
        let name = HTTPField.Name("Idempotency-Key")!
        let first = try await world.send(.post, "/api/bots", json: #"{"name":"Rosa"}"#, headers: [name: "k1"])
        let second = try await world.send(.post, "/api/bots", json: #"{"name":"Rosa"}"#, headers: [name: "k1"])
        #expect(first.status == 201 && second.status == 201 && first.json == second.json)
        #expect(first.headers[.location] != nil && second.headers[.location] == first.headers[.location])
        #expect(second.headers[HTTPField.Name("Idempotency-Replayed")!] == "true")
        #expect(try await world.send(.post, "/api/bots", json: #"{"name":"Ada"}"#, headers: [name: "k1"]).slug == "idempotency-mismatch")
        #expect(try await world.send(.post, "/api/bots", json: #"{"name":"Ada"}"#, headers: [name: "not ok"]).errorFields == ["header.idempotency-key"])
        #expect(try await world.send(.post, "/api/bots", as: World.bob, json: #"{"name":"Bob's"}"#, headers: [name: "k1"]).status == 201)
        #expect(try await world.send(.get, "/api/bots").items.count == 1)
        // A failure is not remembered.
        #expect(try await world.send(.post, "/api/bots", json: #"{"nam":"x"}"#, headers: [name: "k2"]).status == 400)
        #expect(try await world.send(.post, "/api/bots", json: #"{"name":"x"}"#, headers: [name: "k2"]).status == 201)
    }

    @Test("parallel requests with one key make one bot")
    func parallelKeys() async throws {
        let world = try await World()
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<10 {
                group.addTask { try await world.send(.post, "/api/bots", json: #"{"name":"Rosa"}"#, headers: [HTTPField.Name("Idempotency-Key")!: "k"]).status }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.allSatisfy { $0 == 201 || $0 == 409 } && statuses.contains(201))
        #expect(try await world.send(.get, "/api/bots").items.count == 1)
    }

    @Test("memory: never written reads as empty, If-Match guards it, a stale tag is 412 and changes nothing")
    func memory() async throws {
        let world = try await World()
        let bot = try await world.bot()
        _ = try await world.conversation(bot)
        for path in ["/api/shared-memory", "/api/bots/\(bot.botId)/memory", "/api/bots/\(bot.botId)/groups/web%3Amain/memory"] {
            let empty = try await world.send(.get, path)
            #expect(empty.json["content"]?.string == "" && empty.json["updatedAt"] == nil)
            let first = try await world.send(.put, path, json: #"{"content":"one"}"#, headers: [.ifMatch: empty.headers[.eTag] ?? ""])
            #expect(first.status == 200 && first.json["size"]?.int == 3)
            #expect(try await world.send(.put, path, json: #"{"content":"two"}"#, headers: [.ifMatch: empty.headers[.eTag] ?? ""]).status == 412)
            #expect(try await world.send(.put, path, json: #"{"content":"two"}"#, headers: [.ifNoneMatch: "*"]).status == 412)
            #expect(try await world.send(.get, path).json["content"]?.string == "one")
            #expect(try await world.send(.get, path, headers: [.ifNoneMatch: first.headers[.eTag] ?? ""]).status == 304)
            #expect(try await world.send(.put, path, json: #"{"content":""# + String(repeating: "x", count: 102_401) + #""}"#).errorFields == ["content"])
            #expect(try await world.send(.patch, path, json: #"{"content":"x"}"#).status == 405)
        }
    }

    @Test("files: put, list, range, replace, delete; records and versions are not part of them")
    func files() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/files"
        let put = try await world.send(.put, path + "/raw?key=docs/a.txt", body: Data("hello world".utf8), headers: [.contentType: "text/plain"])
        #expect(put.status == 201)
        #expect(try await world.send(.put, path + "/raw?key=docs/a.txt", body: Data("hello world".utf8)).status == 200)
        let list = try await world.send(.get, path)
        #expect(list.items.first?["isFolder"]?.bool == true && list.items.first?["key"]?.string == "docs/")
        #expect(try await world.send(.get, path + "?prefix=docs/").items.first?["size"]?.int == 11)
        let part = try await world.send(.get, path + "/raw?key=docs/a.txt", headers: [.range: "bytes=6-8"])
        #expect(part.status == 206 && part.text == "wor" && part.headers[.contentRange] == "bytes 6-8/11")
        #expect(try await world.send(.get, path + "/raw?key=docs/a.txt", headers: [.range: "bytes=50-"]).status == 416)
        #expect(try await world.send(.put, path + "/raw?key=docs/a.txt", body: Data("x".utf8), headers: [.ifMatch: "\"stale\""]).status == 412)
        #expect(try await world.send(.get, path + "/raw?key=records/x").status == 404)
        #expect(try await world.send(.delete, path + "?key=docs/a.txt").status == 204)
        #expect(try await world.send(.delete, path + "?key=docs/a.txt").status == 404)
    }

    @Test("SEC-97 HTML and SVG are attachments whatever is asked, under a sandbox policy and an encoded name")
    func SEC_97_downloads() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/files/raw"
        for (name, type) in [("a.html", "text/html"), ("a.svg", "image/svg+xml"), ("a.xml", "application/xhtml+xml"), ("a.pdf", "application/pdf")] {
            _ = try await world.send(.put, path + "?key=\(name)", body: Data("<script>".utf8), headers: [.contentType: type])
            let reply = try await world.send(.get, path + "?key=\(name)&disposition=inline")
            #expect(reply.headers[.contentDisposition]?.hasPrefix("attachment") == true)
            #expect(reply.headers[.contentSecurityPolicy] == "sandbox; default-src 'none'" && reply.headers[.xContentTypeOptions] == "nosniff")
        }
        _ = try await world.send(.put, path + "?key=" + "a%22%C3%A4.png", body: Data([1]), headers: [.contentType: "image/png"])
        let image = try await world.send(.get, path + "?key=a%22%C3%A4.png&disposition=inline")
        #expect(image.headers[.contentDisposition] == #"inline; filename="a___.png"; filename*=UTF-8''a%22%C3%A4.png"#)
    }
}
