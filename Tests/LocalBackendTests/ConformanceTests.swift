import Conformance
import Foundation
import Pace
import Platform
import Testing

@testable import LocalBackend

@Suite("The embedded backend keeps the promises of the ports", .paced)
struct ConformanceTests {
    @Test("records", arguments: RecordStorePromises.all + RecordStorePromises.afterRestart)
    func records(_ promise: Promise<RecordStoreHarness>) async throws {
        let scratch = Scratch(), time = ManualTime()
        let directory = scratch["data"]
        let database = try LocalDatabase(directory: directory)
        let store = SQLiteRecordStore(database, time: time)
        try await store.prepare(Tables.all)
        try await promise.check(RecordStoreHarness(store: store, time: time) {
            try database.close()
            let again = SQLiteRecordStore(try LocalDatabase(directory: directory), time: time)
            try await again.prepare(Tables.all)
            return again
        })
        withExtendedLifetime(scratch) {}
    }

    @Test("queues", arguments: MessageQueuePromises.all + MessageQueuePromises.afterRestart)
    func queues(_ promise: Promise<MessageQueueHarness>) async throws {
        let scratch = Scratch(), time = ManualTime()
        let directory = scratch["data"]
        let database = try LocalDatabase(directory: directory)
        let queue = try await SQLiteMessageQueue.open(database, name: "inbound", time: time)
        try await promise.check(MessageQueueHarness(queue: queue, time: time) {
            try database.close()
            return try await SQLiteMessageQueue.open(LocalDatabase(directory: directory), name: "inbound", time: time)
        })
        withExtendedLifetime(scratch) {}
    }

    @Test("objects", arguments: ObjectStorePromises.all + ObjectStorePromises.afterRestart, [true, false])
    func objects(_ promise: Promise<ObjectStoreHarness>, openat2: Bool) async throws {
        let scratch = Scratch()
        let directory = scratch["objects"]
        let store = try FileObjectStore(directory: directory, logger: quiet, usesOpenat2: openat2)
        try await promise.check(ObjectStoreHarness(store: store, time: ManualTime()) { try FileObjectStore(directory: directory, logger: quiet, usesOpenat2: openat2) })
        withExtendedLifetime(scratch) {}
    }

    @Test("secrets", arguments: SecretStorePromises.all + SecretStorePromises.afterRestart)
    func secrets(_ promise: Promise<SecretStoreHarness>) async throws {
        let scratch = Scratch()
        let database = try LocalDatabase(directory: scratch["data"])
        let records = SQLiteRecordStore(database)
        try await records.prepare([Tables.secrets])
        let file = MasterKeyFile(path: scratch["master.key"].path)
        let store = try await EncryptedSecretStore.open(records, keyFile: file)
        try await promise.check(SecretStoreHarness(store: store) { try await EncryptedSecretStore.open(records, keyFile: file) })
        withExtendedLifetime(scratch) {}
    }

    @Test("schedules", arguments: SchedulerPromises.all)
    func schedules(_ promise: Promise<SchedulerHarness>) async throws {
        let scratch = Scratch(), time = ManualTime()
        let database = try LocalDatabase(directory: scratch["data"])
        let queue = try await SQLiteMessageQueue.open(database, name: "inbound", time: time)
        let scheduler = SQLiteScheduler(database, inbound: queue, time: time, logger: quiet)
        try await promise.check(SchedulerHarness(scheduler: scheduler, inbound: queue, time: time) { try await scheduler.fireDue() })
        withExtendedLifetime(scratch) {}
    }
}
