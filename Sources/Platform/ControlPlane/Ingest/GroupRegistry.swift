import Channels
import Foundation
import Platform
import Synchronization

/// The conversations of bots: made by their first message within the plan's quota, and touched at most once a minute.
public final class GroupRegistry: Sendable {
    private let records: any RecordStore
    private let time: any TimeSource
    /// Known groups, so that a message in an old conversation costs no read. Bounded; dropped on a write on this node.
    private let known = Mutex<[SessionKey: Known]>([:])
    private struct Known { var group: Group; var until: Date }
    private static let capacity = 20_000

    public init(records: any RecordStore, time: any TimeSource) { self.records = records; self.time = time }

    public func forget(_ session: SessionKey) { known.withLock { $0[session] = nil } }

    /// The message's conversation, made if it is new; nil when the plan allows no more.
    func ensure(_ message: InboundMessage, of bot: Bot, channel: ChannelType) async throws -> Group? {
        var group = Group(
            botId: bot.botId, groupJid: message.groupJid, userId: bot.userId, name: message.chatName.isEmpty ? message.groupJid.rawValue : message.chatName,
            channelType: channel, isGroup: message.isGroup, at: time.now())
        group.replyContext = message.replyContext
        group.lastMessageAt = max(message.timestamp, group.createdAt)
        return try await ensure(group, of: bot)
    }

    /// Finds or makes a conversation; nil when the plan allows no more.
    func ensure(_ new: Group, of bot: Bot) async throws -> Group? {
        let now = time.now()
        if let kept = known.withLock({ $0[new.session] }), kept.until > now {
            if now.timeIntervalSince(kept.group.lastMessageAt) >= 60 || kept.group.disconnected { try await touch(kept.group, new, at: now) }
            return kept.group
        }
        if let stored = try await records.get(Group.self, new.key) {
            keep(stored, at: now)
            if now.timeIntervalSince(stored.lastMessageAt) >= 60 || stored.disconnected { try await touch(stored, new, at: now) }
            return stored
        }
        guard let owner = try await records.get(User.self, User.key(bot.userId)), owner.status == .active else { return nil }
        do {
            try await records.transact([
                new.putting(if: .recordAbsent),
                .update(bot.key, [.add("groupCount", 1)], if: .and([
                    .notEquals("status", "deleted"), .lessThan("groupCount", .value(.int(owner.quota.maxGroupsPerBot))),
                ])),
            ])
        } catch RecordStoreError.conditionFailed(let index, _) {
            if index == 0 { return try await records.get(Group.self, new.key) }
            return nil
        }
        keep(new, at: now)
        return new
    }

    private func touch(_ group: Group, _ latest: Group, at now: Date) async throws {
        var changes: [Change] = [.set("lastMessageAt", .string(Timestamp.text(now))), .set("disconnected", false)]
        if let context = latest.replyContext { changes.append(.set("replyContext", context)) }
        do {
            let after = try await records.update(group.key, changes)
            keep(try Group(record: after), at: now)
        } catch RecordStoreError.conditionFailed { forget(group.session) }
    }

    private func keep(_ group: Group, at now: Date) {
        known.withLock {
            if $0.count >= Self.capacity { $0.removeAll(keepingCapacity: true) }
            $0[group.session] = Known(group: group, until: now + Directory.freshness.seconds)
        }
    }

    /// Joined, left, blocked, or moved to a new id (the old record stays as an alias, its history readable).
    func membership(_ session: SessionKey, _ change: InboundEvent.Membership) async throws {
        guard var group = try await records.get(Group.self, Group.key(session)) else { return }
        switch change {
        case .joined: try await records.update(group.key, [.set("disconnected", false)])
        case .left, .blocked: try await records.update(group.key, [.set("disconnected", true)])
        case .migrated(let target):
            let old = group.key
            group.groupJid = target
            do {
                try await records.transact([
                    group.putting(if: .recordAbsent), .update(old, [.set("migratedTo", .string(target.rawValue)), .set("disconnected", true)]),
                ])
            } catch RecordStoreError.conditionFailed {
                // The new id is known already: both ends of a migration are announced.
                try await records.update(old, [.set("migratedTo", .string(target.rawValue)), .set("disconnected", true)])
            }
        }
        forget(session)
    }
}
