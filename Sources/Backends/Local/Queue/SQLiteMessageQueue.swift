import Foundation
import GRDB
import Platform
import Synchronization

/// A message queue in the embedded database. Waiting receivers are woken by the send itself; the only timer is that of
/// the next delivery to come back. Sends, receives and acknowledgements share the database's group commit.
public final class SQLiteMessageQueue: MessageQueue {
    public let name: String
    public var deadLetters: (any MessageQueue)? { dead }
    private let dead: SQLiteMessageQueue?
    private let database: LocalDatabase
    private let time: any TimeSource
    private let line: WaitingLine
    private let numbers: Mutex<Numbers>
    let tables: QueueTables

    /// The last used message id and turn; they only grow while the process lives (it is the only writer).
    private struct Numbers { var message: Int64; var turn: Int64 }

    /// Opens (or makes) the queue and its dead-letter queue `{name}_dead`. As the database's lock proves that every
    /// earlier process is dead, what those had received becomes visible again at once, its receive count kept.
    /// - Parameter name: `[a-z][a-z0-9_]*`
    /// - Throws: ``MessageQueueError/unavailable(_:)``
    public static func open(_ database: LocalDatabase, name: String, time: any TimeSource = SystemTime()) async throws -> SQLiteMessageQueue {
        precondition(name.wholeMatch(of: /[a-z][a-z0-9_]*/) != nil, "a queue is named [a-z][a-z0-9_]*")
        let dead = try await SQLiteMessageQueue(database, name: name + "_dead", dead: nil, time: time)
        return try await SQLiteMessageQueue(database, name: name, dead: dead, time: time)
    }

    private init(_ database: LocalDatabase, name: String, dead: SQLiteMessageQueue?, time: any TimeSource) async throws {
        self.database = database
        self.name = name
        self.dead = dead
        self.time = time
        let tables = QueueTables(name: name)
        self.tables = tables
        line = WaitingLine(time: time)
        do {
            numbers = Mutex(try await database.write { db in
                try tables.create(db)
                try db.run(tables.recover)
                return Numbers(
                    message: try db.first(tables.lastMessage) { $0.int(0) } ?? 0,
                    turn: try db.first(tables.lastTurn) { $0.int(0) } ?? 0)
            })
        } catch { throw Self.translated(error, database) }
    }

    public func send(_ body: String, group: String, deduplicationID: String) async throws {
        guard body.utf8.count <= QueueLimits.maxBodyBytes else { throw MessageQueueError.tooLarge }
        let now = milliseconds(time.now())
        try await write { rings in if rings { self.line.ring() } } _: { db in
            let fresh = try db.run(self.tables.insertSeen, .text(deduplicationID), .int(now), .int(now - Int64(QueueLimits.deduplicationWindow.milliseconds)))
            guard fresh > 0 else { return false }
            return try self.insert(db, body: body, group: group, deduplicationID: deduplicationID, sent: now)
        }
    }

    public func receive(max: Int, wait: Duration, visibility: Duration) async throws -> [QueueDelivery] {
        let deadline = time.now() + wait.seconds
        while true {
            let version = line.version
            if Task.isCancelled { return leave() }
            let taken = try await take(Swift.max(1, max), visibility: visibility)
            if !taken.isEmpty { return taken }
            if Task.isCancelled || time.now() >= deadline { return leave() }
            await line.wait(since: version, until: deadline)
        }
    }

    public func acknowledge(_ receipt: QueueReceipt) async throws {
        try await write { rings in if rings { self.line.ring() } } _: { db in
            guard let held = try self.held(db, receipt, goneIsFine: true) else { return false }
            return try self.finishHead(db, group: held.group, message: held.message)
        }
    }

    public func extend(_ receipt: QueueReceipt, by duration: Duration) async throws {
        try await write { until in self.line.expect(at: self.date(until)) } _: { db in
            guard let held = try self.held(db, receipt) else { throw MessageQueueError.staleReceipt }
            let until = min(self.milliseconds(self.time.now()) + Int64(duration.milliseconds), held.since + Int64(QueueLimits.maxInFlight.milliseconds))
            try db.run(self.tables.extend, .int(held.group), .int(until))
            return until
        }
    }

