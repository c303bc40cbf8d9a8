import Foundation
import Platform

/// The tenant's token quota as the gateway uses it: tokens are reserved in its ledger before a model sees them (SEC-107).
public protocol TokenQuota: Sendable {
    /// Tokens reserved for the slot since it was taken, top-ups included and what the run has used meanwhile not subtracted:
    /// so many may the slot's run use in all.
    func granted(_ userId: UserID, slot: String) async throws -> Int
    /// Reserves more for the slot. Returns how many were added: up to `tokens`, at least one.
    func topUp(_ userId: UserID, slot: String, by tokens: Int) async throws(QuotaExceeded) -> Int
}

/// The month's tokens are used up or reserved.
public struct QuotaExceeded: Error, Sendable, Hashable {
    public var resetsAt: Date
    public init(resetsAt: Date) { self.resetsAt = resetsAt }
}
