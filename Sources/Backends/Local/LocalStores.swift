import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Everything that the embedded backend stores, opened from one data directory:
///
///     let stores = try await LocalStores.open(dataDirectory: url)
///     let group = ServiceGroup(services: stores.services + others, logger: logger)
///
/// `clawbot.sqlite` (records, queues, schedules, secrets), `objects/`, `master.key`, `clawbot.lock`.
public struct LocalStores: Sendable {
    public let database: LocalDatabase
    public let records: SQLiteRecordStore
    public let objects: FileObjectStore
    public let inbound: SQLiteMessageQueue
    public let replies: SQLiteMessageQueue
    public let secrets: EncryptedSecretStore
    public let scheduler: SQLiteScheduler
    public let sweeper: ExpirySweeper

    /// What runs in the background as long as the process does: schedules and the sweep of what expired.
    public var services: [any Service] { [scheduler, sweeper] }

    /// - Parameters:
    ///   - masterKeys: from configuration; nil = `master.key` in the data directory, made at the first start.
    ///   - grace: how late a task that was missed while the machine was off still fires.
    /// - Throws: ``LocalDatabaseError``, `SecretStoreError.masterKey`, `ObjectStoreError.unavailable`: sentences for the operator.
    public static func open(
        dataDirectory: URL, masterKeys: MasterKeys? = nil, grace: Duration = .seconds(3600), tables: [Table] = Tables.all,
        time: any TimeSource = SystemTime(), logger: Logger = Logger(label: "clawbot.local")
    ) async throws -> LocalStores {
        let database = try LocalDatabase(directory: dataDirectory)
        let records = SQLiteRecordStore(database, time: time)
        try await records.prepare(tables)
        let inbound = try await SQLiteMessageQueue.open(database, name: "inbound", time: time)
        let replies = try await SQLiteMessageQueue.open(database, name: "replies", time: time)
        let secrets = if let masterKeys {
            try await EncryptedSecretStore.open(records, keys: masterKeys, time: time)
        } else {
            try await EncryptedSecretStore.open(records, keyFile: MasterKeyFile(path: dataDirectory.appendingPathComponent("master.key").path), time: time)
        }
        return LocalStores(
            database: database, records: records, objects: try FileObjectStore(directory: dataDirectory.appendingPathComponent("objects"), logger: logger),
            inbound: inbound, replies: replies, secrets: secrets,
            scheduler: SQLiteScheduler(database, inbound: inbound, grace: grace, time: time, logger: logger),
            sweeper: ExpirySweeper(records: records, tables: tables, queues: [inbound, replies], time: time, logger: logger))
    }

    /// A consistent copy of the database while it is in use. Objects and `master.key` are files: copy them beside it.
    public func backupDatabase(to destination: URL) async throws { try await database.backup(to: destination) }

    /// Ends all access to the database; call it after the services have ended.
    public func close() throws { try database.close() }
}
