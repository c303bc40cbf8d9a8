import Foundation
import Platform

/// Something that an agent was refused: what its owner sees of it (API.md §3.3). Never content.
public struct Denial: Entity {
    public enum Kind: String, Codable, Sendable, CaseIterable { case egress, tool, skill }
    public enum Origin: String, Codable, Sendable { case main, subAgent = "sub-agent", direct }
    public var id: String
    public var botId: BotID
    public var timestamp: Date
    public var groupJid: GroupJID
    public var invocationId: InvocationID
    public var kind: Kind
    /// Host or tool name.
    public var target: String
    public var origin: Origin

    public init(id: String, botId: BotID, timestamp: Date, groupJid: GroupJID, invocationId: InvocationID, kind: Kind, target: String, origin: Origin)
    {
        self.id = id; self.botId = botId; self.timestamp = timestamp; self.groupJid = groupJid; self.invocationId = invocationId
        self.kind = kind; self.target = target; self.origin = origin
    }
    public static let table = Tables.denials
    public var key: RecordKey { RecordKey(Self.table, botId.rawValue, "\(Timestamp.text(timestamp))#\(id)") }
    public var recordExpiry: Date? { timestamp + 30 * 86_400 }
}
