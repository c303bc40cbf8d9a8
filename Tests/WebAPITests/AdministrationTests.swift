import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Administration", .paced)
struct AdministrationTests {
    private static let quota = #"{"maxBots":3,"maxGroupsPerBot":4,"maxTasksPerBot":5,"maxConcurrentAgents":6,"maxMonthlyTokens":7}"#
    private static let table = #"{"free":\#(quota),"pro":\#(quota),"enterprise":\#(quota)}"#

    @Test("the plan table is replaced whole; new users and plan changes follow it, existing users keep their quota")
    func plans() async throws {
        let world = try await World()
        let before = try await world.send(.get, "/api/admin/plans", as: World.root).json
        #expect(before["free"]?["maxBots"]?.int == 2 && before["enterprise"]?["maxMonthlyTokens"]?.int == 1_000_000_000)
        #expect(try await world.send(.put, "/api/admin/plans", as: World.root, json: #"{"free":\#(Self.quota)}"#).errorFields == ["pro", "enterprise"])
        #expect(try await world.send(.patch, "/api/admin/plans", as: World.root, json: Self.table).status == 405)
        #expect(try await world.send(.put, "/api/admin/plans", as: World.root, json: Self.table).json["pro"]?["maxBots"]?.int == 3)
        #expect(try await world.send(.get, "/api/me").json["quota"]?["maxBots"]?.int == 10)
        let made = try await world.send(.post, "/api/admin/users", as: World.root, json: #"{"email":"new@example.com"}"#)
        #expect(made.status == 201 && made.json["quota"]?["maxBots"]?.int == 3)
        let moved = try await world.send(.put, "/api/admin/users/\(World.alice)/plan", as: World.root, json: #"{"plan":"enterprise"}"#)
        #expect(moved.json["quota"]?["maxMonthlyTokens"]?.int == 7 && moved.json["plan"]?.string == "enterprise")
        let one = try await world.send(.patch, "/api/admin/users/\(World.alice)/quota", as: World.root, json: #"{"maxBots":9}"#)
        #expect(one.json["quota"]?["maxBots"]?.int == 9 && one.json["quota"]?["maxMonthlyTokens"]?.int == 7)
    }

    @Test("everybody's usage comes in the order of the users list, also for a month that is over")
    func usage() async throws {
        let world = try await World()
        let month = Timestamp.month(world.time.now())
        try await world.records.put(UsageRows.month(month, of: World.bob), ["inputTokens": 5, "outputTokens": 6, "cacheWriteTokens": 7, "cacheReadTokens": 100, "invocations": 2])
        try await world.records.put(UsageRows.month("2026-01", of: World.alice), ["inputTokens": 1, "invocations": 1])
        let users = try await world.send(.get, "/api/admin/users", as: World.root).items.compactMap { $0["userId"]?.string }
        let rows = try await world.send(.get, "/api/admin/usage", as: World.root).items
        #expect(rows.compactMap { $0["userId"]?.string } == users)
        let bob = try #require(rows.first { $0["userId"]?.string == World.bob.rawValue })
        #expect(bob["tokens"]?.int == 18 && bob["invocations"]?.int == 2 && bob["email"]?.string == "bob@example.com")
        let old = try await world.send(.get, "/api/admin/usage?month=2026-01&limit=200", as: World.root).items
        #expect(old.first { $0["userId"]?.string == World.alice.rawValue }?["tokens"]?.int == 1)
        for wrong in ["2026-13", "2999-01", "x", "2026-1"] { #expect(try await world.send(.get, "/api/admin/usage?month=\(wrong)", as: World.root).errorFields == ["query.month"]) }
        let first = try await world.send(.get, "/api/admin/usage?limit=1", as: World.root)
        let cursor = try #require(first.json["nextCursor"]?.string)
        #expect(try await world.send(.get, "/api/admin/usage?month=2026-01&cursor=\(cursor)", as: World.root).slug == "invalid-cursor")
    }

    @Test("users are found by the beginning of e-mail or name, deleted ones only when asked for")
    func search() async throws {
        let world = try await World()
        _ = try await world.send(.post, "/api/admin/users", as: World.root, json: #"{"email":"zoe@example.com","displayName":"Zoë Aalto"}"#)
        for query in ["zoe@", "ZOE@EX", "Zo", "zoë", "Zo%C3%AB"] {
            #expect(try await world.send(.get, "/api/admin/users?query=\(query.addingPercentEncoding(withAllowedCharacters: .urlQueryAllowed)?.replacingOccurrences(of: "%25C3%25AB", with: "%C3%AB") ?? "")", as: World.root).items.count == 1, "\(query)")
        }
        #expect(try await world.send(.get, "/api/admin/users?query=xyz", as: World.root).items.isEmpty)
        #expect(try await world.send(.get, "/api/admin/users?query=", as: World.root).errorFields == ["query.query"])
        #expect(try await world.send(.delete, "/api/admin/users/\(World.bob)", as: World.root).status == 204)
        #expect(try await world.send(.get, "/api/admin/users", as: World.root).items.contains { $0["userId"]?.string == World.bob.rawValue } == false)
        #expect(try await world.send(.get, "/api/admin/users?status=deleted", as: World.root).items.map { $0["userId"]?.string } == [World.bob.rawValue])
        #expect(try await world.send(.get, "/api/admin/users/\(World.bob)", as: World.root).status == 404)
        #expect(try await world.send(.delete, "/api/admin/users/\(World.root)", as: World.root).slug == "self-modification")
        #expect(try await world.records.get(Tombstone.key(World.root.rawValue)) == nil, "a refused deletion leaves no tombstone")
    }

    @Test("deleting a user deletes their bots at once")
    func deletion() async throws {
        let world = try await World()
        let bot = try await world.bot(of: World.bob)
        #expect(try await world.send(.delete, "/api/admin/users/\(World.bob)", as: World.root).status == 204)
        #expect(try await world.records.get(Bot.self, bot.key)?.status == .deleted)
        #expect(try await world.records.get(Tombstone.key(bot.botId.rawValue)) != nil)
        #expect(try await world.records.get(Tombstone.key(World.bob.rawValue)) != nil)
    }

    @Test("SEC-123 each change makes exactly one audit entry, with who and under which request; the trail can be read by administrators only")
    func SEC_123_entries() async throws {
        let world = try await World()
        let id = HTTPField.Name("X-Request-Id")!
        var expected: [String: [String]] = [:]
        var number = 0
        func change(_ method: HTTPRequest.Method, _ path: String, _ user: UserID, _ json: String? = nil, trail: String, _ action: String) async throws -> Reply {
            number += 1
            let reply = try await world.send(method, path, as: user, json: json, headers: [id: "r-\(number)"])
            #expect((200..<300).contains(reply.status), "\(method) \(path) → \(reply.status) \(reply.text)")
            expected[trail, default: []].append("\(action) by \(user) in r-\(number)")
            return reply
        }
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)", alice = World.alice.rawValue, platform = AuditEntry.platform
        _ = try await change(.patch, path, World.alice, #"{"egress":{"default":"deny","allow":[],"deny":[]}}"#, trail: alice, "bot.policy-changed")
        _ = try await change(.patch, path, World.alice, #"{"memoryOpenToGroups":true,"name":"Ada"}"#, trail: alice, "bot.policy-changed")
        // No policy: no entry.
        #expect(try await world.send(.patch, path, json: #"{"description":"plain"}"#).status == 200)
        let token = "12345:" + String(repeating: "a", count: 35)
        _ = try await change(.post, path + "/channels", World.alice, #"{"channelType":"telegram","credentials":{"botToken":"\#(token)"}}"#, trail: alice, "channel.connected")
        _ = try await change(.patch, path + "/channels/telegram", World.alice, #"{"config":{"rich":true}}"#, trail: alice, "channel.changed")
        _ = try await change(.patch, path + "/channels/telegram", World.alice, #"{"credentials":{"botToken":"\#(token)"}}"#, trail: alice, "channel.credentials-changed")
        _ = try await change(.delete, path + "/channels/telegram", World.alice, trail: alice, "channel.disconnected")
        let rule = try await change(.post, "/api/proxy-rules", World.alice, #"{"name":"n","prefix":"/p","target":"https://api.example.com","authType":"basic","value":"v"}"#, trail: alice, "proxy-rule.created")
        let rulePath = "/api/proxy-rules/\(rule.json["id"]?.string ?? "")"
        _ = try await change(.patch, rulePath, World.alice, #"{"name":"m"}"#, trail: alice, "proxy-rule.changed")
        _ = try await change(.patch, rulePath, World.alice, #"{"value":"w"}"#, trail: alice, "proxy-rule.credentials-changed")
        _ = try await change(.delete, rulePath, World.alice, trail: alice, "proxy-rule.deleted")
        _ = try await change(.patch, "/api/admin/users/\(alice)/quota", World.root, #"{"maxBots":8}"#, trail: alice, "user.quota-changed")
        _ = try await change(.put, "/api/admin/users/\(alice)/plan", World.root, #"{"plan":"pro"}"#, trail: alice, "user.plan-changed")
        _ = try await change(.put, "/api/admin/plans", World.root, Self.table, trail: platform, "plans.changed")
        let provider = try await change(
            .post, "/api/admin/providers", World.root, #"{"providerName":"P","providerType":"anthropic-compatible-api","baseUrl":"https://api.example.com","modelIds":["m"],"apiKey":"k"}"#,
            trail: platform, "provider.created")
        let providerPath = "/api/admin/providers/\(provider.json["providerId"]?.string ?? "")"
        _ = try await change(.patch, providerPath, World.root, #"{"modelIds":["m","n"]}"#, trail: platform, "provider.changed")
        _ = try await change(.patch, providerPath, World.root, #"{"apiKey":"k2"}"#, trail: platform, "provider.credentials-changed")
        _ = try await change(.delete, providerPath, World.root, trail: platform, "provider.deleted")
        for letter in ["L1", "L2"] {
            try await world.records.put(DeadLetter(
                id: letter, queue: .inbound, kind: "unreadable", reason: "r",
                delivery: QueueDelivery(body: "{}", group: "g", deduplicationID: letter, receipt: QueueReceipt("x"), receiveCount: 20, sentAt: world.time.now()), at: world.time.now()))
        }
        _ = try await change(.post, "/api/admin/dead-letters/L1/redrive", World.root, "{}", trail: platform, "dead-letter.redriven")
        _ = try await change(.delete, "/api/admin/dead-letters/L2", World.root, trail: platform, "dead-letter.deleted")
        _ = try await change(.delete, path, World.alice, trail: alice, "bot.deleted")
        for (trail, entries) in expected {
            let shown = try await world.send(.get, "/api/admin/audit?userId=\(trail)&limit=200", as: World.root).items
            let lines = shown.map { "\($0["action"]?.string ?? "") by \($0["actorId"]?.string ?? "") in \($0["requestId"]?.string ?? "")" }
            #expect(Set(lines) == Set(entries) && lines.count == entries.count, "\(trail)")
            #expect(try await AuditTrail(records: world.records).damage(of: trail, at: world.time.now()) == nil)
        }
        let some = try await world.send(.get, "/api/admin/audit?userId=\(alice)&action=channel.connected", as: World.root).items
        #expect(some.count == 1 && some[0]["target"]?.string == "\(bot.botId)/telegram")
        #expect(try await world.send(.get, "/api/admin/audit", as: World.root).errorFields == ["query.userId"])
        #expect(try await world.send(.get, "/api/admin/audit?userId=head/\(alice)", as: World.root).errorFields == ["query.userId"])
        #expect(try await world.send(.get, "/api/admin/audit?userId=\(alice)", as: World.alice).status == 403)
    }

    @Test("SEC-123 what is refused changes nothing and is not audited as done")
    func SEC_123_refusals() async throws {
        let world = try await World()
        let bot = try await world.bot()
        world.telegram.connectError.withLock { $0 = .rejected("no") }
        let token = "12345:" + String(repeating: "a", count: 35)
        let body = #"{"channelType":"telegram","credentials":{"botToken":"\#(token)"}}"#
        #expect(try await world.send(.post, "/api/bots/\(bot.botId)/channels", json: body).status == 422)
        #expect(try await AuditTrail(records: world.records).entries(of: World.alice.rawValue, limit: 10, cursor: nil).items.isEmpty)
        world.telegram.connectError.withLock { $0 = nil }
        world.telegram.registerError.withLock { $0 = .unreachable("down") }
        #expect(try await world.send(.post, "/api/bots/\(bot.botId)/channels", json: body).status == 502)
        let actions = try await AuditTrail(records: world.records).entries(of: World.alice.rawValue, limit: 10, cursor: nil).items.map(\.action)
        #expect(Set(actions) == ["channel.connected", "channel.connect-undone"])
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)/channels").items.isEmpty)
    }

    @Test("the API bucket counts for those who knock at administrators' doors, too")
    func knocking() async throws {
        let world = try await World(limits: [.api: 2])
        for _ in 0..<2 { #expect(try await world.send(.get, "/api/admin/users").slug == "forbidden") }
        #expect(try await world.send(.get, "/api/admin/users").slug == "rate-limited")
        for _ in 0..<2 { #expect(try await world.send(.get, "/api/admin/users", as: World.root).status == 200) }
        #expect(try await world.send(.get, "/api/admin/users", as: World.root).status == 429)
    }
}
