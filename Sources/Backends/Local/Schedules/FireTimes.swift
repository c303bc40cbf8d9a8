import Foundation
import Platform

extension SQLiteScheduler {
    /// The schedule's first fire after `date`; nil = none ever.
    static func next(_ schedule: TaskSchedule, after date: Date) throws -> Date? {
        guard case .interval(let milliseconds, let anchor) = schedule.when else { return nil }
        let step = Double(milliseconds) / 1000
        return anchor + (max(0, (date.timeIntervalSince(anchor) / step).rounded(.down)) + 1) * step
    }
}
