import AsyncHTTPClient
import Foundation
import Pace
import Platform
import Synchronization
import Testing

@testable import Channels

@Suite("Telegram against the fake Bot API", .paced, .enabled(if: FakeTelegram.python != nil, "\(FakeTelegram.skipReason)"))
struct TelegramAdapterTests {
    private func draft(_ config: [String: Value] = [:], token: String = Fixture.token, base: String = "https://bot.example") -> ChannelDraft {
        ChannelDraft(botId: "bot1", credentials: ["botToken": Secret(token)], config: config, publicBaseURL: URL(string: base) ?? URL(filePath: "/"))
    }

    @Test("connecting learns the bot, makes a new secret each time and chooses webhook or polling by the base URL")
    func connect() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            let account = try await adapter.connect(draft())
            #expect(account.accountId == "123456789")
            #expect(account.accountName == "claw_bot")
            #expect(account.mode == .webhook)
            #expect(account.status == .connected)
            let secret = try #require(account.credentials["webhookSecret"]).reveal()
            #expect(secret.count == 43)
            #expect(try await adapter.connect(draft()).credentials["webhookSecret"]?.reveal() != secret)
            #expect(try await adapter.connect(draft(base: "http://127.0.0.1:8787")).mode == .polling)
            #expect(try await adapter.connect(draft(base: "https://bot.example:9000")).mode == .polling)
            #expect(try await adapter.connect(draft(base: "https://bot.example:8443")).mode == .webhook)
            #expect(try await adapter.connect(draft(["connectionMode": "polling"])).mode == .polling)
            #expect(account.config["storeContext"] == true)
            #expect(account.setupInstructions.contains { $0.contains("t.me/claw_bot") })
        }
    }

    @Test("a refused, malformed or foreign setup names its field or says what Telegram said")
    func refusals() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            func problem(_ draft: ChannelDraft) async -> String {
                do {
                    _ = try await adapter.connect(draft)
                    return "none"
                } catch let error as ChannelSetupError {
                    switch error {
                    case .invalid(let field, _): return field
                    case .rejected: return "rejected"
                    case .unsupported: return "unsupported"
                    case .unreachable: return "unreachable"
                    }
                } catch { return "\(error)" }
            }
            #expect(await problem(draft(token: "nonsense")) == "credentials.botToken")
            #expect(await problem(draft(token: "111111111:AAFakeFakeFakeFakeFakeFakeFakeFakeFak")) == "rejected")
            #expect(await problem(draft(["connectionMode": "pigeon"])) == "config.connectionMode")
            #expect(await problem(draft(["colour": "red"])) == "config.colour")
            #expect(await problem(draft(["connectionMode": "webhook"], base: "http://x")) == "unsupported")
            var extra = draft()
            extra.credentials["webhookSecret"] = Secret("mine")
            #expect(await problem(extra) == "credentials.webhookSecret")
            try await fake.rule(["method": "getMe", "drop": "before"])
            #expect(await problem(draft()) == "unreachable")
            #expect(await { () async -> Bool in do { _ = try await Fixture.adapter().connect(draft()); return false } catch ChannelSetupError.unreachable { return true } catch { return false } }())
        }
    }

    @Test("registering sets webhook and commands, checking repairs a foreign webhook, disconnecting removes all")
    func registration() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            try await adapter.register(Fixture.channel())
            var bot = try await fake.bot()
            #expect(bot["webhook"] == "https://bot.example/webhook/telegram/bot1")
            #expect(bot["secret"] == .string(Fixture.secret))
            #expect(bot["allowed_updates"] == .array(["message", "edited_message", "my_chat_member"]))
            #expect(bot["commands"]?.object?.count == 2)
            _ = try await adapter.client.call("setWebhook", ["url": "https://thief.example/x"], token: Secret(Fixture.token), returning: Bool.self)
            let check = await adapter.check(Fixture.channel())
            #expect(check.result == .healthy)
            #expect(check.detail?.contains("registered again") == true)
            bot = try await fake.bot()
            #expect(bot["webhook"] == "https://bot.example/webhook/telegram/bot1")
            await adapter.disconnect(Fixture.channel())
            bot = try await fake.bot()
            #expect(bot["webhook"] == "")
            #expect(bot["commands"]?.object?.isEmpty == true)
            try await fake.control("POST", "bots", ["token": .string(Fixture.token), "username": "claw_bot", "revoked": true])
            #expect(await adapter.check(Fixture.channel()).result == .refused)
            try await fake.control("POST", "bots", ["token": .string(Fixture.token), "username": "claw_bot"])
            try await fake.rule(["method": "getMe", "status": 502])
            #expect(await adapter.check(Fixture.channel()).result == .unknown)
        }
    }

    @Test("rendered Markdown is accepted and shown; groups quote the question, topics are kept")
    func sending() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            try await fake.say("q")
            try await fake.say("q", chat: -1007, more: ["message_thread_id": 3, "is_topic_message": true])
            let markdown = "# Title\n\n**bold** & <i> [x](https://e.x)\n\n```swift\nlet a = 1 < 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |"
            for chunk in adapter.render(markdown, for: Fixture.group) { #expect(try await adapter.send(chunk, to: Fixture.target(), key: "k") == "2") }
            let context = Value.object(["messageId": 1, "threadId": 3])
            let chunk = Chunk(text: "<b>hi</b>", plain: "hi")
            _ = try await adapter.send(chunk, to: Fixture.target("tg:-1007", isGroup: true, context: context), key: "k")
            _ = try await adapter.send(chunk.unformatted, to: Fixture.target("tg:-1007:3", isGroup: true, context: .object(["messageId": 1]), first: false), key: "k")
            let sent = try await fake.sent()
            #expect(sent[0]["text"]?.string?.hasPrefix("Title\n\nbold & <i> x\n\nlet a = 1 < 2") == true)
            #expect(sent[0]["params"]?["link_preview_options"]?["is_disabled"] == true)
            #expect(sent[0]["reply_to"] == .null)
            #expect(sent[1]["reply_to"] == 1)
            #expect(sent[1]["message_thread_id"] == 3)
            #expect(sent[1]["entities"]?.array?.count == 1)
            #expect(sent[2]["reply_to"] == .null)
            #expect(sent[2]["message_thread_id"] == 3)
            #expect(sent[2]["params"]?["parse_mode"] == nil)
        }
    }

    @Test("a topic that is gone is answered outside of it")
    func vanishedTopic() async throws {
        try await FakeTelegram.use { fake in
            try await fake.say("q", chat: -1007)
            let target = Fixture.target("tg:-1007", isGroup: true, context: .object(["messageId": 1, "threadId": 99]))
            _ = try await Fixture.adapter(api: fake.url).send(Chunk(text: "a", plain: "a"), to: target, key: "k")
            #expect(try await fake.sent().count == 1)
        }
    }

    @Test("random Markdown is accepted by the fake's own HTML reader")
    func accepted() async throws {
        try await FakeTelegram.use { fake in
            var limits = TelegramAdapter.Limits()
            limits.chatBurst = 10_000
            limits.botBurst = 10_000
            let adapter = Fixture.adapter(api: fake.url, limits: limits)
            try await fake.say("q")
            var count = 0
            for seed in 100..<112 {
                var random = SeededGenerator(seed: UInt64(seed))
                for chunk in adapter.render(MarkdownGenerator.document(&random, blocks: 12), for: Fixture.group) {
                    _ = try await adapter.send(chunk, to: Fixture.target(), key: "k")
                    count += 1
                }
            }
            #expect(try await fake.sent().count == count)
        }
    }

    @Test("every refusal of Telegram is the failure that the design says")
    func failures() async throws {
        try await FakeTelegram.use { fake in
            var limits = TelegramAdapter.Limits()
            limits.chatBurst = 100
            let adapter = Fixture.adapter(api: fake.url, limits: limits)
            func failure(_ rule: Document? = nil, chunk: Chunk = Chunk(text: "x", plain: "x"), chat: String = "tg:77") async throws -> SendFailure? {
                if let rule { try await fake.rule(rule.merging(["method": "sendMessage"]) { $1 }) }
                do throws(SendFailure) {
                    _ = try await adapter.send(chunk, to: Fixture.target(chat), key: "k")
                    return nil
                } catch { return error }
            }
            try await fake.say("q")
            #expect(try await failure(chunk: Chunk(text: "<b>x", plain: "x")) == .badFormat)
            #expect(try await failure(chunk: Chunk(text: "<x>y</x>", plain: "x")) == .badFormat)
            #expect(try await failure(chunk: Chunk(text: String(repeating: "a", count: 4097), plain: "")) == .tooLong)
            if case .conversationGone? = try await failure(chat: "tg:4711") {} else { Issue.record("chat not found") }
            if case .rejected? = try await failure(chat: "web:main") {} else { Issue.record("not a Telegram chat") }
            if case .rejected(let reason)? = try await failure(["status": 400, "description": "Bad Request: BUTTON_DATA_INVALID"]) { #expect(reason.contains("BUTTON_DATA_INVALID")) } else { Issue.record("other 400") }
            for words in ["Bad Request: not enough rights to send text messages to the chat", "Bad Request: CHAT_WRITE_FORBIDDEN", "Bad Request: TOPIC_CLOSED"] {
                if case .conversationGone? = try await failure(["status": 400, "description": .string(words)]) {} else { Issue.record("\(words)") }
            }
            for words in ["bot was blocked by the user", "bot was kicked from the group chat", "user is deactivated", "bot is not a member of the channel chat", "bot can't initiate conversation with a user"] {
                if case .conversationGone? = try await failure(["status": 403, "description": .string("Forbidden: " + words)]) {} else { Issue.record("\(words)") }
            }
            #expect(try await failure(["status": 400, "description": "Bad Request: message to be replied not found"]) == .replyTargetGone)
            #expect(try await failure(["status": 400, "description": "Bad Request: group chat was upgraded to a supergroup chat", "migrate_to": -1009]) == .moved(to: "tg:-1009"))
            #expect(try await failure(["status": 400, "description": "Bad Request: message is not modified"]) == nil)
            for status in [401, 404] { if case .channelBroken? = try await failure(["status": .int(status)]) {} else { Issue.record("\(status)") } }
            for status in [409, 500, 502] { #expect(try await failure(["status": .int(status)]) == .retry(after: nil, maybeDelivered: false)) }
            #expect(try await failure(["drop": "after"]) == .retry(after: nil, maybeDelivered: true))
            #expect(try await failure(["status": 429, "retry_after": .double(2.5)]) == .retry(after: .milliseconds(2500), maybeDelivered: false))
            do throws(SendFailure) { _ = try await Fixture.adapter().send(Chunk(text: "x", plain: "x"), to: Fixture.target(), key: "k") } catch {
                #expect(error == .retry(after: nil, maybeDelivered: false))
            }
        }
    }

    @Test("files: images as photos, the rest and refused photos as documents, long captions as text")
    func files() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            try await fake.say("q")
            let png = try #require(Data(base64Encoded: "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="))
            _ = try await adapter.sendFile(OutboundFile(name: "a.png", mimeType: "image/png", caption: "**cap** <x>", content: png), to: Fixture.target(), key: "k")
            _ = try await adapter.sendFile(OutboundFile(name: "ü \"q\".txt", mimeType: "text/plain", caption: nil, content: Data("hello".utf8)), to: Fixture.target(), key: "k")
            try await fake.rule(["method": "sendPhoto", "status": 400, "description": "Bad Request: PHOTO_INVALID_DIMENSIONS"])
            _ = try await adapter.sendFile(OutboundFile(name: "b.png", mimeType: "image/png", caption: String(repeating: "word ", count: 300), content: png), to: Fixture.target(), key: "k")
            let reply = Chunk(text: "reply.md", plain: "reply.md", file: .init(name: "reply.md", content: Data("# all".utf8)))
            _ = try await adapter.send(reply, to: Fixture.target(), key: "k")
            let sent = try await fake.sent()
            #expect(sent.map { $0["method"]?.string } == ["sendPhoto", "sendDocument", "sendDocument", "sendMessage", "sendDocument"])
            #expect(sent[0]["caption"] == "cap <x>")
            #expect(sent[1]["file"]?["name"] == "ü _q_.txt")
            #expect(sent[1]["file"]?["size"] == 5)
            #expect(sent[2]["caption"] == .null || sent[2]["caption"] == nil)
            #expect(sent[3]["text"]?.string?.count == 1499)
            #expect(sent[4]["file"]?["name"] == "reply.md")
            do throws(SendFailure) {
                _ = try await adapter.sendFile(OutboundFile(name: "e", mimeType: "text/plain", caption: nil, content: Data()), to: Fixture.target(), key: "k")
                Issue.record("an empty file was sent")
            } catch { if case .rejected = error {} else { Issue.record("\(error)") } }
        }
    }

    @Test("attachments are fetched within the limit, from the file host only")
    func fetching() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            func store(_ fields: Document) async throws -> Platform.Attachment {
                let stored = try await fake.control("POST", "file", fields.merging(["token": .string(Fixture.token)]) { $1 })
                return Platform.Attachment(index: 0, type: .document, fileName: "a.txt", mimeType: "text/html", size: nil, providerRef: stored["file_id"]?.string)
            }
            func failure(_ file: Platform.Attachment, limit: Int = 1000) async -> AttachmentFailure? {
                do { _ = try await adapter.fetch(file, for: Fixture.channel(), limit: limit) } catch { return error as? AttachmentFailure }
                return nil
            }
            let content = Data("from a person".utf8)
            let small = try await store(["content": .string(content.base64EncodedString())])
            let fetched = try await adapter.fetch(small, for: Fixture.channel(), limit: 1000)
            #expect(fetched.content == content)
            #expect(fetched.mimeType == "text/plain")
            #expect(await failure(small, limit: 5) == .tooLarge(limit: 5))
            // The vendor's word about the size is not believed: the bytes are counted.
            let lying = try await store(["content": .string(Data(count: 2000).base64EncodedString()), "size": 10])
            #expect(await failure(lying) == .tooLarge(limit: 1000))
            let huge = try await store(["content": "AAAA", "size": 30_000_000])
            #expect(await failure(huge, limit: 40_000_000) == .tooLarge(limit: 20 << 20))
            for path in ["/etc/passwd", "../../x", "http://169.254.169.254/latest"] {
                if case .refused? = await failure(try await store(["content": "AAAA", "path": .string(path)])) {} else { Issue.record("\(path) was followed") }
            }
            if case .gone? = await failure(Platform.Attachment(index: 0, type: .document, fileName: "x", mimeType: "", size: nil, providerRef: "nothing")) {} else { Issue.record("unknown id") }
        }
    }

    @Test("typing and reactions reach Telegram, and their failures nobody")
    func activity() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            try await fake.say("q")
            let target = Fixture.target(context: .object(["messageId": 1]))
            for activity in [Activity.typing, .uploading, .received, .finished] { await adapter.setActivity(activity, target: target) }
            try await fake.control("POST", "chat", ["chat_id": 77, "reactions": false])
            await adapter.setActivity(.received, target: target)
            await Fixture.adapter().setActivity(.typing, target: target)
            #expect(try await fake.calls("sendChatAction").map { $0["params"]?["action"]?.string } == ["typing", "upload_document"])
            #expect(try await fake.calls("setMessageReaction").map { $0["params"]?["reaction"]?.array?.count } == [1, 0, 1])
        }
    }

    @Test("SEC-42 a redirect is not followed, neither with a message nor for a file")
    func SEC_42_redirects() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            try await fake.say("q")
            let elsewhere = Value.string("\(fake.url)/bot\(Fixture.token)/sendChatAction")
            try await fake.rule(["method": "sendMessage", "redirect": elsewhere])
            do throws(SendFailure) {
                _ = try await adapter.send(Chunk(text: "x", plain: "x"), to: Fixture.target(), key: "k")
                Issue.record("followed")
            } catch { if case .channelBroken = error {} else { Issue.record("\(error)") } }
            #expect(try await fake.calls("sendChatAction").isEmpty)
        }
    }

    @Test("the token shows in no error")
    func discretion() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            let file = Platform.Attachment(index: 0, type: .document, fileName: "x", mimeType: "", size: nil, providerRef: "f")
            for rule in [["drop": "before"], ["status": 500], ["status": 400, "description": "Bad Request: odd"], ["status": 401]] as [Document] {
                try await fake.rule(rule.merging(["times": 3]) { $1 })
                var told = [String]()
                do { _ = try await adapter.send(Chunk(text: "x", plain: "x"), to: Fixture.target(), key: "k") } catch { told.append(String(reflecting: error)) }
                do { _ = try await adapter.connect(draft()) } catch { told.append(String(reflecting: error)) }
                do { _ = try await adapter.fetch(file, for: Fixture.channel(), limit: 10) } catch { told.append(String(reflecting: error)) }
                #expect(told.count == 3)
                #expect(!told.joined().contains("AAFake"))
                try await fake.control("DELETE", "rules")
            }
            #expect(!String(reflecting: Fixture.channel()).contains("AAFake"))
        }
    }

    // MARK: polling

    /// Runs the poll loop beside a test.
    private func polling(_ adapter: TelegramAdapter, _ sink: RecordingSink, state: Value? = nil, _ body: () async throws -> Void) async throws {
        let states = SavedStates()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do { try await adapter.run(Fixture.channel(mode: .polling), state: state, saveState: { states.add($0) }, into: sink) } catch is CancellationError {}
            }
            try await body()
            group.cancelAll()
        }
    }
    final class SavedStates: Sendable {
        private let all = Mutex<[Value]>([])
        func add(_ value: Value) { all.withLock { $0.append(value) } }
        var last: Value? { all.withLock { $0.last } }
    }

    @Test("polling takes messages in order as they come, removes a leftover webhook, and stops when cancelled")
    func polls() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            try await adapter.setWebhook(Fixture.channel())
            let sink = RecordingSink()
            try await polling(adapter, sink) {
                try await fake.say("one")
                #expect(await eventually { sink.texts == ["one"] })
                for number in 0..<30 { try await fake.say("m\(number)", chat: 77 + number % 3) }
                #expect(await eventually { sink.texts.count == 31 })
                #expect(sink.texts == ["one"] + (0..<30).map { "m\($0)" })
                #expect(try await eventually { try await fake.bot()["pending"] == 0 })
            }
            #expect(try await fake.bot()["webhook"] == "")
        }
    }

    @Test("SEC-28 a batch that could not be stored is not acknowledged and comes again")
    func SEC_28_storeFirst() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            let sink = RecordingSink()
            sink.failNext(2)
            for text in ["a", "b"] { try await fake.say(text) }
            try await polling(adapter, sink) {
                #expect(await eventually { sink.refused == 2 && sink.texts.count >= 2 })
                #expect(sink.texts.suffix(2) == ["a", "b"])
                let offsets = try await fake.calls("getUpdates").map { $0["params"]?["offset"]?.int }
                #expect(offsets.prefix(3) == [nil, nil, nil])
            }
        }
    }

    @Test("polling goes on from the saved offset and an unreadable update does not block the others")
    func resumes() async throws {
        try await FakeTelegram.use { fake in
            let adapter = Fixture.adapter(api: fake.url)
            let sink = RecordingSink()
            for text in ["old", "new"] { try await fake.say(text) }
            try await fake.control("POST", "update", ["token": .string(Fixture.token), "update": .object(["message": .object(["message_id": "strange", "chat": .object(["id": 77])])])])
            try await fake.say("newer")
            try await polling(adapter, sink, state: .object(["offset": 2])) {
                #expect(await eventually { sink.texts == ["new", "newer"] })
            }
        }
    }

    @Test("a second poller of the same token is reported after three conflicts; a revoked token at once")
    func conflicts() async throws {
        try await FakeTelegram.use { fake in
            let time = ManualTime()
            let adapter = Fixture.adapter(api: fake.url, time: time)
            try await fake.rule(["method": "getUpdates", "status": 409, "times": 3])
            let running = Task { try await adapter.run(Fixture.channel(mode: .polling), state: nil, saveState: { _ in }, into: RecordingSink()) }
            for _ in 0..<2 {
                #expect(await eventually { time.sleepers == 1 })
                time.advance(by: .seconds(30))
            }
            await #expect { try await running.value } throws: { ($0 as? ChannelRunError)?.sentence.contains("same token") == true }
            try await fake.control("POST", "bots", ["token": .string(Fixture.token), "username": "claw_bot", "revoked": true])
            await #expect { try await adapter.run(Fixture.channel(mode: .polling), state: nil, saveState: { _ in }, into: RecordingSink()) } throws: { ($0 as? ChannelRunError)?.sentence.contains("token") == true }
        }
    }

    @Test("a lost connection is tried again")
    func reconnects() async throws {
        try await FakeTelegram.use { fake in
            let sink = RecordingSink()
            try await fake.rule(["method": "getUpdates", "drop": "before", "times": 2])
            try await fake.say("still here")
            try await polling(Fixture.adapter(api: fake.url), sink) { #expect(await eventually { sink.texts == ["still here"] }) }
        }
    }
}

