import Channels
import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Channels and webhooks", .paced)
struct ChannelTests {
    private static let token = "123456:" + String(repeating: "A", count: 35)
    private static let body = #"{"channelType":"telegram","credentials":{"botToken":"\#(token)"}}"#

    @Test("connecting verifies, stores the secret outside the record, activates the bot, and shows what to do")
    func connect() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let reply = try await world.send(.post, "/api/bots/\(bot.botId)/channels", json: Self.body)
        #expect(reply.status == 201 && reply.json["hasCredentials"]?.bool == true && reply.json["setupInstructions"]?.array?.count == 1)
        #expect(!reply.text.contains(Self.token))
        let list = try await world.send(.get, "/api/bots/\(bot.botId)/channels")
        #expect(list.items.count == 1 && !list.text.contains(Self.token))
        #expect(try await world.send(.get, "/api/bots/\(bot.botId)").json["status"]?.string == "active")
        #expect(try await world.send(.post, "/api/bots/\(bot.botId)/channels", json: Self.body).slug == "already-exists")
        let other = try await world.bot(of: World.bob)
        #expect(try await world.send(.post, "/api/bots/\(other.botId)/channels", as: World.bob, json: Self.body).slug == "in-use")
        #expect(try await world.secrets.list(prefix: "test/\(other.botId)").isEmpty, "a refused connect leaves no secret")
        #expect(try await world.send(.delete, "/api/bots/\(bot.botId)/channels/telegram").status == 204)
        #expect(try await world.secrets.list(prefix: "test/").isEmpty)
        #expect(try await world.send(.post, "/api/bots/\(other.botId)/channels", as: World.bob, json: Self.body).status == 201)
    }

    @Test("what the vendor refuses, or does not answer, leaves nothing behind")
    func rollback() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/channels"
        let cases: [(ChannelSetupError, String)] = [
            (.rejected("Telegram does not accept this token."), "credentials-rejected"), (.unreachable("Telegram could not be reached."), "upstream-failed"),
            (.unsupported("No https."), "invalid-state"), (.invalid(field: "credentials.botToken", message: "Bad."), "validation-failed"),
        ]
        for (error, slug) in cases {
            world.telegram.connectError.withLock { $0 = error }
            #expect(try await world.send(.post, path, json: Self.body).slug == slug)
            world.telegram.connectError.withLock { $0 = nil }
            world.telegram.registerError.withLock { $0 = error }
            #expect(try await world.send(.post, path, json: Self.body).slug == slug)
            world.telegram.registerError.withLock { $0 = nil }
            #expect(try await world.send(.get, path).items.isEmpty)
            #expect(try await world.secrets.list(prefix: "test/").isEmpty)
        }
        #expect(try await world.send(.post, path, json: Self.body).status == 201, "its unique names are free again")
    }

    @Test("an update keeps the account, rotates the secret, and goes back when the vendor fails")
    func update() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/channels"
        _ = try await world.send(.post, path, json: Self.body)
        let name = try #require(try await world.secrets.list(prefix: "test/").first)
        #expect(try await world.send(.patch, path + "/telegram", json: #"{"config":{"rich":true}}"#).json["config"]?["rich"]?.bool == true)
        let kept = try await world.secrets.get(name)?.reveal()
        world.telegram.registerError.withLock { $0 = .unreachable("down") }
        let other = "654321:" + String(repeating: "B", count: 35)
        #expect(try await world.send(.put, path + "/telegram", json: #"{"credentials":{"botToken":"\#(other)"}}"#).status == 502)
        #expect(try await world.secrets.get(name)?.reveal() == kept)
        world.telegram.registerError.withLock { $0 = nil }
        world.telegram.account.withLock { $0 = "9" }
        #expect(try await world.send(.put, path + "/telegram", json: #"{"credentials":{"botToken":"\#(other)"}}"#).slug == "invalid-state")
        #expect(try await world.send(.put, path + "/telegram", json: #"{"credentials":{"botToken":"x","more":"y"}}"#).errorFields == ["credentials.more", "credentials.botToken"])
    }

    @Test("a test never fails as a request; three refusals make the channel unhealthy")
    func health() async throws {
        let world = try await World()
        let bot = try await world.bot()
        let path = "/api/bots/\(bot.botId)/channels"
        _ = try await world.send(.post, path, json: Self.body)
        world.telegram.checkResult.withLock { $0 = ChannelCheck(.unknown) }
        #expect(try await world.send(.post, path + "/telegram/test", json: "{}").json["ok"]?.bool == false)
        #expect(try await world.send(.get, path + "/telegram").json["consecutiveFailures"]?.int == 0)
        world.telegram.checkResult.withLock { $0 = ChannelCheck(.refused, detail: "The token was revoked.") }
        for _ in 0..<3 { #expect(try await world.send(.post, path + "/telegram/test").json["detail"]?.string == "The token was revoked.") }
        #expect(try await world.send(.get, path + "/telegram").json["healthStatus"]?.string == "unhealthy")
        world.telegram.checkResult.withLock { $0 = ChannelCheck(.healthy) }
        #expect(try await world.send(.post, path + "/telegram/test").json["ok"]?.bool == true)
        #expect(try await world.send(.get, path + "/telegram").json["healthStatus"]?.string == "healthy")
    }

    @Test("a type that this deployment lacks, and fields that a type lacks, are 400")
    func types() async throws {
        let world = try await World()
        let path = "/api/bots/\(try await world.bot().botId)/channels"
        #expect(try await world.send(.post, path, json: #"{"channelType":"discord","credentials":{}}"#).errorFields == ["channelType"])
        #expect(try await world.send(.post, path, json: #"{"channelType":"telegram"}"#).errorFields == ["credentials.botToken"])
        #expect(try await world.send(.post, path, json: #"{"channelType":"web","credentials":{"x":"y"}}"#).errorFields == ["credentials.x"])
        #expect(try await world.send(.post, path, json: #"{"channelType":"web"}"#).json["connectionMode"]?.string == "builtin")
    }

    @Test("SEC-21 SEC-24 a webhook reaches its verifier as raw bytes with every repeated header")
    func SEC_21_raw() async throws {
        let world = try await World()
        let id = ULID.make()
        let name = HTTPField.Name("X-Telegram-Bot-Api-Secret-Token")!
        var headers: HTTPFields = [:]
        headers.append(HTTPField(name: name, value: "a"))
        headers.append(HTTPField(name: name, value: "b"))
        let reply = try await world.send(.post, "/webhook/telegram/\(id)", as: nil, body: Data("{ \"x\" :1}".utf8), headers: headers)
        #expect(reply.status == 200 && reply.text == #"{"ok":true}"#)
        let seen = try #require(world.webhooks.seen.withLock { $0.first })
        #expect(seen.body == Data("{ \"x\" :1}".utf8) && seen.headers["x-telegram-bot-api-secret-token"] == ["a", "b"])
    }

    @Test("SEC-25 the refusals of a webhook: 404, one 401, 400, 503; each bot has its own bucket")
    func SEC_25_refusals() async throws {
        let world = try await World(limits: [.webhook: 6])
        let path = "/webhook/telegram/\(ULID.make())"
        for (refusal, status) in [(WebhookDoorError.notFound, 404), (.unverified, 401), (.malformed, 400), (.unavailable(cause: "db"), 503)] {
            world.webhooks.refusal.withLock { $0 = refusal }
            #expect(try await world.send(.post, path, as: nil, body: Data("{}".utf8)).status == status)
        }
        world.webhooks.refusal.withLock { $0 = nil }
        #expect(try await world.send(.post, "/webhook/nothing/\(ULID.make())", as: nil, body: Data()).status == 404)
        #expect(try await world.send(.post, "/webhook/telegram/short", as: nil, body: Data()).status == 404)
        for _ in 0..<2 { _ = try await world.send(.post, path, as: nil, body: Data("{}".utf8)) }
        #expect(try await world.send(.post, path, as: nil, body: Data("{}".utf8)).status == 429)
        #expect(try await world.send(.post, "/webhook/telegram/\(ULID.make())", as: nil, body: Data("{}".utf8)).status == 200)
        #expect(try await world.send(.post, path, as: nil, body: Data(count: (1 << 20) + 1)).status == 413)
    }
}
