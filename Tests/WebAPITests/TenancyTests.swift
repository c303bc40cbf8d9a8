import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Tenancy", .paced)
struct TenancyTests {
    @Test("SEC-14 on every route with a bot, another tenant's id is the same 404 as a random one, and nothing changes")
    func SEC_14_matrix() async throws {
        let world = try await World(limits: [.api: 10_000, .provider: 10_000, .chat: 10_000])
        let bot = try await world.bot()
        let group = try await world.conversation(bot, messages: 1)
        let task = try await world.api.services.tasks.create(
            TaskDraft(groupJid: group.groupJid, prompt: "x", scheduleType: .interval, scheduleValue: "60000"), .bot(World.alice, bot.botId))
        _ = try await world.send(.put, "/api/bots/\(bot.botId)/files/raw?key=a.txt", body: Data("x".utf8))
        var tried = 0
        for route in world.api.routes where route.template.hasPrefix("/api/bots/{botId}") {
            func path(_ bot: String) -> String {
                route.template.replacingOccurrences(of: "{botId}", with: bot).replacingOccurrences(of: "{groupJid}", with: "web%3Amain")
                    .replacingOccurrences(of: "{messageId}", with: "m-0").replacingOccurrences(of: "{taskId}", with: task.taskId.rawValue)
                    .replacingOccurrences(of: "{channelType}", with: "telegram") + (route.template.contains("/files") ? "?key=a.txt" : "")
            }
            let foreign = try await world.send(route.method, path(bot.botId.rawValue), as: World.bob)
            let random = try await world.send(route.method, path(ULID.make()), as: World.bob)
            let malformed = try await world.send(route.method, path("..%2Fx"), as: World.bob)
            #expect(foreign.status == 404, "\(route.method) \(route.template) → \(foreign.status)")
            #expect(foreign.body == random.body && malformed.body == random.body)
            tried += 1
        }
        #expect(tried >= 25)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)", as: World.root).status == 404, "administrators see no tenant's bots")
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").status == 200)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/tasks").items.count == 1)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files/raw?key=a.txt").text == "x")
    }

    @Test("a task, group or message of another bot of the same owner is 404 too")
    func siblings() async throws {
        let world = try await World()
        let one = try await world.bot(), two = try await world.bot(name: "Other")
        let group = try await world.conversation(one, messages: 1)
        let task = try await world.api.services.tasks.create(
            TaskDraft(groupJid: group.groupJid, prompt: "x", scheduleType: .interval, scheduleValue: "60000"), .bot(World.alice, one.botId))
        for path in ["tasks/\(task.taskId)", "groups/web%3Amain", "groups/web%3Amain/messages/m-0", "groups/web%3Amain/memory"] {
            #expect(try await world.send(.get, "/api/bots/\(one.botId)/\(path)").status == 200)
            #expect(try await world.send(.get, "/api/bots/\(two.botId)/\(path)").status == 404)
        }
    }

    @Test("a deleted bot answers 404 at once and frees its place in the quota")
    func deletion() async throws {
        let world = try await World()
        let bot = try await world.bot()
        #expect(try await world.send(.delete, "/api/bots/\(bot.botId)").status == 204)
        #expect(try await world.send(.delete, "/api/bots/\(bot.botId)").status == 404)
        #expect(try await world.send(.get, "/api/bots").items.isEmpty)
        #expect(try await world.send(.get, "/api/me").json["botCount"]?.int == 0)
    }

    @Test("SEC-34 path tricks never leave the bot's root", arguments: ["../x", "a/../b", "/x", "%2e%2e/x", "a%5Cb", "a%00b", "..%2fx", "a//b", "a/", ".", "%c0%ae%c0%ae/x", "CLAUDE.md%0a"])
    func SEC_34_keys(_ key: String) async throws {
        let world = try await World()
        let bot = try await world.bot(), other = try await world.bot(of: World.bob)
        _ = try await world.send(.put, "/api/bots/\(other.botId)/files/raw?key=x", as: World.bob, body: Data("bob".utf8))
        for (method, path) in [(HTTPRequest.Method.get, "files/raw"), (.put, "files/raw"), (.delete, "files")] {
            #expect(try await world.send(method, "/api/bots/\(bot.botId)/\(path)?key=\(key)", body: method == .put ? Data("x".utf8) : nil).status == 400)
        }
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files?prefix=\(key)").status == 400 || key == "a/")
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files").items.isEmpty)
        // Encoded twice, it is a name with percent signs, not a way out.
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/files/raw?key=%252e%252e%252fx").status == 404)
    }

    @Test("group ids in paths are decoded once; malformed ones are 404")
    func groupIds() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let group = Group(botId: bot.botId, groupJid: GroupJID("sl:a/b#?c"), userId: World.alice, name: "odd", channelType: .slack, isGroup: true, at: world.time.now())
        try await world.records.put(group)
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/groups/sl%3Aa%2Fb%23%3Fc").json["name"]?.string == "odd")
        for bad in ["sl%253Aa", "web%3A..%2F..", "%00", "%ff", "nothing", "web%3A"] {
            #expect(try await world.send(.get, "/api/bots/\(bot.botId)/groups/\(bad)").status == 404)
        }
    }
}
