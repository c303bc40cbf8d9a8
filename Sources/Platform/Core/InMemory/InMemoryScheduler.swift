import Foundation

/// A scheduler in memory, for tests: fires by sending to the inbound queue while ``run()`` runs, or when ``fireDue()`` is called.
public actor InMemoryScheduler: Scheduler {
    private struct Key: Hashable { var botId: BotID; var taskId: TaskID }
    private struct Entry { var schedule: TaskSchedule; var planned: Date? }
    private var entries: [Key: Entry] = [:]
    private let queue: any MessageQueue
    private let time: any TimeSource
    private let grace: Duration
    private let changes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    /// - Parameter grace: how late a missed time still fires.
    public init(inbound queue: any MessageQueue, time: any TimeSource = SystemTime(), grace: Duration = .seconds(3600)) {
        self.queue = queue; self.time = time; self.grace = grace
    }

    public func put(_ schedule: TaskSchedule) async throws {
        try schedule.when.validate(timezone: schedule.timezone, now: time.now())
        entries[Key(botId: schedule.botId, taskId: schedule.taskId)] = Entry(
            schedule: schedule, planned: try schedule.planned(after: time.now()))
        changes.continuation.yield()
    }

    public func remove(_ botId: BotID, _ taskId: TaskID) async throws { entries[Key(botId: botId, taskId: taskId)] = nil }

    public func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {
        let key = Key(botId: botId, taskId: taskId)
        guard var entry = entries[key], entry.schedule.enabled != enabled else { return }
        entry.schedule.enabled = enabled
        entry.planned = try entry.schedule.planned(after: time.now())
        entries[key] = entry
        changes.continuation.yield()
    }

    public func probe() async throws {}

    /// Fires whatever is due by now, each once.
    public func fireDue() async throws {
        let now = time.now()
        for (key, entry) in entries.sorted(by: { ($0.value.planned ?? .distantFuture) < ($1.value.planned ?? .distantFuture) }) {
            guard let planned = entry.planned, planned <= now else { continue }
            let due = try entry.schedule.due(planned: planned, now: now, grace: grace)
            if let payload = due.payload(for: entry.schedule, at: now) {
                try await queue.send(
                    JSON.text(payload), group: payload.session.partition, deduplicationID: payload.deduplicationID)
            }
            // Replaced or paused while it was being sent: what is there now holds.
            if let current = entries[key], current.schedule == entry.schedule, current.planned == planned {
                entries[key]?.planned = due.next
            }
        }
    }

    /// Fires schedules at their times until cancelled.
    public func run() async throws {
        while !Task.isCancelled {
            try await fireDue()
            let next = entries.values.compactMap(\.planned).min()
            await withTaskGroup(of: Void.self) { group in
                if let next { group.addTask { [time] in try? await time.sleep(until: next) } }
                group.addTask { [stream = changes.stream] in for await _ in stream { return } }
                await group.next()
                group.cancelAll()
            }
        }
    }
}
