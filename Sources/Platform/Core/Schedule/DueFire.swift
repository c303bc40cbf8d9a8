import Foundation

/// What a scheduler does with a schedule whose planned time has come: the same policy in every backend that fires by itself.
public struct DueFire: Sendable, Hashable {
    /// The time to fire for; nil = not due yet.
    public var fire: Date?
    /// It stands for a time that was missed: the platform was off.
    public var missed: Bool
    /// Missed by more than the grace: the task is not run, its record and its owner are told.
    public var passedOver = false
    /// The next planned time; nil = never again.
    public var next: Date?

    /// Later than this is missed, not merely slow: what the port allows.
    public static let punctual: TimeInterval = 60

    /// The message that tells the inbound queue.
    public func payload(for schedule: TaskSchedule, at now: Date) -> ScheduledTaskPayload? {
        fire.map {
            ScheduledTaskPayload(
                botId: schedule.botId, groupJid: schedule.groupJid, userId: schedule.userId, taskId: schedule.taskId,
                scheduledFor: $0, at: now, missed: missed, passedOver: passedOver)
        }
    }
}

extension TaskSchedule {
    /// When it fires first after `now`; nil while paused or when never again.
    public func planned(after now: Date) throws(ScheduleError) -> Date? {
        enabled ? try when.next(after: now, timezone: timezone) : nil
    }

    /// Decides about a schedule planned for `planned`. Several missed times fire once, for the latest; a missed time older
    /// than `grace` is passed over.
    public func due(planned: Date, now: Date, grace: Duration) throws(ScheduleError) -> DueFire {
        guard enabled, planned <= now else { return DueFire(fire: nil, missed: false, next: enabled ? planned : nil) }
        let following = try when.next(after: now, timezone: timezone)
        var latest = planned
        if now.timeIntervalSince(planned) > DueFire.punctual {
            // Look no further back than the grace: nothing older would fire anyway.
            var candidate = try when.next(after: max(planned, now - grace.seconds - 1), timezone: timezone)
            while let time = candidate, time <= now {
                latest = time
                candidate = try when.next(after: time, timezone: timezone)
            }
        }
        let missed = now.timeIntervalSince(planned) > DueFire.punctual
        let inTime = now.timeIntervalSince(latest) <= max(DueFire.punctual, grace.seconds)
        return DueFire(fire: latest, missed: missed, passedOver: !inTime, next: following)
    }
}