    public func release(_ receipt: QueueReceipt, after delay: Duration) async throws {
        try await write { (until: Int64?) in if let until { self.line.expect(at: self.date(until)) } else { self.line.ring() } } _: { db in
            guard let held = try self.held(db, receipt) else { throw MessageQueueError.staleReceipt }
            guard delay > .zero else {
                try db.run(self.tables.requeue, .int(held.group), .int(self.nextTurn()))
                return nil
            }
            let until = self.milliseconds(self.time.now()) + Int64(delay.milliseconds)
            try db.run(self.tables.delay, .int(held.group), .int(until))
            return until
        }
    }

    public func depth() async throws -> QueueDepth {
        do {
            let now = milliseconds(time.now())
            return try await database.read { [tables, name] db in
                let all = Int(try db.first(tables.depth, .text(name)) { $0.int(0) } ?? 0)
                let out = Int(try db.first(tables.inFlight, .int(now)) { $0.int(0) } ?? 0)
                let oldest = try db.first(tables.oldest) { Date(timeIntervalSince1970: Double($0.int(0)) / 1000) }
                return QueueDepth(waiting: Swift.max(0, all - out), inFlight: out, oldest: oldest)
            }
        } catch { throw Self.translated(error, database) }
    }

    /// Forgets deduplication ids that are out of their window, a batch at a time.
    /// - Returns: whether there may be more.
    func sweep(limit: Int = 500) async throws -> Bool {
        let edge = milliseconds(time.now()) - Int64(QueueLimits.deduplicationWindow.milliseconds)
        return try await database.write { [tables] db in try db.run(tables.deleteSeen, .int(edge), .int(limit)) == limit }
    }

    /// How many receivers wait, for tests.
    var waitingReceivers: Int { line.count }
}

// MARK: - Inside a transaction

extension SQLiteMessageQueue {
    private struct Held { var group: Int64; var message: Int64; var since: Int64 }
    private struct Taken: Sendable { var deliveries: [QueueDelivery] = []; var nextReturn: Int64?; var died = 0 }

    /// - Returns: whether a receiver can take it now, that is, whether its group was empty.
    private func insert(_ db: Database, body: String, group: String, deduplicationID: String, sent: Int64) throws -> Bool {
        let id = numbers.withLock { $0.message += 1; return $0.message }
        let known = try db.first(tables.findGroup, .text(group)) { $0.int(0) }
        if known == nil { try db.run(tables.insertGroup, .text(group), .int(id), .int(nextTurn())) }
        try db.run(tables.insertMessage, .int(id), .int(known ?? db.lastRowID), .text(deduplicationID), .int(sent), .text(body))
        try db.run(tables.count, .int(1), .text(name))
        return known == nil
    }

    private func take(_ max: Int, visibility: Duration) async throws -> [QueueDelivery] {
        let taken = try await write { (taken: Taken) in
            if taken.deliveries.isEmpty { self.line.setAlarm(taken.nextReturn.map(self.date)) } else if let next = taken.nextReturn { self.line.expect(at: self.date(next)) }
            self.dead?.line.ring(taken.died)
        } _: { db in
            let now = self.milliseconds(self.time.now())
            let until = now + Swift.max(1, Int64(visibility.milliseconds))
            var taken = Taken()
            while taken.deliveries.count < max {
                // What came back has waited longest; then the line.
                let heads = try self.heads(db, now: now, limit: max - taken.deliveries.count)
                if heads.isEmpty { break }
                for head in heads {
                    if let dead = self.dead, head.receives >= QueueLimits.maxReceives {
                        try self.bury(db, head, in: dead)
                        taken.died += 1
                        continue
                    }
                    let token = Int64.random(in: 1...Int64.max)
                    try db.run(self.tables.take, .int(head.group), .int(until), .int(now), .int(token))
                    let delivery = try db.first(self.tables.body, .int(head.message)) { row in
                        QueueDelivery(
                            body: row.text(0), group: head.name, deduplicationID: row.text(1),
                            receipt: QueueReceipt("\(head.group).\(head.message).\(token)"), receiveCount: head.receives + 1, sentAt: self.date(row.int(2)))
                    }
                    guard let delivery else { throw LocalDatabaseError.corrupt(path: self.database.file.path, detail: "queue \(self.name) lacks message \(head.message)") }
                    taken.deliveries.append(delivery)
                }
            }
            taken.nextReturn = try db.first(self.tables.nextReturn) { $0.int(0) }
            return taken
        }
        return taken.deliveries
    }

