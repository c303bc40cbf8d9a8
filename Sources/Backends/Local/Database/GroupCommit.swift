import GRDB
import Synchronization

/// The one writer. Writes that arrive while a transaction commits are collected and make up the next one, so that
/// concurrent writers share an fsync and a lone one waits for nothing. Every write runs in a savepoint of its own:
/// it may fail alone, and its caller hears of success only after the commit that carries it.
///
/// A caller's cancellation does not reach a write that was handed in: it is carried out and its result returned.
final class GroupCommit: Sendable {
    /// Writes of one transaction. Bounds what one failed commit takes with it and how long a commit may grow.
    static let batchLimit = 512

    private struct State {
        var pending: [any PendingWrite] = []
        var draining = false
        var closed = false
        var transactions = 0
    }
    private let state = Mutex(State())
    private let pool: DatabasePool

    init(pool: DatabasePool) { self.pool = pool }

    /// - Parameter committed: called on the writer's queue right after the commit, in commit order, before the caller resumes.
    func write<T: Sendable>(committed: (@Sendable (T) -> Void)?, _ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        try await withCheckedThrowingContinuation { continuation in
            enqueue(QueuedWrite(body: body, committed: committed, continuation: continuation))
        }
    }

    private func enqueue(_ write: any PendingWrite) {
        let (refused, starts) = state.withLock { state in
            guard !state.closed else { return (true, false) }
            state.pending.append(write)
            defer { state.draining = true }
            return (false, !state.draining)
        }
        if refused { return write.finish(LocalDatabaseError.closed) }
        if starts { pool.asyncWriteWithoutTransaction { db in self.drain(db) } }
    }

    /// Refuses further writes; those handed in are still carried out.
    func close() { state.withLock { $0.closed = true } }

    /// Writes that wait for the next transaction, and transactions so far.
    var pending: Int { state.withLock { $0.pending.count } }
    var transactions: Int { state.withLock { $0.transactions } }

    private func drain(_ db: Database) {
        while true {
            let batch = state.withLock { state -> [any PendingWrite] in
                if state.pending.isEmpty {
                    state.draining = false
                    return []
                }
                state.transactions += 1
                if state.pending.count <= Self.batchLimit {
                    defer { state.pending = [] }
                    return state.pending
                }
                defer { state.pending.removeFirst(Self.batchLimit) }
                return Array(state.pending.prefix(Self.batchLimit))
            }
            if batch.isEmpty { return }
            commit(batch, db)
        }
    }

    private func commit(_ batch: [any PendingWrite], _ db: Database) {
        var failure: (any Error)?
        do {
            try db.cachedStatement(sql: "BEGIN IMMEDIATE").execute()
            for write in batch { try write.run(db) }
            try db.cachedStatement(sql: "COMMIT").execute()
        } catch {
            failure = error
            // Some failures (disk full, I/O) have rolled back already.
            if db.isInsideTransaction { try? db.cachedStatement(sql: "ROLLBACK").execute() }
        }
        for write in batch { write.finish(failure) }
    }
}

private protocol PendingWrite: Sendable {
    /// Carries the write out in its savepoint. Throws only when the whole transaction is lost.
    func run(_ db: Database) throws
    /// Tells the caller; `failure` is that of the transaction.
    func finish(_ failure: (any Error)?)
}

/// `@unchecked Sendable`: `result` is touched by `run` and `finish` only, both called on the pool's serial writer queue
/// (or `finish` alone, when the write was refused before anyone else knew it).
private final class QueuedWrite<T: Sendable>: PendingWrite, @unchecked Sendable {
    private let body: @Sendable (Database) throws -> T
    private let committed: (@Sendable (T) -> Void)?
    private let continuation: CheckedContinuation<T, any Error>
    private var result: Result<T, any Error>?

    init(body: @escaping @Sendable (Database) throws -> T, committed: (@Sendable (T) -> Void)?, continuation: CheckedContinuation<T, any Error>) {
        self.body = body
        self.committed = committed
        self.continuation = continuation
    }

    func run(_ db: Database) throws {
        try db.run("SAVEPOINT item")
        do {
            result = .success(try body(db))
            try db.run("RELEASE item")
        } catch {
            result = .failure(error)
            guard db.isInsideTransaction else { throw error }
            try db.run("ROLLBACK TO item")
            try db.run("RELEASE item")
        }
    }

    func finish(_ failure: (any Error)?) {
        switch (result, failure) {
        case (_, let failure?): continuation.resume(throwing: failure)
        case (.success(let value)?, nil):
            committed?(value)
            continuation.resume(returning: value)
        case (.failure(let error)?, nil): continuation.resume(throwing: error)
        case (nil, nil): continuation.resume(throwing: LocalDatabaseError.failed("a write was not carried out"))
        }
    }
}
