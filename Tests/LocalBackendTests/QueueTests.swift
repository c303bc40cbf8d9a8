import Foundation
import Pace
import Platform
import Testing

@testable import LocalBackend

@Suite("SQLite queue", .paced)
struct QueueTests {
    private func open(_ scratch: Scratch, _ time: any TimeSource = SystemTime()) async throws -> (LocalDatabase, SQLiteMessageQueue) {
        let database = try LocalDatabase(directory: scratch["data"])
        return (database, try await SQLiteMessageQueue.open(database, name: "inbound", time: time))
    }

    @Test("no statement that runs per message scans or sorts, with statistics or without")
    func plans() async throws {
        let scratch = Scratch()
        let (database, queue) = try await open(scratch)
        for sql in queue.tables.hot where !sql.hasPrefix("INSERT") {
            let places = max(sql.filter { $0 == "?" }.count, 0)
            let plan = try await database.read { db in
                var lines: [String] = []
                try db.each("EXPLAIN QUERY PLAN " + sql, Array(repeating: .int(1), count: sql.contains("?1") ? 0 : places)) { lines.append($0.text(3)); return true }
                return lines
            }
            for line in plan {
                #expect(!line.contains("TEMP B-TREE"), "\(sql): \(line)")
                // Reading an index or the rowid from one end with LIMIT 1… is a scan in SQLite's words; nothing else may be one.
                let isOrdered = line.hasPrefix("SCAN") && sql.contains("LIMIT") && (line.contains("_line") || line.contains("_out") || sql.contains("ORDER BY id LIMIT 1"))
                #expect(line.hasPrefix("SEARCH") || line.hasPrefix("LIST SUBQUERY") || line.hasPrefix("USING") || isOrdered, "\(sql): \(line)")
            }
        }
        withExtendedLifetime(scratch) {}
    }

    @Test("receiving costs the same with a backlog of 30,000 in 10,000 groups as with none")
    func backlog() async throws {
        let scratch = Scratch()
        let (database, queue) = try await open(scratch)
        // SQLite counts the steps of its virtual machine: a cost without a clock.
        func steps(_ body: () async throws -> Void) async throws -> Int64 {
            let before = try await database.write { db in try db.vmSteps() }
            try await body()
            return try await database.write { db in try db.vmSteps() } - before
        }
        func roundTrip(_ id: String) async throws {
            try await queue.send("x", group: "g-\(id)", deduplicationID: id)
            let delivery = try #require(try await queue.receive(max: 1, wait: .zero, visibility: .seconds(60)).first)
            try await queue.acknowledge(delivery.receipt)
        }
        try await roundTrip("warm")
        let empty = try await steps { for n in 0..<20 { try await roundTrip("e\(n)") } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<64 {
                group.addTask { for n in stride(from: worker, to: 30_000, by: 64) { try await queue.send("backlog", group: "g\(n % 10_000)", deduplicationID: "b\(n)") } }
            }
            try await group.waitForAll()
        }
        #expect(try await queue.depth().waiting == 30_000)
        let full = try await steps { for n in 0..<20 { try await roundTrip("f\(n)") } }
        #expect(Double(full) < Double(empty) * 1.5 + 500, "\(empty) steps without, \(full) with a backlog")
        withExtendedLifetime(scratch) {}
    }

    @Test("a burst longer than the receive limit of one group raises no receive count")
    func burst() async throws {
        let scratch = Scratch()
        let (_, queue) = try await open(scratch)
        for n in 0..<50 { try await queue.send("\(n)", group: "one", deduplicationID: "\(n)") }
        for n in 0..<50 {
            let delivery = try #require(try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60)).first)
            #expect(delivery.body == "\(n)" && delivery.receiveCount == 1)
            try await queue.acknowledge(delivery.receipt)
        }
        withExtendedLifetime(scratch) {}
    }

