import Platform
import Synchronization

/// How many event streams each user has open on this node (SEC-111).
final class StreamSlots: Sendable {
    static let perUser = 5
    private let open = Mutex<[UserID: Int]>([:])

    /// Given back when it goes away, however the response ends, also when it never began.
    final class Slot: Sendable {
        private let slots: StreamSlots
        private let user: UserID
        fileprivate init(_ slots: StreamSlots, _ user: UserID) { self.slots = slots; self.user = user }
        deinit { slots.giveBack(user) }
    }

    func take(_ user: UserID) -> Slot? {
        let taken = open.withLock { open in
            guard open[user, default: 0] < Self.perUser else { return false }
            open[user, default: 0] += 1
            return true
        }
        return taken ? Slot(self, user) : nil
    }

    /// Open streams of all users.
    var count: Int { open.withLock { $0.values.reduce(0, +) } }

    private func giveBack(_ user: UserID) {
        open.withLock { open in
            let left = (open[user] ?? 1) - 1
            open[user] = left > 0 ? left : nil
        }
    }
}
