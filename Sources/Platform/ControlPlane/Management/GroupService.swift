import Foundation
import Platform

/// A bot's conversations and their stored messages, for their owner.
public struct GroupService: Sendable {
    /// What the conversation's agent does: a run; its compute alive; neither.
    public enum Activity: String, Sendable { case active, idle, terminated }

    private let records: any RecordStore
    private let notices: ManagementNotices
    public init(records: any RecordStore, notices: ManagementNotices = ManagementNotices()) { self.records = records; self.notices = notices }

    /// Latest message first.
    public func list(_ bot: BotID, type: ChannelType? = nil, limit: Int, cursor: String?) async throws -> (items: [Group], cursor: String?) {
        try await records.query(
            Group.self,
            RecordQuery(
                Tables.groups, index: Tables.recentIndex, partition: bot.rawValue,
                filter: type.map { .equals("channelType", .value(.string($0.rawValue))) }, descending: true, limit: limit, cursor: cursor))
    }

    public func get(_ bot: BotID, _ jid: GroupJID) async throws -> Group {
        guard jid.isWellFormed, let group = try await records.get(Group.self, Group.key(SessionKey(botId: bot, groupJid: jid)))
        else { throw ManagementError.notFound }
        return group
    }

    public func update(_ group: Group, name: String?, requiresTrigger: Bool?) async throws -> Group {
        var changes: [Change] = []
        if let name { changes.append(.set("name", .string(name))) }
        if let requiresTrigger { changes.append(.set("requiresTrigger", .bool(requiresTrigger))) }
        do {
            let stored = try Group(record: await records.update(group.key, changes, if: .recordExists))
            await notices.groupChanged(group.session)
            return stored
        } catch RecordStoreError.conditionFailed {
            throw ManagementError.notFound
        }
    }

    /// One read for a whole page.
    public func activity(of groups: [Group]) async throws -> [GroupJID: Activity] {
        let sessions = try await records.batchGet(groups.map { Session.key($0.session) })
        return Dictionary(uniqueKeysWithValues: try groups.map { group in
            guard let session = try sessions[Session.key(group.session)].map(Session.init(record:)) else { return (group.groupJid, .terminated) }
            return (group.groupJid, session.run != nil ? .active : session.taskStatus == nil ? .terminated : .idle)
        })
    }

    /// Newest first.
    public func messages(_ session: SessionKey, limit: Int, cursor: String?) async throws -> (items: [Message], cursor: String?) {
        try await records.query(Message.self, RecordQuery(Tables.messages, partition: session.partition, descending: true, limit: limit, cursor: cursor))
    }

    public func message(_ session: SessionKey, _ id: MessageID) async throws -> Message {
        let page = try await records.query(
            Message.self,
            RecordQuery(Tables.messages, index: Tables.messageIdIndex, partition: session.partition, sort: .between(id.rawValue, id.rawValue), limit: 1))
        guard let message = page.items.first else { throw ManagementError.notFound }
        return message
    }

    /// The bot's web conversations with something unfinished: a run, or messages that wait for one.
    public func unfinished(_ bot: BotID, conversation: GroupJID?) async throws -> [(groupJid: GroupJID, invocationId: InvocationID?, running: Bool)] {
        var groups: [Group]
        if let conversation {
            groups = try await records.get(Group.self, Group.key(SessionKey(botId: bot, groupJid: conversation))).map { [$0] } ?? []
        } else {
            groups = try await list(bot, type: .web, limit: 100, cursor: nil).items
        }
        groups = groups.filter { $0.channelType == .web }
        let sessions = try await records.batchGet(groups.map { Session.key($0.session) })
        var found: [(groupJid: GroupJID, invocationId: InvocationID?, running: Bool)] = []
        for group in groups {
            if let run = try sessions[Session.key(group.session)].map(Session.init(record:))?.run, !run.stopped {
                found.append((group.groupJid, run.invocationId, true))
            } else if try await messages(group.session, limit: 5, cursor: nil).items.contains(where: { !$0.isBotMessage && !$0.state.isSettled }) {
                found.append((group.groupJid, nil, false))
            }
        }
        return found
    }
}
