import Foundation
import Platform
extension Recurrence {
    func next(after date: Date, timezone: TimeZone) throws(ScheduleError) -> Date? {
        switch self {
        case .interval(let ms, let anchor):
            let step = Double(ms) / 1000
            let k = ((date.timeIntervalSince(anchor)) / step).rounded(.down) + 1
            return anchor + max(1, k) * step
        case .once(let text):
            guard let d = DemoText.localTime(text, in: timezone) else { throw ScheduleError("bad") }
            return d > date ? d : nil
        case .cron: return date + 60
        }
    }
}
