import Foundation

/// The right to do something alone: held by one owner until it expires, with a number that only grows.
public struct Lease: Sendable, Hashable {
    public var name: String
    public var owner: String
    /// Larger for every new holder: a write done under the lease carries it as a condition, so that a late holder's fails.
    public var fencing: Int
    public var expiresAt: Date

    public static func key(_ name: String) -> RecordKey { RecordKey(Tables.leases, name, "lease") }

    /// Holds only while this lease is the current one: for a transaction's `check`.
    public var condition: Condition {
        .and([.equals("owner", .value(.string(owner))), .equals("fencing", .value(.int(fencing)))])
    }
    public var check: RecordWrite { .check(Self.key(name), if: condition) }
}

/// Leases over a record store (AWS.md §3.5).
public struct LeaseStore: Sendable {
    private let records: any RecordStore
    private let time: any TimeSource
    /// The record outlives its lease, so that the fencing number lives on.
    private static let afterlife: TimeInterval = 86_400

    public init(records: any RecordStore, time: any TimeSource = SystemTime()) { self.records = records; self.time = time }

    /// Takes the lease when it is free, expired or already this owner's; nil while another holds it.
    public func acquire(_ name: String, owner: String, for duration: Duration = .seconds(30)) async throws -> Lease? {
        let now = time.now()
        let key = Lease.key(name)
        let current = try await records.get(key)
        var lease = Lease(name: name, owner: owner, fencing: 0, expiresAt: now + duration.seconds)
        let unchanged: Condition
        if let document = current?.document, let holder = document["owner"]?.string, let fencing = document["fencing"]?.int {
            let expiresAt = document["expiresAt"]?.string ?? ""
            guard holder == owner || expiresAt < Timestamp.text(now) else { return nil }
            lease.fencing = fencing + 1
            unchanged = .and([
                .equals("owner", .value(.string(holder))), .equals("fencing", .value(.int(fencing))),
                .equals("expiresAt", .value(.string(expiresAt))),
            ])
        } else {
            // After a day without a holder the old number is gone: the clock is larger than any count of holders.
            lease.fencing = Int(now.timeIntervalSince1970 * 1000)
            unchanged = .recordAbsent
        }
        do {
            try await records.put(
                key,
                ["owner": .string(owner), "fencing": .int(lease.fencing), "expiresAt": .string(Timestamp.text(lease.expiresAt))],
                expiresAt: lease.expiresAt + Self.afterlife, if: unchanged)
            return lease
        } catch RecordStoreError.conditionFailed { return nil }
    }

    /// Holds on to it for `duration` from now; nil when it is no longer this holder's.
    public func renew(_ lease: Lease, for duration: Duration = .seconds(30)) async throws -> Lease? {
        var renewed = lease
        renewed.expiresAt = time.now() + duration.seconds
        do {
            try await records.update(
                Lease.key(lease.name), [.set("expiresAt", .string(Timestamp.text(renewed.expiresAt)))],
                expiresAt: renewed.expiresAt + Self.afterlife, if: lease.condition)
            return renewed
        } catch RecordStoreError.conditionFailed { return nil }
    }

    /// Gives it up, if it is still held: another may take it at once. The number stays.
    public func release(_ lease: Lease) async throws {
        let now = time.now()
        do {
            try await records.update(
                Lease.key(lease.name),
                [.set("owner", ""), .set("expiresAt", .string(Timestamp.text(Date(timeIntervalSince1970: 0))))],
                expiresAt: now + Self.afterlife,
                if: lease.condition)
        } catch RecordStoreError.conditionFailed {}
    }

    /// Runs `body` while holding the lease, again and again, until the body returns or throws by itself or the task is cancelled.
    ///
    /// The body is cancelled when the lease could not be renewed until `margin` before its end, or was lost; it must end
    /// soon then, and the lease is sought again. Without the lease it tries every `retryEvery`.
    /// - Parameter body: gets the lease's fencing number.
    public func withLease(
        _ name: String, owner: String, for duration: Duration = .seconds(30), renewEvery: Duration = .seconds(10),
        retryEvery: Duration = .seconds(10),
        margin: Duration = .seconds(5), _ body: @escaping @Sendable (_ lease: Lease) async throws -> Void
    ) async throws {
        while true {
            try Task.checkCancellation()
            // A store that is away is no reason to give up: nobody else gets the lease meanwhile.
            guard let lease = try? await acquire(name, owner: owner, for: duration) else {
                try await time.sleep(for: retryEvery)
                continue
            }
            let ended: Ended
            do {
                ended = try await hold(lease, duration, renewEvery, margin, body)
            } catch {
                await giveUp(lease)
                throw error
            }
            await giveUp(lease)
            if ended == .byItself { return }
        }
    }

    private enum Ended: Sendable { case byItself, lost }

    private func hold(
        _ lease: Lease, _ duration: Duration, _ renewEvery: Duration, _ margin: Duration,
        _ body: @escaping @Sendable (Lease) async throws -> Void
    ) async throws -> Ended {
        try await withThrowingTaskGroup(of: Ended.self) { group in
            group.addTask {
                try await body(lease)
                return .byItself
            }
            group.addTask {
                try await keep(lease, duration, renewEvery, margin)
                return .lost
            }
            guard let first = try await group.next() else { return .lost }
            group.cancelAll()
            if first == .lost {
                // The body's own way of ending by cancellation says nothing.
                while let result = await group.nextResult() {
                    if case .success(.byItself) = result, !Task.isCancelled { return .byItself }
                }
                try Task.checkCancellation()
            }
            return first
        }
    }

    /// Renews until the lease is lost or about to be; throws when cancelled.
    private func keep(_ lease: Lease, _ duration: Duration, _ renewEvery: Duration, _ margin: Duration) async throws {
        var held = lease
        while true {
            let end = held.expiresAt - margin.seconds
            try await time.sleep(until: min(end, time.now() + renewEvery.seconds))
            if time.now() >= end { return }
            do {
                guard let renewed = try await renewInTime(held, duration, end) else { return }
                held = renewed
            } catch is CancellationError { throw CancellationError() } catch { continue }
        }
    }

    /// A renewal that hangs must not outlive the lease.
    private func renewInTime(_ lease: Lease, _ duration: Duration, _ end: Date) async throws -> Lease? {
        try await withThrowingTaskGroup(of: Lease?.self) { group in
            group.addTask { try await renew(lease, for: duration) }
            group.addTask {
                try await time.sleep(until: end)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
    }

    /// Also when this task is cancelled already.
    private func giveUp(_ lease: Lease) async { await Task { try? await release(lease) }.value }
}
