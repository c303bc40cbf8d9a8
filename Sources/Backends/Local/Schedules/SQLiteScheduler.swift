import Foundation
import GRDB
import Logging
import Platform
import ServiceLifecycle
import Synchronization

/// Schedules in the embedded database, fired by ``run()``: it sends, then advances. A crash between the two sends the
/// same deduplication id again, and whoever takes the task up drops a fire not later than its last one.
///
/// A fire found more than 60 s late was missed because the machine or the process was off: the latest one within the
/// grace fires once and says so; when all are older, one message says that the task was passed over.
public final class SQLiteScheduler: Scheduler, Service {
    private let database: LocalDatabase
    private let inbound: any MessageQueue
    private let grace: Duration
    private let time: any TimeSource
    private let logger: Logger
    private let line: WaitingLine

    /// Longest sleep, so that a clock that was set is noticed.
    private static let longestSleep: TimeInterval = 30
    /// Fires of one round; they are sent at once and share commits.
    private static let batch = 64

    /// - Parameter grace: how late a missed task still fires.
    public init(
        _ database: LocalDatabase, inbound: any MessageQueue, grace: Duration = .seconds(3600), time: any TimeSource = SystemTime(),
        logger: Logger = Logger(label: "clawbot.scheduler")
    ) {
        self.database = database
        self.inbound = inbound
        self.grace = grace
        self.time = time
        self.logger = logger
        line = WaitingLine(time: time)
    }

    public func put(_ schedule: TaskSchedule) async throws {
        let now = time.now()
        try schedule.when.validate(timezone: schedule.timezone, now: now)
        let text = try JSON.text(schedule), next = try schedule.planned(after: now).map(Self.milliseconds)
        try await write { db in
            try db.run(
                "INSERT INTO schedules(bot, task, next, schedule) VALUES(?1, ?2, ?3, ?4) ON CONFLICT(bot, task) DO UPDATE SET next = ?3, schedule = ?4",
                .text(schedule.botId.rawValue), .text(schedule.taskId.rawValue), .int(next), .text(text))
        }
    }

    public func remove(_ botId: BotID, _ taskId: TaskID) async throws {
        try await write { db in try db.run("DELETE FROM schedules WHERE bot = ? AND task = ?", .text(botId.rawValue), .text(taskId.rawValue)) }
    }

    public func setEnabled(_ enabled: Bool, _ botId: BotID, _ taskId: TaskID) async throws {
        let now = time.now()
        try await write { db in
            let text = try db.first("SELECT schedule FROM schedules WHERE bot = ? AND task = ?", .text(botId.rawValue), .text(taskId.rawValue)) { $0.text(0) }
            guard let text else { return }
            var schedule = try JSON.decode(TaskSchedule.self, from: text)
            guard schedule.enabled != enabled else { return }
            schedule.enabled = enabled
            let next = try schedule.planned(after: now).map(Self.milliseconds)
            try db.run("UPDATE schedules SET next = ?3, schedule = ?4 WHERE bot = ?1 AND task = ?2", .text(botId.rawValue), .text(taskId.rawValue),
                .int(next), .text(JSON.text(schedule)))
        }
    }

    public func probe() async throws { try await database.probe() }

    public func run() async throws {
        try await cancelWhenGracefulShutdown { try await self.fireUntilCancelled() }
    }

    private func fireUntilCancelled() async throws {
        var failures = 0
        while !Task.isCancelled {
            let version = line.version
            do {
                try await fireDue()
                failures = 0
                let wake = try await earliest().map { min($0, time.now() + Self.longestSleep) } ?? time.now() + Self.longestSleep
                await line.wait(since: version, until: wake)
            } catch is CancellationError {
                return
            } catch {
                // What was not sent stays due.
                failures += 1
                logger.error("scheduled tasks could not be fired; trying again", metadata: ["error": "\(error)"])
                try? await time.sleep(for: .seconds(min(30, 1 << min(failures, 5))))
            }
        }
    }

    // MARK: Firing

    /// Fires everything that is due now.
    func fireDue() async throws {
        while true {
            try Task.checkCancellation()
            let due = try await due()
            if due.isEmpty { return }
            try await fire(due)
        }
    }

    private struct Due: Sendable { var schedule: TaskSchedule; var next: Int64 }

    private func due() async throws -> [Due] {
        let now = Self.milliseconds(time.now())
        let (due, broken) = try await database.read { db in
            var due: [Due] = [], broken: [(String, String)] = []
            try db.each("SELECT schedule, next, bot, task FROM schedules WHERE next IS NOT NULL AND next <= ? ORDER BY next LIMIT ?", [.int(now), .int(Self.batch)]) { row in
                if let schedule = try? JSON.decode(TaskSchedule.self, from: row.text(0)) {
                    due.append(Due(schedule: schedule, next: row.int(1)))
                } else {
                    broken.append((row.text(2), row.text(3)))
                }
                return true
            }
            return (due, broken)
        }
        for (bot, task) in broken { try await switchOff(bot, task, because: "its record cannot be read") }
        return due
    }

    /// A schedule that cannot be understood any more must not keep the others from firing.
    private func switchOff(_ bot: String, _ task: String, because reason: String) async throws {
        logger.error("a schedule is switched off", metadata: ["bot": "\(bot)", "task": "\(task)", "reason": "\(reason)"])
        try await database.write { db in try db.run("UPDATE schedules SET next = NULL WHERE bot = ? AND task = ?", .text(bot), .text(task)) }
    }

    private func fire(_ due: [Due]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for item in due { group.addTask { try await self.fire(item) } }
            try await group.waitForAll()
        }
    }

    private func fire(_ due: Due) async throws {
        let now = time.now(), planned = Self.date(due.next)
        let plan: DueFire
        do { plan = try due.schedule.due(planned: planned, now: now, grace: grace) } catch {
            return try await switchOff(due.schedule.botId.rawValue, due.schedule.taskId.rawValue, because: error.reason)
        }
        if let payload = plan.payload(for: due.schedule, at: now) {
            try await inbound.send(JSON.text(payload), group: payload.session.partition, deduplicationID: payload.deduplicationID)
        }
        // Unless the schedule was changed meanwhile.
        let next = plan.next.map(Self.milliseconds)
        try await database.write { db in
            try db.run(
                "UPDATE schedules SET next = ?4 WHERE bot = ?1 AND task = ?2 AND next = ?3",
                .text(due.schedule.botId.rawValue), .text(due.schedule.taskId.rawValue), .int(due.next), .int(next))
        }
    }

    // MARK: -

    private func earliest() async throws -> Date? {
        try await database.read { db in try db.first("SELECT next FROM schedules WHERE next IS NOT NULL ORDER BY next LIMIT 1") { $0.int(0) } }.map(Self.date)
    }

    private func write(_ body: @escaping @Sendable (Database) throws -> Void) async throws {
        try await database.write(committed: { self.line.ring() }, body)
    }

    /// Rounded up: never early.
    private static func milliseconds(_ date: Date) -> Int64 { Int64((date.timeIntervalSince1970 * 1000).rounded(.up)) }
    private static func date(_ milliseconds: Int64) -> Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }
}