@Suite("Telegram's pace", .paced)
struct SendPaceTests {
    @Test("a burst passes, then one per interval; a long wait is handed back")
    func buckets() async throws {
        let time = ManualTime()
        let pace = SendPace(time: time)
        let rule = [(key: "chat", rule: PaceRule(interval: 1, burst: 3))]
        for _ in 0..<3 { #expect(try await pace.wait(rule, patience: .seconds(5)) == nil) }
        let waiting = Task { try await pace.wait(rule, patience: .seconds(5)) }
        #expect(await eventually { time.sleepers == 1 })
        time.advance(by: .seconds(1))
        #expect(try await waiting.value == nil)
        #expect(try await pace.wait(rule, patience: .milliseconds(500)) == .seconds(1))
        time.advance(by: .seconds(60))
        for _ in 0..<3 { #expect(try await pace.wait(rule, patience: .zero) == nil) }
        pace.block("chat", rule: rule[0].rule, for: .seconds(30))
        let told = try #require(try await pace.wait(rule, patience: .seconds(5)))
        #expect(abs(told.seconds - 30) < 0.001)
        time.advance(by: .seconds(30))
        #expect(try await pace.wait(rule, patience: .zero) == nil)
    }

    @Test("a group's twenty per minute are kept beside its one per second")
    func groups() async throws {
        let time = ManualTime()
        let pace = SendPace(time: time)
        let rules = [(key: "g", rule: PaceRule(interval: 1, burst: 5)), (key: "g/minute", rule: PaceRule(interval: 3, burst: 20))]
        var sent = 0
        for _ in 0..<60 {
            while try await pace.wait(rules, patience: .zero) == nil { sent += 1 }
            time.advance(by: .seconds(1))
        }
        #expect((35...40).contains(sent))
    }
}

@Suite("Web chat", .paced)
struct WebChatTests {
    @Test("connects without credentials, is always healthy, and passes text on unchanged")
    func web() async throws {
        let adapter = WebChatAdapter()
        let base = URL(filePath: "/")
        let account = try await adapter.connect(ChannelDraft(botId: "b", credentials: [:], config: [:], publicBaseURL: base))
        #expect(account.mode == .builtin)
        #expect(account.status == .connected)
        await #expect(throws: ChannelSetupError.self) { try await adapter.connect(ChannelDraft(botId: "b", credentials: ["x": Secret("y")], config: [:], publicBaseURL: base)) }
        #expect(await adapter.check(Fixture.channel()).result == .healthy)
        let text = "# T\n\n@everyone <b>" + String(repeating: "x", count: 50_000)
        #expect(adapter.render(text, for: Fixture.group) == [Chunk(text: text, plain: text)])
        #expect(try await adapter.send(Chunk(text: "a", plain: "a"), to: Fixture.target("web:main"), key: "key-1") == "key-1")
        #expect(throws: WebhookRefusal.self) { try adapter.verify(WebhookRequest(method: "POST", headers: [:], query: [:], body: Data()), for: Fixture.channel(), at: Fixture.now) }
        let running = Task { try await adapter.run(Fixture.channel(), state: nil, saveState: { _ in }, into: RecordingSink()) }
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
    }
}