    private struct Head { var group: Int64; var message: Int64; var receives: Int; var name: String }

    private func heads(_ db: Database, now: Int64, limit: Int) throws -> [Head] {
        var heads: [Head] = []
        func read(_ row: SQLRow) -> Bool {
            heads.append(Head(group: row.int(0), message: row.int(1), receives: Int(row.int(2)), name: row.text(3)))
            return true
        }
        try db.each(tables.due, [.int(now), .int(limit)], read)
        if heads.count < limit { try db.each(tables.inLine, [.int(limit - heads.count)], read) }
        return heads
    }

    /// Moves a message that was received too often to the dead-letter queue.
    private func bury(_ db: Database, _ head: Head, in dead: SQLiteMessageQueue) throws {
        let message = try db.first(tables.body, .int(head.message)) { ($0.text(0), $0.text(1), $0.int(2)) }
        if let (body, deduplicationID, sent) = message {
            _ = try dead.insert(db, body: body, group: head.name, deduplicationID: deduplicationID, sent: sent)
        }
        _ = try finishHead(db, group: head.group, message: head.message)
    }

    /// Removes the head and lets the group's next message join the line.
    /// - Returns: whether there is one.
    private func finishHead(_ db: Database, group: Int64, message: Int64) throws -> Bool {
        try db.run(tables.deleteMessage, .int(message))
        try db.run(tables.count, .int(-1), .text(name))
        guard let next = try db.first(tables.nextInGroup, .int(group), read: { $0.int(0) }) else {
            try db.run(tables.deleteGroup, .int(group))
            return false
        }
        try db.run(tables.advance, .int(group), .int(next), .int(nextTurn()))
        return true
    }

    /// The delivery that the receipt names, unless its message was received again.
    /// - Parameter goneIsFine: answer nil for a message that was acknowledged already.
    private func held(_ db: Database, _ receipt: QueueReceipt, goneIsFine: Bool = false) throws -> Held? {
        let parts = receipt.rawValue.split(separator: ".").compactMap { Int64($0) }
        guard parts.count == 3, parts[2] > 0 else { throw MessageQueueError.staleReceipt }
        let held = try db.first(tables.group, .int(parts[0])) { row in
            row.int(0) == parts[1] && row.int(1) == parts[2] ? Held(group: parts[0], message: parts[1], since: row.int(2)) : nil
        }
        if let held = held ?? nil { return held }
        if goneIsFine, (1...numbers.withLock { $0.message }).contains(parts[1]), try db.first(tables.body, .int(parts[1]), read: { _ in true }) == nil { return nil }
        throw MessageQueueError.staleReceipt
    }

    private func nextTurn() -> Int64 { numbers.withLock { $0.turn += 1; return $0.turn } }
    /// A receiver that leaves empty-handed may have been rung: it passes that on.
    private func leave() -> [QueueDelivery] {
        if Task.isCancelled { line.ring() }
        return []
    }
    private func milliseconds(_ date: Date) -> Int64 { Int64((date.timeIntervalSince1970 * 1000).rounded(.down)) }
    private func date(_ milliseconds: Int64) -> Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }

    @discardableResult
    private func write<T: Sendable>(_ committed: @escaping @Sendable (T) -> Void, _ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
        do { return try await database.write(committed: committed, body) } catch { throw Self.translated(error, database) }
    }
    private static func translated(_ error: any Error, _ database: LocalDatabase) -> any Error {
        switch LocalDatabaseError.from(error, path: database.file.path) {
        case let error as LocalDatabaseError: MessageQueueError.unavailable(error.description)
        case let error: error
        }
    }
}
