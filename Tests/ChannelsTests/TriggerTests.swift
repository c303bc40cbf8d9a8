import Foundation
import Pace
import Platform
import Testing

@testable import Channels

@Suite("What starts a run", .paced)
struct TriggerTests {
    private func message(_ text: String = "hi", isGroup: Bool = true, _ change: (inout InboundMessage) -> Void = { _ in }) -> InboundMessage {
        var message = InboundMessage(
            messageId: "tg-1", groupJid: "tg:-1", chatName: "G", senderId: "5", senderName: "Ann", text: text, isGroup: isGroup, timestamp: Fixture.now)
        change(&message)
        return message
    }
    private let pattern = TriggerPattern("@Claw")

    @Test("the first rule that matches decides")
    func rules() {
        func decide(_ message: InboundMessage, requiresTrigger: Bool = true) -> TriggerDecision { decideTrigger(message, pattern: pattern, requiresTrigger: requiresTrigger) }
        #expect(decide(message { $0.isFromSelf = true; $0.isFromBot = true; $0.mentionsBot = true }) == .ignore)
        #expect(decide(message { $0.isFromBot = true; $0.mentionsBot = true }) == .context)
        #expect(decide(message { $0.isForAnotherBot = true; $0.repliesToBot = true }, requiresTrigger: false) == .context)
        #expect(decide(message(isGroup: false)) == .run(.privateChat))
        #expect(decide(message { $0.mentionsBot = true; $0.repliesToBot = true }) == .run(.mention))
        #expect(decide(message { $0.repliesToBot = true }) == .run(.reply))
        #expect(decide(message("hey @claw, you there?")) == .run(.pattern))
        #expect(decide(message("hey")) == .context)
        #expect(decide(message("hey"), requiresTrigger: false) == .run(.everyMessage))
    }

    @Test("from the records: a group seen for the first time requires a trigger")
    func records() {
        var bot = Bot(botId: "b", userId: "u", name: "Claw", at: Fixture.now)
        #expect(decideTrigger(message("@claw hi"), bot: bot, group: nil) == .run(.pattern))
        #expect(decideTrigger(message("hi"), bot: bot, group: nil) == .context)
        bot.triggerPattern = ""
        #expect(decideTrigger(message("hi"), bot: bot, group: nil) == .context)
        var group = Group(botId: "b", groupJid: "tg:-1", userId: "u", name: "G", channelType: .telegram, isGroup: true, at: Fixture.now)
        group.requiresTrigger = false
        #expect(decideTrigger(message("hi"), bot: bot, group: group) == .run(.everyMessage))
    }

