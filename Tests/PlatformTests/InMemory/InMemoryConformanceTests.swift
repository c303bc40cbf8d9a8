import Conformance
import Foundation
import Platform
import Testing

@Suite("In-memory backends keep the promises of their ports")
struct InMemoryConformanceTests {
    @Test("records", arguments: RecordStorePromises.all + RecordStorePromises.afterRestart)
    func records(_ promise: Promise<RecordStoreHarness>) async throws {
        let time = ManualTime()
        let store = InMemoryRecordStore(time: time, filterWindow: 5)
        try await promise.check(RecordStoreHarness(store: store, time: time) { store })
    }

    @Test("queues", arguments: MessageQueuePromises.all + MessageQueuePromises.afterRestart)
    func queues(_ promise: Promise<MessageQueueHarness>) async throws {
        let time = ManualTime()
        let queue = InMemoryMessageQueue(time: time)
        try await promise.check(MessageQueueHarness(queue: queue, time: time) { queue.giveBack(); return queue })
    }

    @Test("objects", arguments: ObjectStorePromises.all + ObjectStorePromises.afterRestart)
    func objects(_ promise: Promise<ObjectStoreHarness>) async throws {
        let time = ManualTime()
        let store = InMemoryObjectStore(time: time)
        try await promise.check(ObjectStoreHarness(store: store, time: time) { store })
    }

    @Test("secrets", arguments: SecretStorePromises.all + SecretStorePromises.afterRestart)
    func secrets(_ promise: Promise<SecretStoreHarness>) async throws {
        let store = InMemorySecretStore()
        try await promise.check(SecretStoreHarness(store: store) { store })
    }

    @Test("live events", arguments: LiveEventsPromises.all)
    func liveEvents(_ promise: Promise<LiveEventsHarness>) async throws {
        try await promise.check(LiveEventsHarness(events: InMemoryLiveEvents()))
    }
}