    @Test("extending goes no further than twelve hours after the receive")
    func longest() async throws {
        let scratch = Scratch(), time = ManualTime()
        let (_, queue) = try await open(scratch, time)
        try await queue.send("x", group: "g", deduplicationID: "1")
        let delivery = try #require(try await queue.receive(max: 1, wait: .zero, visibility: .seconds(60)).first)
        try await queue.extend(delivery.receipt, by: .seconds(100 * 3600))
        time.advance(by: .seconds(12 * 3600 - 1))
        #expect(try await queue.receive(max: 1, wait: .zero, visibility: .seconds(60)).isEmpty)
        time.advance(by: .seconds(2))
        #expect(try await queue.receive(max: 1, wait: .zero, visibility: .seconds(60)).first?.receiveCount == 2)
        withExtendedLifetime(scratch) {}
    }

    @Test("a waiting receiver touches the database only when there is work")
    func idle() async throws {
        let scratch = Scratch(), time = ManualTime()
        let (database, queue) = try await open(scratch, time)
        let receivers = (0..<4).map { _ in Task { try await queue.receive(max: 1, wait: .seconds(20), visibility: .seconds(60)) } }
        try await eventually { queue.waitingReceivers == 4 }
        let before = database.transactions
        try await queue.send("x", group: "g", deduplicationID: "1")
        try await eventually { try await queue.depth().inFlight == 1 && queue.waitingReceivers == 3 }
        // The send, one receive; the new visibility time makes the others look once more, and no oftener.
        #expect(database.transactions - before <= 5)
        for receiver in receivers { receiver.cancel() }
        var bodies: [String] = []
        for receiver in receivers { bodies += try await receiver.value.map(\.body) }
        #expect(bodies == ["x"])
        withExtendedLifetime(scratch) {}
    }

    @Test("a waiting receiver wakes for what was received by another with a shorter time")
    func alarm() async throws {
        let scratch = Scratch(), time = ManualTime()
        let (_, queue) = try await open(scratch, time)
        let waiter = Task { try await queue.receive(max: 1, wait: .seconds(1000), visibility: .seconds(60)) }
        try await eventually { queue.waitingReceivers == 1 }
        try await queue.send("x", group: "g", deduplicationID: "1")
        let first = try #require(try await waiter.value.first)
        let second = Task { try await queue.receive(max: 1, wait: .seconds(1000), visibility: .seconds(60)) }
        try await eventually { queue.waitingReceivers == 1 }
        try await queue.release(first.receipt, after: .seconds(5))
        try await eventually { queue.waitingReceivers == 1 && time.sleepers == 1 }
        time.advance(by: .seconds(6))
        #expect(try await second.value.first?.receiveCount == 2)
        withExtendedLifetime(scratch) {}
    }

    @Test("old deduplication ids are swept")
    func sweep() async throws {
        let scratch = Scratch(), time = ManualTime()
        let (database, queue) = try await open(scratch, time)
        for n in 0..<10 { try await queue.send("x", group: "g", deduplicationID: "\(n)") }
        time.advance(by: .seconds(301))
        #expect(try await queue.sweep(limit: 6))
        #expect(try await queue.sweep(limit: 6) == false)
        #expect(try await database.read { db in try db.first("SELECT count(*) FROM queue_inbound_seen") { $0.int(0) } } == 0)
        withExtendedLifetime(scratch) {}
    }

    @Test("a message with NUL and every kind of text arrives whole")
    func text() async throws {
        let scratch = Scratch()
        let (_, queue) = try await open(scratch)
        try await queue.send("a\u{0}b", group: "g\u{0}1", deduplicationID: "x\u{0}y")
        try await queue.send("other", group: "g\u{0}2", deduplicationID: "x\u{0}z")
        #expect(try await queue.receive(max: 5, wait: .zero, visibility: .seconds(60)).map(\.body) == ["a\u{0}b", "other"])
        withExtendedLifetime(scratch) {}
    }
}
