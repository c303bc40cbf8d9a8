import Foundation
import NIOCore
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Objects through the gateway", .paced) struct GatewayObjectsTests {
    private func outcome(_ body: () async throws -> Void) async -> String {
        do { try await body(); return "ok" } catch GatewayError.notFound { return "404" } catch GatewayError.forbidden { return "403" } catch {
            return "\(error)"
        }
    }
    private func body(_ text: String) -> AsyncStream<ByteBuffer> {
        AsyncStream {
            $0.yield(ByteBuffer(string: text)); $0.finish()
        }
    }

    @Test("SEC-117: the isolation matrix {own, sibling group, sibling bot, other user, id that extends ours} × {get, put, delete, list}")
    func SEC_117_matrix() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let run = try await world.run(token)
        let own = world.layout
        let sibling = GroupJID("web:other")
        let otherBot = ObjectLayout(userId: world.userId, botId: BotID("01J0000000000000000000B0T2"))
        let extending = ObjectLayout(userId: world.userId, botId: BotID(world.botId.rawValue + "X"))
        let otherUser = ObjectLayout(userId: UserID("u2"), botId: world.botId)
        let writable = [own.workspace(world.group), own.sessions(world.group), own.attachments(world.group), own.learnings]
        let foreign = [
            own.workspace(sibling), own.sessions(sibling), own.attachments(sibling), own.workspace(GroupJID("web:main2")),
            otherBot.workspace(world.group), otherBot.learnings,
            extending.workspace(world.group), otherUser.workspace(world.group), otherUser.sharedRoot, own.botRoot + "records/",
            own.botRoot + "versions/",
        ]
        for prefix in writable + foreign + [own.sharedRoot, "skills/"] {
            try await world.objects.put(try ObjectKey(checking: prefix + "f"), Data("x".utf8))
        }

        for prefix in writable {
            #expect(await outcome { _ = try await world.gateway.getObject(run, prefix + "f", range: nil) } == "ok", "\(prefix)")
            #expect(
                await outcome { _ = try await world.gateway.putObject(run, prefix + "g", body: body("y"), contentType: nil, if: nil) } == "ok",
                "\(prefix)")
            #expect(await outcome { try await world.gateway.deleteObject(run, prefix + "g", if: nil) } == "ok", "\(prefix)")
            #expect(try await world.gateway.listObjects(run, prefix: prefix, limit: 50, cursor: nil).items.count == 1)
        }
        for prefix in foreign {
            #expect(await outcome { _ = try await world.gateway.getObject(run, prefix + "f", range: nil) } == "404", "\(prefix)")
            #expect(await outcome { _ = try await world.gateway.headObject(run, prefix + "f") } == "404", "\(prefix)")
            #expect(
                await outcome { _ = try await world.gateway.putObject(run, prefix + "f", body: body("y"), contentType: nil, if: nil) } == "404",
                "\(prefix)")
            #expect(await outcome { try await world.gateway.deleteObject(run, prefix + "f", if: nil) } == "404", "\(prefix)")
            #expect(await outcome { _ = try await world.gateway.listObjects(run, prefix: prefix, limit: 50, cursor: nil) } == "404", "\(prefix)")
        }
        for prefix in [own.sharedRoot, "skills/"] {
            #expect(await outcome { _ = try await world.gateway.getObject(run, prefix + "f", range: nil) } == "ok")
            #expect(await outcome { _ = try await world.gateway.putObject(run, prefix + "f", body: body("y"), contentType: nil, if: nil) } == "403")
        }
        for above in ["", "/", own.botRoot, "\(world.userId.rawValue)/", String(own.workspace(world.group).dropLast()), own.botRoot + "workspace/"] {
            #expect(await outcome { _ = try await world.gateway.listObjects(run, prefix: above, limit: 50, cursor: nil) } == "404", "\(above)")
        }
        #expect(try await world.denials().count > 40)
    }

    @Test(
        "SEC-34: keys that climb, are absolute or hold control bytes reach nothing",
        arguments: ["../x", "a/../../b", "/abs", "a\\..\\b", "a//b", "a/\u{0}", "a/./b"])
    func SEC_34_keys(_ suffix: String) async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let run = try await world.run(token)
        #expect(
            await outcome {
                _ = try await world.gateway.putObject(run, world.layout.workspace(world.group) + suffix, body: body("y"), contentType: nil, if: nil)
            } == "404")
    }

    @Test("SEC-118: bot memory and learnings are read-only where the grant says so") func SEC_118_memory() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start(memoryWritable: false)
        let run = try await world.run(token)
        try await world.objects.put(try ObjectKey(checking: world.layout.botMemory), Data("m".utf8))
        #expect(await outcome { _ = try await world.gateway.getObject(run, world.layout.botMemory, range: nil) } == "ok")
        #expect(
            await outcome { _ = try await world.gateway.putObject(run, world.layout.botMemory, body: body("y"), contentType: nil, if: nil) } == "403")
        #expect(
            await outcome { _ = try await world.gateway.putObject(run, world.layout.learnings + "a", body: body("y"), contentType: nil, if: nil) }
                == "403")
        #expect(
            await outcome {
                _ = try await world.gateway.putObject(run, world.layout.groupMemory(world.group), body: body("y"), contentType: nil, if: nil)
            } == "ok")
    }

    @Test("a body past the limit leaves the old object whole") func tooLarge() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let run = try await world.run(token)
        let key = world.layout.workspace(world.group) + "f"
        try await world.objects.put(try ObjectKey(checking: key), Data("old".utf8))
        let chunk = ByteBuffer(repeating: 1, count: 16 << 20)
        let endless = AsyncStream<ByteBuffer> { stream in
            for _ in 0..<7 { stream.yield(chunk) }
            stream.finish()
        }
        await #expect(throws: GatewayError.self) { _ = try await world.gateway.putObject(run, key, body: endless, contentType: nil, if: nil) }
        #expect(try await world.objects.bytes(try ObjectKey(checking: key), limit: 100) == Data("old".utf8))
    }
}
