import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Memory versions", .paced)
struct MemoryVersionTests {
    @Test("every content that the owner wrote can be read again, newest first, and reverting is writing it again")
    func owner() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let group = try await world.conversation(bot)
        for path in ["/api/shared-memory", "/api/bots/\(bot.botId)/memory", "/api/bots/\(bot.botId)/groups/web%3Amain/memory"] {
            #expect(try await world.send(.get, path + "/versions").items.isEmpty)
            for text in ["one", "two", "three"] {
                #expect(try await world.send(.put, path, json: #"{"content":"\#(text)"}"#).status == 200)
                world.time.advance(by: .seconds(1))
            }
            let versions = try await world.send(.get, path + "/versions").items
            #expect(versions.map { $0["size"]?.int } == [5, 3, 3])
            #expect(versions.allSatisfy { $0["by"]?.string == "owner" && $0["invocationId"] == nil })
            let oldest = try #require(versions.last?["versionId"]?.string)
            #expect(try await world.send(.get, path + "/versions/\(oldest)").json["content"]?.string == "one")
            let page = try await world.send(.get, path + "/versions?limit=2")
            let cursor = try #require(page.json["nextCursor"]?.string)
            #expect(try await world.send(.get, path + "/versions?limit=2&cursor=\(cursor)").items.map { $0["versionId"]?.string } == [oldest])
            for wrong in [ULID.make(), "..%2F..%2Fshared", "x"] { #expect(try await world.send(.get, path + "/versions/\(wrong)").status == 404) }
            #expect(try await world.send(.get, path + "/versions", as: World.bob).items.isEmpty || path.contains("bots"))
        }
        #expect(group.groupJid.rawValue == "web:main")
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/memory/versions", as: World.bob).status == 404)
    }

    @Test("a refused write leaves no version, and fifty are kept")
    func limits() async throws {
        let world = try await World(limits: [.api: 10_000])
        let path = "/api/shared-memory"
        _ = try await world.send(.put, path, json: #"{"content":"first"}"#)
        #expect(try await world.send(.put, path, json: #"{"content":"lost"}"#, headers: [.ifMatch: #""stale""#]).status == 412)
        #expect(try await world.send(.get, path + "/versions").items.count == 1)
        for index in 0..<55 { _ = try await world.send(.put, path, json: #"{"content":"n\#(index)"}"#) }
        let versions = try await world.send(.get, path + "/versions?limit=200").items.compactMap { $0["versionId"]?.string }
        #expect(versions.count == 50 && versions == versions.sorted(by: >) && Set(versions).count == 50)
        #expect(try await world.send(.get, path + "/versions/\(versions[49])").json["content"]?.string == "n5")
    }

    @Test("what an agent left is a version of its run, taken once, and kept before its owner writes over it")
    func agent() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let session = SessionKey(botId: bot.botId, groupJid: GroupJID("web:main"))
        let key = try ObjectKey(checking: ObjectLayout(userId: bot.userId, botId: bot.botId).botMemory)
        let path = "/api/bots/\(bot.botId)/memory"
        // What a mount begins with is nobody's work.
        try await world.objects.put(key, Data())
        try await world.history.settled(session, of: bot.userId, InvocationID("I0"))
        #expect(try await world.send(.get, path + "/versions").items.isEmpty)
        try await world.objects.put(key, Data("learned".utf8))
        for _ in 0..<3 { try await world.history.settled(session, of: bot.userId, InvocationID("I1")) }
        // A new object of the same content is no new version.
        try await world.objects.delete(key, if: nil)
        try await world.objects.put(key, Data("learned".utf8))
        try await world.history.settled(session, of: bot.userId, InvocationID("I2"))
        let versions = try await world.send(.get, path + "/versions").items
        #expect(versions.count == 1 && versions[0]["by"]?.string == "agent" && versions[0]["invocationId"]?.string == "I1")
        try await world.objects.put(key, Data("unseen".utf8))
        _ = try await world.send(.put, path, json: #"{"content":"mine"}"#)
        #expect(try await world.send(.get, path + "/versions").items.map { $0["by"]?.string } == ["owner", "agent", "agent"])
    }

    @Test("versions are no files of the bot")
    func hidden() async throws {
        let world = try await World()
        let bot = try await world.bot()
        _ = try await world.send(.put, "/api/bots/\(bot.botId)/memory", json: #"{"content":"x"}"#)
        let listed = try await world.send(.get, "/api/bots/\(bot.botId)/files").items.compactMap { $0["key"]?.string }
        #expect(listed == ["CLAUDE.md"])
        for path in ["files?prefix=versions/", "files/raw?key=versions/x", "files/content?key=versions/x", "files/download-url?key=records/x"] {
            #expect(try await world.send(.get, "/api/bots/\(bot.botId)/\(path)").status == 404)
        }
    }
}
