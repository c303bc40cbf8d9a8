import Foundation
import Platform
import Synchronization

/// Counts the tokens of one run and holds its limits: a model call starts only within what is reserved for it, and
/// concurrent calls can not exceed together.
///
/// In memory: after a restart of the control plane it continues from the record's checkpoint.
public actor RunMeter {
    /// Why a call may not start or go on.
    public enum Refusal: Error, Sendable, Equatable {
        /// The month's tokens of the tenant.
        case quota(resetsAt: Date)
        /// `maxRunTokens` of the bot.
        case run(limit: Int)
        /// Other calls of this run hold what is left: wait for them.
        case busy
        /// The ledger could not be asked.
        case unavailable
    }

    /// What one open call may use, and what it has used so far.
    final class Ticket: Sendable {
        let id: UInt64
        private let used = Mutex(TokenUsage())
        init(id: UInt64) { self.id = id }
        var usage: TokenUsage {
            get { used.withLock { $0 } }
            set { used.withLock { $0 = newValue } }
        }
    }

    /// Top-ups are made in blocks of this many tokens, so that the ledger is not asked for every call.
    static let block = 100_000

    private let userId: UserID
    private let slot: String
    private let maxRunTokens: Int?
    private let quota: any TokenQuota
    private var granted: Int?
    private var booked: TokenUsage
    private var open: [UInt64: (ticket: Ticket, amount: Int)] = [:]
    private var nextTicket: UInt64 = 0

    public init(userId: UserID, slot: String, maxRunTokens: Int?, usage: TokenUsage, quota: any TokenQuota) {
        self.userId = userId; self.slot = slot; self.maxRunTokens = maxRunTokens; self.quota = quota
        booked = usage
    }

    /// Tokens used so far, those of open calls included.
    public var usage: TokenUsage { open.values.reduce(booked) { $0 + $1.ticket.usage } }

    /// Reserves for a call. Near a limit the call gets what is left, if that is at least `minimum`: it is cut where that ends.
    /// - Returns: the ticket and how many tokens it may use.
    func reserve(_ wanted: Int, minimum: Int) async throws(Refusal) -> (ticket: Ticket, amount: Int) {
        let amount = try await fit(wanted, minimum: minimum, besides: nil)
        nextTicket += 1
        let ticket = Ticket(id: nextTicket)
        open[ticket.id] = (ticket, amount)
        return (ticket, amount)
    }

    /// Raises (or lowers) what an open call may use to `wanted`, or to what is left, if that is at least `minimum`.
    func resize(_ ticket: Ticket, to wanted: Int, minimum: Int) async throws(Refusal) -> Int {
        let amount = try await fit(wanted, minimum: minimum, besides: ticket.id)
        guard open[ticket.id] != nil else { return 0 }
        open[ticket.id] = (ticket, amount)
        return amount
    }

    /// Ends a call and books it. Ending twice is harmless.
    func settle(_ ticket: Ticket, _ usage: TokenUsage) {
        guard open.removeValue(forKey: ticket.id) != nil else { return }
        booked = booked + usage
    }

    /// The largest amount up to `wanted` that fits beside everything else. Between its last suspension and its return nothing
    /// else runs on this actor, so that the caller's write of it is one step with the check.
    private func fit(_ wanted: Int, minimum: Int, besides own: UInt64?) async throws(Refusal) -> Int {
        if granted == nil {
            let known: Int
            do { known = try await quota.granted(userId, slot: slot) } catch { throw .unavailable }
            if granted == nil { granted = known }
        }
        while true {
            let others = open.values.reduce(0) { $1.ticket.id == own ? $0 : $0 + $1.amount }
            let taken = booked.counted + others
            var amount = wanted
            if let maxRunTokens, taken + amount > maxRunTokens {
                amount = maxRunTokens - taken
                if amount < minimum { throw others > 0 ? .busy : .run(limit: maxRunTokens) }
            }
            let missing = taken + amount - (granted ?? 0)
            if missing <= 0 { return amount }
            do {
                let blocks = (missing + Self.block - 1) / Self.block
                granted = try await quota.topUp(userId, slot: slot, by: blocks * Self.block) + (granted ?? 0)
            } catch {
                // The state may have moved while the ledger was asked: take what is left now.
                let others = open.values.reduce(0) { $1.ticket.id == own ? $0 : $0 + $1.amount }
                let left = min(amount, (granted ?? 0) - booked.counted - others)
                if left >= minimum, left > 0 { return left }
                throw others > 0 ? .busy : .quota(resetsAt: error.resetsAt)
            }
        }
    }
}
