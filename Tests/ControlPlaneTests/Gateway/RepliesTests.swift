import Foundation
import NIOCore
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Replies of an agent", .paced) struct RepliesTests {
    private func message(_ sequence: Int, _ text: String, id: String = ULID.make()) -> [String: Value] {
        ["sequence": .int(sequence), "messageId": .string(id), "kind": "message", "text": .string(text)]
    }
    private func error(_ body: () async throws -> Void) async -> GatewayError? {
        do { try await body() } catch { return error as? GatewayError }
        return nil
    }

    @Test("a reply goes to the grant's conversation with the context of the record") func plain() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        let body = message(0, "hello")
        #expect(try await world.reply(token, body).rawValue == body["messageId"]?.string)
        let queued = try await world.queued()
        #expect(queued.count == 1)
        #expect(queued.first?.session == world.session)
        #expect(queued.first?.replyContext == .object(["thread": "t1"]))
        #expect(queued.first?.invocationId == id)
        #expect(queued.first?.userId == world.userId)
    }

    @Test("the same sequence with the same body has the same answer, with another body it is refused, and none is left out") func sequences()
        async throws
    {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let first = message(0, "one")
        let answer = try await world.reply(token, first)
        #expect(try await world.reply(token, first) == answer)
        #expect(try await world.queued().count == 1)
        let mismatch = await error { _ = try await world.reply(token, message(0, "two")) }
        guard case .sequenceMismatch = mismatch else { Issue.record("\(String(describing: mismatch))"); return }
        let gap = await error { _ = try await world.reply(token, message(2, "three")) }
        guard case .invalid(let problems) = gap else { Issue.record("\(String(describing: gap))"); return }
        #expect(problems.first?.field == "sequence")
        _ = try await world.reply(token, message(1, "two"))
    }

    @Test("SEC-74: fields that name a tenant or conversation are refused and recorded", arguments: ["botId", "userId", "groupJid", "replyContext"])
    func SEC_74_identityFields(_ field: String) async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        var body = message(0, "x")
        body[field] = "other"
        let refusal = await error { [body] in _ = try await world.reply(token, body) }
        guard case .invalid(let problems) = refusal else { Issue.record("\(String(describing: refusal))"); return }
        #expect(problems.map(\.field) == [field])
        #expect(try await world.queued().isEmpty)
        #expect(try await world.denials().count == 1)
    }

    @Test("SEC-75: a file reply sends only files of this message's own folder") func SEC_75_files() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let id = ULID.make()
        let folder = world.layout.attachments(world.group, MessageID(id))
        let key = try ObjectKey(checking: folder + "a.txt")
        try await world.objects.put(key, Data("hi".utf8))
        func file(_ key: String) -> [String: Value] {
            [
                "sequence": 0, "messageId": .string(id), "kind": "file",
                "file": .object(["objectKey": .string(key), "fileName": "a.txt", "mimeType": "text/plain"]),
            ]
        }
        for foreign in [
            world.layout.attachments(GroupJID("web:other"), MessageID(id)) + "a.txt", world.layout.botMemory, folder + "missing.txt",
            "x/y/attachments/a.txt",
        ] {
            let refusal = await error { _ = try await world.reply(token, file(foreign)) }
            guard case .notFound = refusal else { Issue.record("\(foreign): \(String(describing: refusal))"); continue }
        }
        let climbing = await error { _ = try await world.reply(token, file(folder + "../../b")) }
        guard case .invalid = climbing else { Issue.record("\(String(describing: climbing))"); return }
        _ = try await world.reply(token, file(key.text))
        let queued = try await world.queued()
        #expect(queued.first?.file?.size == 2)
        #expect(queued.first?.type == .fileReply)
    }

    @Test("a final reply is kept in the record before it is queued, with the metered usage, and ends the run") func final() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        let run = try await world.run(token, .model)
        _ = try await world.gateway.model(run, .messages, body: world.request(), version: nil, beta: nil).text()
        let body: [String: Value] = [
            "sequence": 0, "messageId": .string(ULID.make()), "kind": "final", "text": "done", "newSessionId": "s-1", "numTurns": 2,
        ]
        let answer = try await world.reply(token, body)
        let stored = try #require(try await world.storedRun())
        #expect(stored.final?.text == "done")
        #expect(stored.final?.newSessionId == "s-1")
        #expect(stored.usage.inputTokens == 10 && stored.usage.outputTokens == 5)
        let queued = try await world.queued()
        guard case .run(id) = queued.first?.settles else { Issue.record("does not settle"); return }
        // The very same again is answered, also after the settlement; anything else is not.
        #expect(try await world.reply(token, body) == answer)
        try await world.change(Session.key(world.session), .remove("run"))
        #expect(try await world.reply(token, body) == answer)
        let late = await error { _ = try await world.reply(token, message(1, "more")) }
        guard case .unauthenticated = late else { Issue.record("\(String(describing: late))"); return }
    }

    @Test("a final reply kept before a restart is queued again when it is sent again") func finalAfterRestart() async throws {
        let world = try await GatewayWorld()
        let messageId = MessageID(ULID.make())
        let (token, _) = try await world.start { $0.run?.final = FinalReply(sequence: 1, messageId: messageId, text: "done") }
        let body: [String: Value] = ["sequence": 1, "messageId": .string(messageId.rawValue), "kind": "final", "text": "done"]
        #expect(try await world.reply(token, body) == messageId)
        #expect(try await world.queued().count == 1)
    }

    @Test("of two final replies at once one is accepted") func twoFinals() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let accepted = await withTaskGroup(of: Bool.self) { group in
            for text in ["a", "b"] {
                group.addTask {
                    (try? await world.reply(token, ["sequence": 0, "messageId": .string(ULID.make()), "kind": "final", "text": .string(text)])) != nil
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(accepted == 1)
        #expect(try await world.queued().count == 1)
    }

    @Test("SEC-113: an error reply says the fixed sentence and the reference, whatever the agent wrote") func SEC_113_errorText() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        _ = try await world.reply(
            token,
            [
                "sequence": 0, "messageId": .string(ULID.make()), "kind": "error", "errorCode": "provider-unavailable",
                "text": "/root/secret: Traceback",
            ])
        let text = try #require(try await world.queued().first?.text)
        #expect(text == "\(FailureCode.providerUnavailable.sentence) (reference \(id.rawValue))")
        #expect(try await world.storedRun()?.final?.errorCode == .providerUnavailable)
    }

    @Test("SEC-114: the only reply of a message is not blank") func SEC_114_blank() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let blank: [String: Value] = ["sequence": 0, "messageId": .string(ULID.make()), "kind": "final", "text": " "]
        let refusal = await error { _ = try await world.reply(token, blank) }
        guard case .invalid = refusal else { Issue.record("\(String(describing: refusal))"); return }
        _ = try await world.reply(token, message(0, "said"))
        _ = try await world.reply(token, ["sequence": 1, "messageId": .string(ULID.make()), "kind": "final", "text": ""])
    }

    @Test("the inbox shows what waits behind the run, and the final reply settles what it names of it") func inbox() async throws {
        let world = try await GatewayWorld()
        try await world.change(Bot.key(world.userId, world.botId), .set("duringRun", "steer"))
        let (token, _) = try await world.start()
        func put(_ id: String, _ state: Message.State, after: TimeInterval, group: GroupJID? = nil) async throws {
            try await world.records.put(
                Message(
                    botId: world.botId, groupJid: group ?? world.group, messageId: MessageID(id), timestamp: world.time.now() + after, sender: "u",
                    senderName: "U",
                    content: id, isBotMessage: false, channelType: .web, isGroup: false, state: state))
        }
        try await put("q1", .queued, after: 0)
        try await put("q3", .queued, after: 2)
        try await put("q2", .queued, after: 1)
        try await put("done", .answered, after: 3)
        try await put("elsewhere", .queued, after: 1, group: GroupJID("web:other"))
        let run = try await world.run(token, .reply)
        #expect(try await world.gateway.inbox(run).map(\.text) == ["q2", "q3"])
        _ = try await world.reply(
            token,
            [
                "sequence": 0, "messageId": .string(ULID.make()), "kind": "final", "text": "both", "alsoAnswers": .array(["q2", "elsewhere"]),
            ])
        #expect(try await world.storedRun()?.alsoAnswers.map(\.messageId) == [MessageID("q2")])
    }

    @Test("SEC-19 history searches this conversation only, without case, newest first, page by page") func history() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        for number in 0..<25 {
            for group in [world.group, GroupJID("web:other")] {
                try await world.records.put(
                    Message(
                        botId: world.botId, groupJid: group, messageId: MessageID("m\(number)"), timestamp: world.time.now() + Double(number),
                        sender: "u", senderName: "U",
                        content: number % 2 == 0 ? "Teal \(number)" : "red \(number)", isBotMessage: false, channelType: .web, isGroup: false,
                        state: .answered))
            }
        }
        let run = try await world.run(token, .history)
        var found: [String] = [], cursor: String?
        repeat {
            let page = try await world.gateway.history(run, query: "teal", before: nil, limit: 5, cursor: cursor)
            #expect(page.items.allSatisfy { $0.groupJid == world.group })
            found += page.items.map(\.content)
            cursor = page.cursor
        } while cursor != nil
        #expect(found == stride(from: 24, through: 0, by: -2).map { "Teal \($0)" })
        let early = try await world.gateway.history(run, query: nil, before: Timestamp.text(world.time.now() + 3), limit: 50, cursor: nil)
        #expect(early.items.count == 3)
    }

    @Test("live events carry the grant's conversation; a malformed line ends the request") func events() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        let run = try await world.run(token, .reply)
        let stream = await world.live.subscribe(bot: world.botId)
        let message = ULID.make()
        let lines = "{\"type\":\"beat\"}\n{\"type\":\"delta\",\"messageId\":\"\(message)\",\"index\":0,\"text\":\"he"
        let body = AsyncStream<ByteBuffer> { stream in
            stream.yield(ByteBuffer(string: lines))
            stream.yield(ByteBuffer(string: "llo\"}\n"))
            stream.finish()
        }
        try await world.gateway.events(run, body)
        var reader = stream.makeAsyncIterator()
        #expect(await reader.next() == .delta(groupJid: world.group, invocationId: id, messageId: MessageID(message), index: 0, text: "hello"))
        let bad = AsyncStream<ByteBuffer> {
            $0.yield(ByteBuffer(string: "{\"type\":\"delta\",\"groupJid\":\"x\"}\n")); $0.finish()
        }
        await #expect(throws: GatewayError.self) { try await world.gateway.events(run, bad) }
    }

    @Test("an open event stream ends when the run does") func eventsEnd() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        let run = try await world.run(token, .reply)
        let (body, continuation) = AsyncStream<ByteBuffer>.makeStream()
        continuation.yield(ByteBuffer(string: "{\"type\":\"beat\"}\n"))
        let reading = Task { try await world.gateway.events(run, body) }
        await world.gateway.end(id)
        await #expect(throws: GatewayError.self) { try await reading.value }
        continuation.finish()
    }
}
