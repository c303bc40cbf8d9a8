import Foundation

/// An identifier that is a string on the wire and a type of its own in code,
/// so that a bot's id can never stand where a user's is meant.
public protocol Identifier: RawRepresentable, Hashable, Comparable, Codable, Sendable, CustomStringConvertible
where RawValue == String {
    init(rawValue: String)
}

extension Identifier {
    public init(_ value: String) { self.init(rawValue: value) }
    public init(from decoder: any Decoder) throws {
        self.init(rawValue: try decoder.singleValueContainer().decode(String.self))
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }
    public var description: String { rawValue }
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A tenant: owns bots, has a plan, quotas and usage.
public struct UserID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// A bot; a ULID, unique over all tenants. Holds no `#`.
public struct BotID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// A bot's connection to a messaging service.
public struct ChannelID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// One message; unique within its conversation only (`tg-17` repeats across chats).
public struct MessageID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// A scheduled prompt.
public struct TaskID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// One run of the agent; another try of the same message is another invocation.
public struct InvocationID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// A model endpoint.
public struct ProviderID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// An MCP server, of the platform's library or of one bot.
public struct MCPServerID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// Skills of the platform's library that came in one archive.
public struct SkillID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }
/// One launched agent process, container or task.
public struct LaunchID: Identifier { public let rawValue: String; public init(rawValue: String) { self.rawValue = rawValue } }

/// One conversation of a bot, as a channel names it: `tg:-100123`, `web:main`, `feishu#oc_1`.
public struct GroupJID: Identifier {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }

    /// Whether the text follows API.md §1.2: a known prefix, then 1..180 printable ASCII characters, no space, no `%`.
    public var isWellFormed: Bool {
        let prefixes = ["tg:", "dc:", "sl:", "wa:", "feishu#", "dt:", "web:"]
        guard let prefix = prefixes.first(where: rawValue.hasPrefix) else { return false }
        let rest = rawValue.utf8.dropFirst(prefix.utf8.count)
        return (1...180).contains(rest.count) && rest.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "%") }
    }

    /// The id as one segment of an object key (SEC-33): injective, never `.` or `..`, never too long for a file system.
    public var keySegment: String { ObjectKey.segment(rawValue) }
}

/// A conversation: the unit of order, of agent isolation and of agent state.
public struct SessionKey: Hashable, Codable, Sendable, CustomStringConvertible {
    public var botId: BotID
    public var groupJid: GroupJID
    public init(botId: BotID, groupJid: GroupJID) { self.botId = botId; self.groupJid = groupJid }

    /// `botId#groupJid`: partition key of messages and sessions, and the queues' ordering key.
    public var partition: String { "\(botId.rawValue)#\(groupJid.rawValue)" }
    public var description: String { partition }

    /// Splits a partition key at its first `#` (Feishu ids bring their own).
    public init?(partition: String) {
        guard let mark = partition.firstIndex(of: "#") else { return nil }
        self.init(botId: BotID(String(partition[..<mark])), groupJid: GroupJID(String(partition[partition.index(after: mark)...])))
    }
}

/// Crockford base-32 identifiers that sort by time: 48 bits of milliseconds, 80 random bits (https://github.com/ulid/spec).
public enum ULID {
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ".utf8)

    public static func make(at time: Date = Date()) -> String {
        var generator = SystemRandomNumberGenerator()
        return make(milliseconds: UInt64(max(0, time.timeIntervalSince1970 * 1000)), high: UInt16.random(in: .min ... .max, using: &generator), low: generator.next())
    }

    /// A ULID whose random part is taken from 10 given bytes, for ids that must be derivable again.
    public static func make(at time: Date, entropy: some Collection<UInt8>) -> String {
        precondition(entropy.count >= 10)
        let bytes = Array(entropy.prefix(10))
        let high = UInt16(bytes[0]) << 8 | UInt16(bytes[1])
        let low = bytes[2..<10].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return make(milliseconds: UInt64(max(0, time.timeIntervalSince1970 * 1000)), high: high, low: low)
    }

    private static func make(milliseconds: UInt64, high: UInt16, low: UInt64) -> String {
        var text = [UInt8](repeating: 0, count: 26)
        for index in 0..<10 { text[9 - index] = alphabet[Int(milliseconds >> (5 * UInt64(index)) & 31)] }
        var low = low
        var high = UInt64(high)
        for index in 0..<16 {
            text[25 - index] = alphabet[Int(low & 31)]
            low = low >> 5 | (high & 31) << 59
            high >>= 5
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// When an id was made; nil for what is none.
    public static func time(of text: String) -> Date? {
        guard isWellFormed(text) else { return nil }
        let milliseconds = text.utf8.prefix(10).reduce(UInt64(0)) { $0 << 5 | UInt64(alphabet.firstIndex(of: $1) ?? 0) }
        return Date(timeIntervalSince1970: Double(milliseconds) / 1000)
    }

    public static func isWellFormed(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return bytes.count == 26 && bytes[0] >= 0x30 && bytes[0] <= 0x37 && bytes.allSatisfy(alphabet.contains)
    }
}
