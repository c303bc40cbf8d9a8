import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite("The way out for commands", .paced)
struct EgressCallsTests {
    /// Answers differently each time, as a name that is being rebound does.
    private final class Names: HostResolver {
        let table = Mutex<[String: [[String]]]>([:])
        let asked = Mutex(0)
        init(_ table: [String: [[String]]]) { self.table.withLock { $0 = table } }
        func addresses(of host: String) async throws -> [String] {
            asked.withLock { $0 += 1 }
            return table.withLock { table in
                guard var answers = table[host], let first = answers.first else { return [] }
                if answers.count > 1 { answers.removeFirst() }
                table[host] = answers
                return first
            }
        }
    }

    private func world(_ names: Names = Names(["public.example": [["93.184.216.34"]]]), limits: EgressLimits = EgressLimits()) async throws -> (GatewayWorld, String) {
        let world = try await GatewayWorld(with: { hooks in hooks.egress = EgressDoor(egress: EgressGuard(resolver: names), limits: limits) })
        return (world, try await world.start().token)
    }
    private func open(_ world: GatewayWorld, _ token: String?, _ url: String, socket: SessionKey? = nil) async throws -> EgressPassage {
        try await world.gateway.egress(token: token, socketSession: socket, to: try #require(WebAddress(url)))
    }
    private func status(_ world: GatewayWorld, _ token: String?, _ url: String, socket: SessionKey? = nil) async throws -> Int? {
        do { _ = try await open(world, token, url, socket: socket); return nil } catch let refusal as EgressRefusal { return refusal.status }
    }

    @Test("SEC-41 the address that was looked at is the one to connect to; one private address among several refuses all")
    func SEC_41_vetted() async throws {
        let names = Names([
            "moving.example": [["93.184.216.34"], ["127.0.0.1"]], "mixed.example": [["93.184.216.34", "10.0.0.1"]], "six.example": [["93.184.216.34", "fd00::1"]], "home.example": [["127.0.0.1"]],
        ])
        let (world, token) = try await world(names)
        let passage = try await open(world, token, "https://moving.example")
        #expect(passage.address == "93.184.216.34" && names.asked.withLock { $0 } == 1)
        for host in ["moving.example", "mixed.example", "six.example", "home.example"] { #expect(try await status(world, token, "https://\(host)") == 403, "\(host)") }
        #expect(Set(try await world.denials().map(\.target)) == ["moving.example", "mixed.example", "six.example", "home.example"])
        #expect(try await world.denials().allSatisfy { $0.kind == .egress })
        #expect(try await status(world, token, "https://nowhere.example") == 502)
        #expect(try await world.denials().count == 4, "a name that does not exist is no denial")
    }

    @Test("SEC-82 a live grant with the scope, over its own session's socket; places and bytes of a run are bounded and given back")
    func SEC_82_bounds() async throws {
        var limits = EgressLimits()
        limits.connections = 2
        limits.bytes = 1000
        let (world, token) = try await world(limits: limits)
        #expect(try await status(world, nil, "https://public.example") == 401)
        #expect(try await status(world, "v1.e30.AAAA", "https://public.example") == 401)
        let id = try #require(try await world.storedRun()).invocationId
        #expect(try await status(world, try world.token(id, scopes: [.model, .proxy]), "https://public.example") == 403)
        #expect(try await status(world, token, "https://public.example", socket: SessionKey(botId: world.botId, groupJid: GroupJID("web:other"))) == 401)
        let first = try await open(world, token, "https://public.example"), second = try await open(world, token, "http://public.example")
        #expect(try await status(world, token, "https://public.example") == 429)
        first.end()
        first.end()
        let third = try await open(world, token, "https://public.example")
        try third.count(sent: 400, received: 600)
        #expect(throws: EgressRefusal.self) { try second.count(received: 1) }
        second.end(); third.end()
        #expect(try await status(world, token, "https://public.example") == 429)
        await world.gateway.end(id)
        #expect(try await status(world, token, "https://public.example") == 401)
    }

    @Test("connections end with their run")
    func ending() async throws {
        let (world, token) = try await world()
        let passage = try await open(world, token, "https://public.example"), cut = Mutex(0)
        passage.onEnd { cut.withLock { $0 += 1 } }
        await world.gateway.end(try #require(try await world.storedRun()).invocationId)
        #expect(cut.withLock { $0 } == 1)
    }

    @Test(
        "SEC-84 the bot's lists decide, deny before allow",
        arguments: [
            (Bot.Egress(), "a.example", 443, true), (Bot.Egress(deny: ["a.example"]), "a.example", 443, false), (Bot.Egress(deny: ["a.example"]), "b.a.example", 443, true),
            (Bot.Egress(deny: ["*.a.example"]), "b.a.example", 443, false), (Bot.Egress(deny: ["*.a.example"]), "a.example", 443, true),
            (Bot.Egress(deny: ["*.a.example"]), "ba.example", 443, true), (Bot.Egress(default: .deny), "a.example", 443, false),
            (Bot.Egress(default: .deny, allow: ["a.example"]), "a.example", 80, true), (Bot.Egress(default: .deny, allow: ["a.example:443"]), "a.example", 80, false),
            (Bot.Egress(default: .deny, allow: ["*.a.example:443"]), "x.y.a.example", 443, true), (Bot.Egress(default: .deny, allow: ["A.Example"]), "a.example", 443, true),
            (Bot.Egress(allow: ["a.example"], deny: ["a.example:443"]), "a.example", 443, false), (Bot.Egress(allow: ["a.example"], deny: ["a.example:443"]), "a.example", 80, true),
        ])
    func SEC_84_lists(_ policy: Bot.Egress, _ host: String, _ port: Int, _ allowed: Bool) { #expect(policy.allows(host: host, port: port) == allowed) }

    @Test("SEC-43 an unusual port is open where the owner named it with its host, never a low one")
    func SEC_43_ports() async throws {
        let (world, token) = try await world(Names(["public.example": [["93.184.216.34"]], "home.example": [["127.0.0.1"]]]))
        #expect(try await status(world, token, "https://public.example:8443") == 403)
        var bot = try #require(try await world.records.get(Bot.self, Bot.key(world.userId, world.botId)))
        bot.egress = Bot.Egress(allow: ["public.example:8443", "public.example:22", "home.example:8443"])
        try await world.records.put(bot)
        #expect(try await status(world, token, "https://public.example:8443") == nil)
        #expect(try await status(world, token, "https://public.example:22") == 403)
        #expect(try await status(world, token, "https://home.example:8443") == 403)
    }

    @Test(
        "SEC-81 what follows a rule stays below its target",
        arguments: [
            ("v1/x", true), ("", true), ("v1/", true), ("a%20b/c;d=1", true), ("100%25", true), ("..", false), ("../x", false), ("a/..", false), (".", false), ("%2e%2e/x", false), ("%2E./x", false),
            ("a%2fb", false), ("a%5Cb", false), ("a\\b", false), ("a//b", false), ("/etc", false), ("http://evil/", false), ("..;x/y", false), ("%252e%252e/x", false), ("a%252fb", false), ("a%0d%0ab", false),
            ("a%zz", false), ("a b", false), ("a#b", false), ("ü", false), ("%ff", false),
        ])
    func SEC_81_path(_ rest: String, _ isFine: Bool) { #expect((ProxyPath(rest, query: nil) != nil) == isFine) }
}
