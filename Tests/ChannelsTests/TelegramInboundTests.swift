import Foundation
import Pace
import Platform
import Testing

@testable import Channels

@Suite("Telegram, inbound", .paced)
struct TelegramInboundTests {
    let adapter = Fixture.adapter()

    private func request(_ body: String, headers: [String: [String]]? = nil, method: String = "POST") -> WebhookRequest {
        WebhookRequest(method: method, headers: headers ?? ["x-telegram-bot-api-secret-token": [Fixture.secret]], query: [:], body: Data(body.utf8))
    }
    private func events(_ update: String, config: [String: Value] = [:]) throws -> [InboundEvent] {
        let channel = Fixture.channel(config: config)
        return try adapter.parse(adapter.verify(request(update), for: channel, at: Fixture.now), for: channel).events
    }
    private func message(_ fields: String, chat: String = #"{"id":-100,"type":"supergroup","title":"Team"}"#, from: String = #"{"id":5,"is_bot":false,"first_name":"Ann","last_name":"Lee"}"#, config: [String: Value] = [:]) throws -> InboundMessage {
        let all = try events(#"{"update_id":1,"message":{"message_id":17,"date":1760000000,"chat":\#(chat),"from":\#(from),\#(fields)}}"#, config: config)
        guard case .message(let message)? = all.first, all.count == 1 else { throw Unexpected(events: "\(all)") }
        return message
    }
    struct Unexpected: Error { var events: String }

    @Test("SEC-21 SEC-22 only the exact secret is let in")
    func SEC_22_secret() throws {
        let channel = Fixture.channel()
        #expect(throws: Never.self) { try adapter.verify(request("{}"), for: channel, at: Fixture.now) }
        var wrong = [String]()
        for index in Fixture.secret.indices {
            var flipped = Fixture.secret
            flipped.replaceSubrange(index...index, with: flipped[index] == "x" ? "y" : "x")
            wrong.append(flipped)
        }
        wrong += ["", " " + Fixture.secret, Fixture.secret + "a", Fixture.secret.uppercased(), String(Fixture.secret.dropLast())]
        for secret in wrong {
            #expect(throws: WebhookRefusal.unverified) { try adapter.verify(request("{}", headers: ["x-telegram-bot-api-secret-token": [secret]]), for: channel, at: Fixture.now) }
        }
        #expect(throws: WebhookRefusal.unverified) { try adapter.verify(request("{}", headers: [:]), for: channel, at: Fixture.now) }
        #expect(throws: WebhookRefusal.unverified) { try adapter.verify(request("{}", method: "GET"), for: channel, at: Fixture.now) }
    }

    @Test("SEC-20 a missing or empty secret on our side fails closed")
    func SEC_20_missing() {
        for secret in [nil, ""] as [String?] {
            for given in ["", "x", Fixture.secret] {
                #expect(throws: WebhookRefusal.secretMissing) {
                    try adapter.verify(request("{}", headers: ["x-telegram-bot-api-secret-token": [given]]), for: Fixture.channel(secret: secret), at: Fixture.now)
                }
            }
        }
    }

    @Test("SEC-24 repeated secret headers and compressed bodies are refused")
    func SEC_24_headers() {
        let name = "x-telegram-bot-api-secret-token"
        #expect(throws: WebhookRefusal.unverified) { try adapter.verify(request("{}", headers: [name: [Fixture.secret, Fixture.secret]]), for: Fixture.channel(), at: Fixture.now) }
        #expect(throws: WebhookRefusal.unverified) { try adapter.verify(request("{}", headers: [name: [Fixture.secret], "content-encoding": ["gzip"]]), for: Fixture.channel(), at: Fixture.now) }
        #expect(throws: Never.self) { try adapter.verify(request("{}", headers: [name: [Fixture.secret], "content-encoding": ["identity"]]), for: Fixture.channel(), at: Fixture.now) }
    }

