import Foundation
import Platform
import Synchronization

/// What the readers of a bot's web chat must not miss: whole messages and run states, as `events` records in gapless order.
///
/// An event becomes visible together with the records it speaks of: ``append(_:to:with:)`` is one transaction. Sequence
/// numbers are taken under a condition on the counter, so a reader that has seen number n will never be surprised by a smaller one.
public struct EventLog: Sendable {
    /// One event as it will be stored: its name (API.md §4) and one-line data.
    public struct Entry: Sendable {
        public var name: String
        public var groupJid: GroupJID
        public var data: Value
        public init(_ name: String, _ groupJid: GroupJID, _ data: Value) { self.name = name; self.groupJid = groupJid; self.data = data }
    }
    /// A stored event.
    public struct Logged: Sendable {
        public var sequence: Int
        public var name: String
        public var groupJid: GroupJID
        public var data: Value
    }

    public static let retention = Duration.seconds(86_400)
    private let records: any RecordStore
    private let live: any LiveEvents
    private let time: any TimeSource
    private let turns = KeyedTurns<BotID>()

    public init(records: any RecordStore, live: any LiveEvents, time: any TimeSource) {
        self.records = records; self.live = live; self.time = time
    }

    /// Carries out `writes` and appends the entries, all or nothing, and wakes the readers.
    /// - Throws: what `transact` throws for `writes` (their indexes unchanged); a lost race for the counter is repeated here.
    public func append(_ entries: [Entry], to bot: BotID, with writes: [RecordWrite] = []) async throws {
        guard !entries.isEmpty else {
            if !writes.isEmpty { try await records.transact(writes) }
            return
        }
        try await turns.take(bot) {
            var position = try await self.position(of: bot)
            while true {
                do {
                    try await records.transact(writes + self.writes(entries, to: bot, after: position))
                    break
                } catch RecordStoreError.conditionFailed(let index, let current) where index == writes.count {
                    position = current?.document["next"]?.int ?? 0
                }
            }
        }
        await live.publish(.wake, bot: bot)
    }

    /// The last sequence number given out; 0 when there never was an event.
    public func position(of bot: BotID) async throws -> Int {
        try await records.get(counterKey(bot))?.document["next"]?.int ?? 0
    }

    /// Events after `sequence`, oldest first.
    public func read(_ bot: BotID, after sequence: Int, limit: Int) async throws -> [Logged] {
        let page = try await records.query(
            RecordQuery(Tables.events, partition: bot.rawValue, sort: .between(Self.sortKey(sequence + 1), Self.sortKey(Self.lastSequence)), limit: limit))
        return page.records.compactMap { record in
            guard let sequence = Int(record.key.sort), let name = record.document["event"]?.string, let group = record.document["groupJid"]?.string
            else { return nil }
            return Logged(sequence: sequence, name: name, groupJid: GroupJID(group), data: record.document["data"] ?? .object([:]))
        }
    }

    private static let lastSequence = 9_999_999_999_999_999
    /// 16 digits: they sort below the letters of `counter`.
    private static func sortKey(_ sequence: Int) -> String {
        let digits = String(sequence)
        return String(repeating: "0", count: max(0, 16 - digits.count)) + digits
    }
    private func counterKey(_ bot: BotID) -> RecordKey { RecordKey(Tables.events, bot.rawValue, "counter") }

    private func writes(_ entries: [Entry], to bot: BotID, after position: Int) -> [RecordWrite] {
        let expiry = time.now() + Self.retention.seconds
        let unchanged: Condition = position == 0 ? .or([.recordAbsent, .equals("next", 0)]) : .equals("next", .value(.int(position)))
        let counter = RecordWrite.update(counterKey(bot), [.set("next", .int(position + entries.count))], orCreate: true, if: unchanged)
        return [counter] + entries.enumerated().map { offset, entry in
            .put(
                RecordKey(Tables.events, bot.rawValue, Self.sortKey(position + 1 + offset)),
                ["event": .string(entry.name), "groupJid": .string(entry.groupJid.rawValue), "data": entry.data], expiresAt: expiry)
        }
    }
}

/// Lets the holders of one key take turns, in order of arrival; different keys do not wait for each other.
final class KeyedTurns<Key: Hashable & Sendable>: Sendable {
    private struct Line { var waiting: [CheckedContinuation<Void, Never>] = [] }
    private let lines = Mutex<[Key: Line]>([:])

    func take<Result: Sendable>(_ key: Key, _ body: @Sendable () async throws -> Result) async rethrows -> Result {
        await withCheckedContinuation { continuation in
            let mine = lines.withLock { lines in
                if lines[key] == nil { lines[key] = Line(); return true }
                lines[key]?.waiting.append(continuation)
                return false
            }
            if mine { continuation.resume() }
        }
        defer {
            let next = lines.withLock { lines -> CheckedContinuation<Void, Never>? in
                guard var line = lines[key], !line.waiting.isEmpty else { lines[key] = nil; return nil }
                let next = line.waiting.removeFirst()
                lines[key] = line
                return next
            }
            next?.resume()
        }
        return try await body()
    }
}
