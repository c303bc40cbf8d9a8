import Foundation
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Grants at the gateway", .paced) struct GatewayAuthorizationTests {
    private func refused(_ world: GatewayWorld, _ token: String?, socket: SessionKey? = nil) async -> Bool {
        do {
            _ = try await world.gateway.authorize(token: token, socketSession: socket, scope: .objects)
            return false
        } catch {
            if case .unauthenticated = error { return true }
            return false
        }
    }

    @Test("SEC-71, SEC-72: a changed, missing or foreign-signed grant gets nothing") func SEC_72_tampering() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        #expect(await !refused(world, token))
        #expect(await refused(world, nil))
        for index in stride(from: 0, to: token.utf8.count, by: 7) {
            var bytes = Array(token.utf8)
            bytes[index] = bytes[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(await refused(world, String(decoding: bytes, as: UTF8.self)))
        }
        let other = PlatformKeys(roots: [Data(repeating: 7, count: 32)]).keys(.blobLink)
        let grant = try world.signer.verify(token, at: world.time.now())
        #expect(await refused(world, try GrantSigner(keys: other).sign(grant)))
        #expect(await refused(world, "v2" + token.dropFirst(2)))
    }

    @Test(
        "SEC-73: a grant dies with expiry, stop, final reply, a new run, a new epoch, pause, deletion and suspension",
        arguments: ["expiry", "stop", "final", "superseded", "epoch", "settled", "paused", "deleted", "suspended"])
    func SEC_73_deaths(_ event: String) async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        #expect(await !refused(world, token))
        let session = Session.key(world.session)
        switch event {
        case "expiry": world.time.advance(by: .seconds(661))
        case "stop": try await world.change(session, .set("run.stopped", true))
        case "final": _ = try await world.reply(token, ["sequence": 0, "messageId": .string(ULID.make()), "kind": "final", "text": "done"])
        case "superseded": try await world.change(session, .set("run.invocationId", .string(ULID.make())))
        case "epoch": try await world.change(session, .set("epoch", 1))
        case "settled": try await world.change(session, .remove("run"))
        case "paused": try await world.change(Bot.key(world.userId, world.botId), .set("status", "paused"))
        case "deleted": try await world.change(Bot.key(world.userId, world.botId), .set("status", "deleted"))
        default: try await world.change(User.key(world.userId), .set("status", "suspended"))
        }
        #expect(await refused(world, token), "after \(event)")
        _ = id
    }

    @Test("SEC-64, SEC-73: a grant of one session is refused over another session's socket") func SEC_64_sockets() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        #expect(await !refused(world, token, socket: world.session))
        #expect(await refused(world, token, socket: SessionKey(botId: world.botId, groupJid: GroupJID("web:other"))))
    }

    @Test("a scope that the grant lacks is forbidden") func scopes() async throws {
        let world = try await GatewayWorld()
        let (_, id) = try await world.start()
        let token = try world.token(id, scopes: [.model])
        await #expect(throws: GatewayError.self) { _ = try await world.run(token, .objects) }
        _ = try await world.run(token, .model)
    }

    @Test("SEC-105: a run makes 1200 calls a minute and 32 at once, not more") func SEC_105_rate() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let run = try await world.run(token)
        var open = try (0..<32).map { _ in try world.gateway.permit(run) }
        #expect(throws: GatewayError.self) { try world.gateway.permit(run) }
        open.removeAll()
        for _ in 32..<1200 { try world.gateway.permit(run).end() }
        #expect(throws: GatewayError.self) { try world.gateway.permit(run) }
        world.time.advance(by: .seconds(61))
        #expect(try world.gateway.permit(run).remaining == 1199)
    }

    @Test("a call raises the run's heartbeat, every 15 seconds at most") func heartbeat() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let started = world.time.now()
        world.time.advance(by: .seconds(10))
        _ = try await world.run(token)
        #expect(try await world.storedRun()?.lastBeat == started)
        world.time.advance(by: .seconds(6))
        _ = try await world.run(token)
        #expect(try await world.storedRun()?.lastBeat == started + 16)
    }
}
