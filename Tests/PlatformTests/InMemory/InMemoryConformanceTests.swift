import Conformance
import Foundation
import Pace
import Platform
import Testing

@Suite("In-memory backends keep the promises of their ports", .paced)
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
        try await promise.check(
            MessageQueueHarness(queue: queue, time: time) {
                queue.giveBack(); return queue
            })
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

    @Test("schedulers", arguments: SchedulerPromises.all)
    func schedulers(_ promise: Promise<SchedulerHarness>) async throws {
        let time = ManualTime()
        let queue = InMemoryMessageQueue(time: time)
        let scheduler = InMemoryScheduler(inbound: queue, time: time)
        try await promise.check(
            SchedulerHarness(scheduler: scheduler, inbound: queue, time: time) { try await scheduler.fireDue() })
    }

    @Test("a running scheduler sleeps until the next time, wakes for a nearer one and ends when cancelled")
    func schedulerRuns() async throws {
        let time = ManualTime(Timestamp.date("2026-03-02T08:00:00Z")!)
        let queue = InMemoryMessageQueue(time: time)
        let scheduler = InMemoryScheduler(inbound: queue, time: time)
        let running = Task { try await scheduler.run() }
        func task(_ id: String, _ cron: String) -> TaskSchedule {
            TaskSchedule(
                botId: BotID("b"), taskId: TaskID(id), userId: UserID("u"), groupJid: GroupJID("tg:\(id)"), when: .cron(cron),
                timezone: "UTC")
        }
        try await scheduler.put(task("1", "0 12 * * *"))
        try await until { time.sleepers == 1 }
        try await scheduler.put(task("2", "30 8 * * *"))
        var fired: [QueueDelivery] = []
        for _ in 0..<31 {
            try await until { time.sleepers == 1 }
            time.advance(by: .seconds(60))
        }
        try await until {
            fired += try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60))
            return !fired.isEmpty
        }
        #expect(fired.map(\.group) == ["b#tg:2"])
        running.cancel()
        _ = await running.result
        #expect(time.sleepers == 0)
    }

    @Test("a live reader that goes away is forgotten")
    func liveReaderLeaves() async throws {
        let events = InMemoryLiveEvents()
        let reader = Task { for await _ in await events.subscribe(bot: BotID("b")) {} }
        try await until { events.readers == 1 }
        reader.cancel()
        try await until { events.readers == 0 }
    }
}

/// Waits for a condition, at most 60 s.
func until(_ sourceLocation: SourceLocation = #_sourceLocation, _ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while try await !condition() {
        try #require(ContinuousClock.now < end, "the condition did not come true within 60 s", sourceLocation: sourceLocation)
        try await Task.sleep(for: .milliseconds(2))
    }
}
