import AsyncHTTPClient
import Foundation
import Platform

@testable import Channels

/// Ready-made values of this suite.
enum Fixture {
    static let token = "123456789:AAFakeFakeFakeFakeFakeFakeFakeFakeFak"
    static let secret = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
    static let now = Date(timeIntervalSince1970: 1_760_000_000)

    static func channel(mode: Channel.Mode = .webhook, config: [String: Value] = [:], secret: String? = secret, token: String = token) -> ConnectedChannel {
        var channel = Channel(
            botId: "bot1", userId: "user1", channelType: .telegram, channelId: "ch1", mode: mode, accountId: "123456789", accountName: "claw_bot", at: now)
        channel.config = config
        var credentials = ["botToken": Secret(token)]
        credentials["webhookSecret"] = secret.map { Secret($0) }
        return ConnectedChannel(channel: channel, credentials: credentials)
    }

    static let group = Group(botId: "bot1", groupJid: "tg:77", userId: "user1", name: "Ann", channelType: .telegram, isGroup: false, at: now)

    static func adapter(api: String = "http://127.0.0.1:9", time: any TimeSource = SystemTime(), limits: TelegramAdapter.Limits = .init()) -> TelegramAdapter {
        TelegramAdapter(
            httpClient: client, apiBaseURL: URL(string: api) ?? URL(filePath: "/"), publicBaseURL: URL(string: "https://bot.example") ?? URL(filePath: "/"), time: time,
            limits: limits)
    }

    /// One for the process, as in production; never shut down.
    static let client = HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: ChannelHTTP.configuration)

    static func target(_ chat: String = "tg:77", isGroup: Bool = false, context: Value? = nil, first: Bool = true, channel: ConnectedChannel = channel()) -> ReplyTarget {
        ReplyTarget(channel: channel, groupJid: GroupJID(chat), isGroup: isGroup, replyContext: context, isFirstChunk: first)
    }
}

extension BotID: ExpressibleByStringLiteral { public init(stringLiteral value: String) { self.init(rawValue: value) } }
extension UserID: ExpressibleByStringLiteral { public init(stringLiteral value: String) { self.init(rawValue: value) } }
extension ChannelID: ExpressibleByStringLiteral { public init(stringLiteral value: String) { self.init(rawValue: value) } }
extension GroupJID: ExpressibleByStringLiteral { public init(stringLiteral value: String) { self.init(rawValue: value) } }
extension MessageID: ExpressibleByStringLiteral { public init(stringLiteral value: String) { self.init(rawValue: value) } }

/// Reads Telegram HTML as strictly as Telegram does.
struct StrictHTML {
    struct Malformed: Error { var reason: String }
    private(set) var visible = ""
    private(set) var entities = 0

    init(_ html: String) throws {
        var stack = [String]()
        var rest = html[...]
        let tags: Set<String> = ["b", "i", "s", "a", "code", "pre", "blockquote"]
        while let first = rest.first {
            switch first {
            case "<":
                guard let end = rest.firstIndex(of: ">") else { throw Malformed(reason: "a tag without end") }
                let tag = rest[rest.index(after: rest.startIndex)..<end]
                rest = rest[rest.index(after: end)...]
                if tag.first == "/" {
                    guard let open = stack.popLast(), open == tag.dropFirst() else { throw Malformed(reason: "unmatched \(tag)") }
                    continue
                }
                let name = String(tag.prefix { $0 != " " })
                guard tags.contains(name) else { throw Malformed(reason: "unsupported tag \(name)") }
                if name == "a" { guard tag.hasPrefix("a href=\""), tag.hasSuffix("\""), !tag.dropFirst(8).dropLast().contains("\"") else { throw Malformed(reason: "attribute of a") } }
                let inPre = stack.last == "pre" && name == "code" && tag.hasPrefix("code class=\"language-")
                if stack.contains("code") || stack.contains("pre") && !inPre { throw Malformed(reason: "\(name) inside code") }
                if name == "blockquote", stack.contains("blockquote") { throw Malformed(reason: "nested quote") }
                if !inPre { entities += 1 }
                stack.append(name)
            case "&":
                guard let end = rest.prefix(8).firstIndex(of: ";") else { throw Malformed(reason: "a bare ampersand") }
                let names = ["&amp": "&", "&lt": "<", "&gt": ">", "&quot": "\""]
                guard let character = names[String(rest[..<end])] else { throw Malformed(reason: "unknown reference") }
                visible += character
                rest = rest[rest.index(after: end)...]
            case ">": throw Malformed(reason: "a bare >")
            default:
                visible.append(first)
                rest = rest.dropFirst()
            }
        }
        guard stack.isEmpty else { throw Malformed(reason: "unclosed \(stack)") }
    }
}

/// A small reproducible generator, so that a failing case can be run again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }
}