    @Test("what is not an update is malformed; an update of a strange shape is taken and ignored")
    func malformed() throws {
        for body in ["", "no json", "[]", "{}", #"{"update_id":"x"}"#, "{\"update_id\":1"] {
            #expect(throws: WebhookRefusal.malformed) { try events(body) }
        }
        for body in [#"{"update_id":1}"#, #"{"update_id":1,"message":{"message_id":"seventeen"}}"#, #"{"update_id":1,"poll":{}}"#] {
            guard case .ignored? = try events(body).first else { Issue.record("\(body) was not ignored"); continue }
        }
        let parsed = try adapter.parse(adapter.verify(request(#"{"update_id":1}"#), for: Fixture.channel(), at: Fixture.now), for: Fixture.channel())
        #expect(parsed.answer == WebhookAnswer(body: #"{"ok":true}"#))
    }

    @Test("a private message")
    func privateChat() throws {
        let inbound = try message(#""text":"hi there""#, chat: #"{"id":5,"type":"private","first_name":"Ann","last_name":"Lee"}"#)
        #expect(inbound.groupJid == "tg:5")
        #expect(inbound.messageId == "tg-17")
        #expect(inbound.chatName == "Ann Lee")
        #expect(inbound.senderId == "5")
        #expect(inbound.senderName == "Ann Lee")
        #expect(!inbound.isGroup)
        #expect(inbound.timestamp == Fixture.now)
        #expect(inbound.replyContext == .object(["messageId": 17]))
    }

    @Test("mentions are found by their UTF-16 place; the bot's own goes, others stay")
    func mentions() throws {
        let inbound = try message(#""text":"👍 @Claw_Bot ask @ann about it","entities":[{"type":"mention","offset":3,"length":9},{"type":"mention","offset":17,"length":4}]"#)
        #expect(inbound.mentionsBot)
        #expect(inbound.text == "👍 ask @ann about it")
        let named = try message(#""text":"Claw: hello","entities":[{"type":"text_mention","offset":0,"length":5,"user":{"id":123456789,"is_bot":true,"first_name":"Claw"}}]"#)
        #expect(named.mentionsBot)
        #expect(named.text == "hello")
        #expect(try !message(#""text":"mail x@claw_bot.com""#).mentionsBot)
        let wild = try message(#""text":"hi","entities":[{"type":"mention","offset":-1,"length":99},{"type":"mention","offset":9223372036854775807,"length":9223372036854775807}]"#)
        #expect(wild.text == "hi")
        let captioned = try message(#""caption":"@claw_bot look","caption_entities":[{"type":"mention","offset":0,"length":9}],"photo":[{"file_id":"s","width":1,"height":1},{"file_id":"L","width":90,"height":90,"file_size":7}]"#)
        #expect(captioned.mentionsBot)
        #expect(captioned.text == "look")
        #expect(captioned.attachments.first?.providerRef == "L")
    }

    @Test("commands: ours loses the name, another bot's is context")
    func commands() throws {
        let ours = try message(#""text":"/new@claw_bot now","entities":[{"type":"bot_command","offset":0,"length":13}]"#)
        #expect(ours.mentionsBot)
        #expect(ours.text == "/new now")
        let other = try message(#""text":"/new@other_bot","entities":[{"type":"bot_command","offset":0,"length":14}]"#)
        #expect(other.isForAnotherBot)
        #expect(!other.mentionsBot)
        #expect(try !message(#""text":"/help","entities":[{"type":"bot_command","offset":0,"length":5}]"#).mentionsBot)
    }

    @Test("replies and quotes")
    func replies() throws {
        let reply = try message(#""text":"why?","reply_to_message":{"message_id":3,"from":{"id":123456789,"is_bot":true,"first_name":"Claw"},"text":"\#(String(repeating: "q", count: 1500))"}"#)
        #expect(reply.repliesToBot)
        #expect(reply.quoted?.sender == "Claw")
        #expect(reply.quoted?.text.count == 1000)
        let partial = try message(#""text":"this","quote":{"text":"part"},"reply_to_message":{"message_id":3,"from":{"id":6,"first_name":"Bo"},"caption":"whole"}"#)
        #expect(!partial.repliesToBot)
        #expect(partial.quoted == Quote(sender: "Bo", text: "part"))
    }

    @Test("topics: the thread is kept, its root is no reply, and it may be a session of its own")
    func topics() throws {
        let fields = #""text":"x","message_thread_id":9,"is_topic_message":true,"reply_to_message":{"message_id":9,"from":{"id":123456789,"is_bot":true},"forum_topic_created":{"name":"T"}}"#
        let inbound = try message(fields)
        #expect(inbound.groupJid == "tg:-100")
        #expect(inbound.replyContext == .object(["messageId": 17, "threadId": 9]))
        #expect(!inbound.repliesToBot)
        #expect(inbound.quoted == nil)
        #expect(try message(fields, config: ["sessionPerThread": true]).groupJid == "tg:-100:9")
        #expect(try message(#""text":"x","message_thread_id":9"#).replyContext == .object(["messageId": 17]))
    }

    @Test("SEC-119 senders: anonymous admins are people, other bots and automatic forwards are context")
    func senders() throws {
        let admin = try message(#""text":"x","sender_chat":{"id":-100,"type":"supergroup","title":"Team"}"#, from: #"{"id":1087968824,"is_bot":true,"first_name":"Group"}"#)
        #expect(!admin.isFromBot)
        #expect(admin.senderId == "-100")
        #expect(admin.senderName == "Team")
        #expect(try message(#""text":"x""#, from: #"{"id":9,"is_bot":true,"first_name":"B"}"#).isFromBot)
        #expect(try message(#""text":"x","is_automatic_forward":true,"sender_chat":{"id":-200,"type":"channel","title":"News"}"#, from: #"{"id":777000,"is_bot":false,"first_name":"Telegram"}"#).isFromBot)
        #expect(try message(#""text":"x""#, from: #"{"id":123456789,"is_bot":true,"first_name":"Claw"}"#).isFromSelf)
    }

    @Test(
        "every kind of file is an attachment",
        arguments: [
            (#""document":{"file_id":"f","file_name":"../a.pdf","mime_type":"application/pdf","file_size":12}"#, Platform.Attachment.Kind.document, "a.pdf", "application/pdf"),
            (#""document":{"file_id":"f","file_name":"a.png","mime_type":"image/png"}"#, .image, "a.png", "image/png"),
            (#""voice":{"file_id":"f","duration":3,"mime_type":"audio/ogg"}"#, .audio, "voice.ogg", "audio/ogg"),
            (#""audio":{"file_id":"f","title":"Song"}"#, .audio, "Song.mp3", "audio/mpeg"), (#""video":{"file_id":"f"}"#, .video, "video.mp4", "video/mp4"),
            (#""video_note":{"file_id":"f"}"#, .video, "video-note.mp4", "video/mp4"),
            (#""animation":{"file_id":"f"},"document":{"file_id":"g"}"#, .video, "animation.mp4", "video/mp4"), (#""sticker":{"file_id":"f","emoji":"😀"}"#, .image, "sticker.webp", "image/webp"),
        ])
    func attachments(fields: String, kind: Platform.Attachment.Kind, name: String, type: String) throws {
        let inbound = try message(fields)
        #expect(inbound.attachments.count == 1)
        let file = try #require(inbound.attachments.first)
        #expect(file.type == kind)
        #expect(file.fileName == name)
        #expect(file.mimeType == type)
        #expect(file.providerRef == "f")
    }

    @Test(
        "what has no text becomes one bracketed line",
        arguments: [
            (#""location":{"latitude":52.5,"longitude":13.4}"#, "[location: 52.5, 13.4]"),
            (#""venue":{"location":{"latitude":1,"longitude":2},"title":"Bar","address":"Street 1"},"location":{"latitude":1,"longitude":2}"#, "[venue: Bar, Street 1 (1.0, 2.0)]"),
            (#""contact":{"phone_number":"+49","first_name":"Bo\n]x"}"#, "[contact: Bo ]x, +49]"),
            (#""poll":{"question":"Q?","options":[{"text":"a"},{"text":"b"}]}"#, "[poll: Q? — a / b]"), (#""dice":{"emoji":"🎲","value":4}"#, "[dice: 🎲 4]"),
            (#""sticker":{"file_id":"f","is_animated":true,"emoji":"😀"}"#, "[sticker: 😀]"),
        ])
    func forms(fields: String, line: String) throws { #expect(try message(fields).text == line) }

    @Test("albums carry their id; edits, memberships, migration, channel posts and service messages are what they are")
    func others() throws {
        #expect(try message(#""photo":[{"file_id":"a"}],"media_group_id":"g1""#).albumId == "g1")
        let chat = #""chat":{"id":-5,"type":"group","title":"T"}"#
        guard case .edited(let jid, let id, let text)? = try events(#"{"update_id":1,"edited_message":{"message_id":17,"date":1,\#(chat),"from":{"id":1},"text":"new"}}"#).first else {
            Issue.record("no edit")
            return
        }
        #expect((jid, id, text) == ("tg:-5", "tg-17", "new"))
        func membership(_ update: String) throws -> InboundEvent.Membership? {
            guard case .membership(_, let what)? = try events(update).first else { return nil }
            return what
        }
        #expect(try membership(#"{"update_id":1,"my_chat_member":{\#(chat),"new_chat_member":{"status":"kicked"}}}"#) == .left)
        #expect(try membership(#"{"update_id":1,"my_chat_member":{\#(chat),"new_chat_member":{"status":"administrator"}}}"#) == .joined)
        #expect(try membership(#"{"update_id":1,"my_chat_member":{"chat":{"id":5,"type":"private"},"new_chat_member":{"status":"kicked"}}}"#) == .blocked)
        #expect(try membership(#"{"update_id":1,"message":{"message_id":1,"date":1,\#(chat),"migrate_to_chat_id":-1005}}"#) == .migrated(to: "tg:-1005"))
        #expect(try membership(#"{"update_id":1,"message":{"message_id":1,"date":1,"chat":{"id":-1005,"type":"supergroup"},"migrate_from_chat_id":-5}}"#) == .migrated(to: "tg:-1005"))
        for update in [
            #"{"update_id":1,"message":{"message_id":1,"date":1,"chat":{"id":-9,"type":"channel"},"text":"x"}}"#,
            #"{"update_id":1,"message":{"message_id":1,"date":1,\#(chat),"from":{"id":1},"new_chat_title":"x"}}"#,
        ] {
            guard case .ignored? = try events(update).first else { Issue.record("not ignored: \(update)"); continue }
        }
    }

    @Test("SEC-39 file paths that leave the bot's folder are not followed")
    func SEC_39_paths() {
        for path in ["/etc/passwd", "../x", "a/../b", "a//b", "https://evil/x", "a\\b", "", "a/./b", "a b", "x\u{0}"] { #expect(!TelegramClient.isSafe(path: path)) }
        for path in ["documents/file_1.pdf", "photos/file_22.jpg"] { #expect(TelegramClient.isSafe(path: path)) }
    }
}