    @Test(
        "a trigger matches as a literal at word boundaries, without regard to case",
        arguments: [
            ("bot", "hey BOT!", true), ("bot", "robot", false), ("bot", "bots", false), ("bot", "bot_1", true), ("bot", "bot1", false), ("bot", "a-bot.", true),
            ("@Claw", "(@claw)", true), ("@Claw", "x@claw", false), ("小爪", "你好小爪你好", true), ("bot", "你好bot你好", true), ("hello there", "Hello  there", false),
            ("straße", "die STRASSE", true), ("STRASSE", "die straße hier", true), ("ΟΔΟΣ", "οδος", true), ("café", "cafe\u{301} now", true), ("cafe", "cafe\u{301}", false),
            ("봇", "로봇", false), ("ss", "ß", true), ("s", "ß", false), ("bot", "bot\u{200d}", true),
        ])
    func literals(trigger: String, text: String, matches: Bool) throws { #expect(try #require(TriggerPattern(trigger)).matches(text) == matches) }

    @Test("a trigger has 1 to 100 characters")
    func bounds() {
        #expect(TriggerPattern("  ") == nil)
        #expect(TriggerPattern(String(repeating: "a", count: 100)) != nil)
        #expect(TriggerPattern(String(repeating: "a", count: 101)) == nil)
    }

    @Test("only the first 4,096 characters are searched")
    func window() throws {
        let pattern = try #require(TriggerPattern("bot"))
        #expect(pattern.matches(String(repeating: " ", count: 4093) + "bot"))
        #expect(!pattern.matches(String(repeating: " ", count: 4094) + "bot"))
    }

    @Test("SEC-37 a trigger that looks like a regular expression is text, and matching is linear")
    func SEC_37_linear() throws {
        let pattern = try #require(TriggerPattern("(a+)+$"))
        #expect(!pattern.matches(String(repeating: "a", count: 4000) + "!"))
        #expect(pattern.matches("hey (a+)+$ you"))
        #expect(try #require(TriggerPattern("(?<=x)")).matches("say (?<=x) now"))
        for (trigger, text) in [
            ("(a+)+$", String(repeating: "a", count: 65_536)), (String(repeating: "a", count: 99) + "b", String(repeating: "a", count: 65_536)),
            (String(repeating: "ab", count: 50), String(repeating: "ab", count: 32_768)),
        ] {
            var steps = 0
            _ = try #require(TriggerPattern(trigger)).matches(text, steps: &steps)
            #expect(steps <= 2 * TriggerPattern.searchedCharacters)
        }
    }

    @Test(
        "slash commands",
        arguments: [
            ("/clear", SlashCommand(kind: .clear)), ("/reset", SlashCommand(kind: .clear)), (" /NEW  now please ", SlashCommand(kind: .clear, arguments: "now please")),
            ("/help", SlashCommand(kind: .help)), ("/start abc", SlashCommand(kind: .start, arguments: "abc")), ("/status", SlashCommand(kind: .status)),
            ("/stop", SlashCommand(kind: .stop)), ("/context", SlashCommand(kind: .context)), ("/compact\nkeep the plan", SlashCommand(kind: .compact, arguments: "keep the plan")),
            ("/foobar x", SlashCommand(kind: .unknown("foobar"), arguments: "x")), ("/" + String(repeating: "a", count: 64), SlashCommand(kind: .unknown(String(repeating: "a", count: 64)))),
        ])
    func commands(text: String, expected: SlashCommand) { #expect(SlashCommand.parse(text) == expected) }

    @Test(
        "what is not a command",
        arguments: ["/tmp/foo", "/tmp/", "/", "/1x", "/-x", "hello /clear", "/" + String(repeating: "a", count: 65), "/clear.", "/cléar", "", "//clear", "/clear@other", "/e\u{301}"])
    func noCommands(text: String) { #expect(SlashCommand.parse(text) == nil) }

    @Test("the thirty-first run within a minute mutes the group for a minute and is said once")
    func loops() {
        let guardian = LoopGuard()
        let session = SessionKey(botId: "b", groupJid: "tg:-1")
        let start = Fixture.now
        for second in 0..<30 { #expect(guardian.admit(session, at: start + Double(second)) == .run) }
        #expect(guardian.admit(session, at: start + 31) == .tripped)
        #expect(guardian.admit(session, at: start + 32) == .muted)
        #expect(guardian.admit(session, at: start + 90) == .muted)
        #expect(guardian.admit(SessionKey(botId: "b", groupJid: "tg:-2"), at: start + 32) == .run)
        #expect(guardian.admit(session, at: start + 92) == .run)
    }

    @Test("thirty runs a minute are fine for ever")
    func steady() {
        let guardian = LoopGuard()
        let session = SessionKey(botId: "b", groupJid: "tg:-1")
        for run in 0..<300 { #expect(guardian.admit(session, at: Fixture.now + Double(run) * 2) == .run) }
    }

    @Test("the deduplication id of the design")
    func deduplication() {
        let id = InboundMessagePayload.deduplicationID(SessionKey(botId: "bot1", groupJid: "tg:-100123"), "tg-17")
        #expect(id == "1a435c8e6ac9917a0f38b8221de09ef808c655332e4e9a486b19f6487cc3a3ee")
    }
}
