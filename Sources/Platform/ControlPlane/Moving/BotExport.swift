import Foundation
import Platform

/// Everything that is a bot's own, as records: itself, its channels, conversations, messages, tasks, sessions, failures.
/// Not its owner, quota, usage, audit; and no secret: those are asked for apart.
public struct BotExport: Sendable {
    let records: any RecordStore
    public let bot: Bot

    /// - Throws: ``ManagementError/notFound``
    public init(_ id: BotID, in records: any RecordStore) async throws {
        let found = try await records.query(Bot.self, RecordQuery(Tables.bots, index: Tables.botIdIndex, partition: id.rawValue, limit: 1)).items.first
        guard let found, found.status != .deleted else { throw ManagementError.notFound }
        self.records = records
        bot = found
    }

    /// Tables whose rows belong to the platform, the owner or the machine, though they may name a bot.
    private static let foreign: Set<Table> = [
        Tables.users, Tables.usage, Tables.events, Tables.leases, Tables.uniques, Tables.idempotency, Tables.deadLetters, Tables.tombstones,
        Tables.refreshTokens, Tables.loginAttempts, Tables.audit, Tables.secrets, Tables.settings, Tables.providers,
    ]

    /// Calls `take` with every record, one line of text each; the bot's own comes first.
    public func lines(_ take: (String) throws -> Void) async throws {
        guard let own = try await records.get(bot.key) else { throw ManagementError.notFound }
        try take(Self.line(own))
        let groups = try await records.all(Group.self, RecordQuery(Tables.groups, partition: bot.botId.rawValue, limit: 200))
        let partitions = [bot.botId.rawValue] + groups.map(\.session.partition)
        for table in Tables.all where table != Tables.bots && !Self.foreign.contains(table) {
            for partition in partitions {
                var query = RecordQuery(table, partition: partition, limit: 200)
                repeat {
                    let page = try await records.query(query)
                    for record in page.records { try take(Self.line(record)) }
                    query.cursor = page.cursor
                } while query.cursor != nil
            }
        }
    }

    /// The credentials of its channels, by the key of the channel's record.
    public func credentials(_ secrets: any SecretStore) async throws -> [String: Secret] {
        var found: [String: Secret] = [:]
        for channel in try await records.all(Channel.self, RecordQuery(Tables.channels, partition: bot.botId.rawValue, limit: 100)) {
            if let name = channel.credentialSecretName, let secret = try await secrets.get(name) { found[channel.key.sort] = secret }
        }
        return found
    }

    private static func line(_ record: StoredRecord) throws -> String {
        var fields: Document = [
            "table": .string(record.key.table.name), "partition": .string(record.key.partition), "sort": .string(record.key.sort), "document": .object(record.document),
        ]
        if let expiry = record.expiresAt { fields["expiresAt"] = .int(Int(expiry.timeIntervalSince1970)) }
        return String(decoding: try JSON.data(.object(fields)), as: UTF8.self) + "\n"
    }
}
