import Foundation
import Platform

/// A fresh, empty queue with a dead-letter queue.
public struct MessageQueueHarness: Sendable {
    public let queue: any MessageQueue
    public let time: ManualTime
    /// Opens the same queue again as a new process would; what the old one held in flight is given back.
    public let reopen: (@Sendable () async throws -> any MessageQueue)?
    public init(queue: any MessageQueue, time: ManualTime, reopen: (@Sendable () async throws -> any MessageQueue)? = nil) {
        self.queue = queue; self.time = time; self.reopen = reopen
    }
}

public enum MessageQueuePromises {
    public static let all: [Promise<MessageQueueHarness>] =
        basics + order + visibility + deduplication + deadLetters + waiting + load
    /// For backends that persist.
    public static let afterRestart: [Promise<MessageQueueHarness>] = [
        promise("a restart gives back what the dead process held, in order, counts raised") { queue, harness in
            try await send(queue, "a", "1", "2")
            try await send(queue, "b", "3")
            let held = try await queue.receive(max: 10, wait: .zero, visibility: .seconds(3600))
            try expect(held.map(\.body).sorted(), is: ["1", "3"])
            let again = try await present(harness.reopen, "a harness with reopen")()
            let back = try await again.receive(max: 10, wait: .zero, visibility: .seconds(60))
            try expect(back.map(\.body).sorted(), is: ["1", "3"])
            try expect(Set(back.map(\.receiveCount)), is: [2])
            for delivery in back { try await again.acknowledge(delivery.receipt) }
            try expect(try await again.receive(max: 10, wait: .zero, visibility: .seconds(60)).map(\.body), is: ["2"])
        },
        promise("what was acknowledged before a restart stays away, ids stay remembered, receipts stay good") { queue, harness in
            try await send(queue, "a", "1", "2")
            try await queue.acknowledge(present(await one(queue), "1").receipt)
            let held = try present(await one(queue), "2")
            let again = try await present(harness.reopen, "a harness with reopen")()
            try await again.acknowledge(held.receipt)
            try await send(again, "a", "1")
            try expect(try await one(again)?.body, is: nil)
        },
    ]

    static let basics: [Promise<MessageQueueHarness>] = [
        promise("a message arrives as it was sent") { queue, harness in
            let body = "{\"text\":\"é😀\\n\u{7}\"}"
            let sent = harness.time.now()
            try await queue.send(body, group: "bot#tg:-1/ü", deduplicationID: "id-1")
            let delivery = try present(await one(queue), "the message")
            try expect(delivery.body, is: body)
            try expect(delivery.group, is: "bot#tg:-1/ü")
            try expect(delivery.deduplicationID, is: "id-1")
            try expect(delivery.receiveCount, is: 1)
            try expect(abs(delivery.sentAt.timeIntervalSince(sent)) < 1, "sentAt is the time of sending", seen: delivery.sentAt)
        },
        promise("an acknowledged message never comes back, and acknowledging again is harmless") { queue, harness in
            try await send(queue, "a", "1")
            let delivery = try present(await one(queue), "the message")
            try await queue.acknowledge(delivery.receipt)
            try await queue.acknowledge(delivery.receipt)
            harness.time.advance(by: .seconds(100_000))
            try expect(try await one(queue)?.body, is: nil)
        },
        promise("256 KiB are accepted, one byte more is refused") { queue, _ in
            try await queue.send(String(repeating: "x", count: 256 * 1024), group: "a", deduplicationID: "1")
            try await expectThrow("tooLarge", { if case .tooLarge = $0 as? MessageQueueError { true } else { false } }) {
                try await queue.send(String(repeating: "é", count: 128 * 1024) + "x", group: "a", deduplicationID: "2")
            }
            try expect(try await one(queue)?.body.utf8.count, is: 256 * 1024)
        },
        promise("max is never exceeded, nothing there gives nothing") { queue, _ in
            try expect(try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60)).count, is: 0)
            for group in 0..<5 { try await send(queue, "g\(group)", "m\(group)") }
            try expect(try await queue.receive(max: 3, wait: .zero, visibility: .seconds(60)).count, is: 3)
            try expect(try await queue.receive(max: 3, wait: .zero, visibility: .seconds(60)).count, is: 2)
        },
        promise("depth counts what waits and what is in flight") { queue, harness in
            try expect(try await queue.depth(), is: QueueDepth(waiting: 0, inFlight: 0, oldest: nil))
            let start = harness.time.now()
            try await send(queue, "a", "1", "2")
            try await send(queue, "b", "3")
            _ = try await queue.receive(max: 1, wait: .zero, visibility: .seconds(60))
            let depth = try await queue.depth()
            try expect([depth.waiting, depth.inFlight], is: [2, 1])
            try expect(try abs(present(depth.oldest, "oldest").timeIntervalSince(start)) < 1, "oldest is the first sending")
        },
    ]

    static let order: [Promise<MessageQueueHarness>] = [
        promise("within a group strictly in order, one in flight") { queue, _ in
            try await send(queue, "a", "1", "2", "3")
            for expected in ["1", "2", "3"] {
                let delivery = try present(await one(queue), expected)
                try expect(delivery.body, is: expected)
                try expect(
                    try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60)).count, is: 0, "second in flight")
                try await queue.acknowledge(delivery.receipt)
            }
        },
        promise("one receive hands out at most one message of a group") { queue, _ in
            try await send(queue, "a", "a1", "a2")
            try await send(queue, "b", "b1", "b2")
            try expect(
                try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60)).map(\.body).sorted(), is: ["a1", "b1"])
        },
        promise("a blocked group does not block others") { queue, _ in
            try await send(queue, "a", "a1")
            _ = try await one(queue)
            try await send(queue, "a", "a2")
            try await send(queue, "b", "b1")
            try expect(try await one(queue)?.body, is: "b1")
        },
        promise("a redelivered message comes before its followers") { queue, harness in
            try await send(queue, "a", "1", "2")
            _ = try await one(queue, visibility: .seconds(30))
            harness.time.advance(by: .seconds(31))
            let again = try present(await one(queue), "1 again")
            try expect(again.body, is: "1")
            try expect(again.receiveCount, is: 2)
        },
        promise("older groups are not starved by busy ones") { queue, _ in
            for number in 0..<20 { try await send(queue, "g\(number)", "m\(number)") }
            var seen: [String] = []
            for _ in 0..<20 {
                let delivery = try present(await one(queue), "a message")
                seen.append(delivery.body)
                try await queue.acknowledge(delivery.receipt)
                try await queue.send("late", group: delivery.group, deduplicationID: "late-\(delivery.body)")
            }
            try expect(Set(seen).count, is: 20, "different messages")
        },
    ]

    static let visibility: [Promise<MessageQueueHarness>] = [
        promise("an unacknowledged message comes back after its visibility time, not before") { queue, harness in
            try await send(queue, "a", "1")
            _ = try await one(queue, visibility: .seconds(30))
            harness.time.advance(by: .seconds(29))
            try expect(try await one(queue)?.body, is: nil)
            harness.time.advance(by: .seconds(2))
            try expect(try await one(queue)?.receiveCount, is: 2)
        },
        promise("extend counts from now") { queue, harness in
            try await send(queue, "a", "1")
            let delivery = try present(await one(queue, visibility: .seconds(30)), "the message")
            harness.time.advance(by: .seconds(20))
            try await queue.extend(delivery.receipt, by: .seconds(100))
            harness.time.advance(by: .seconds(99))
            try expect(try await one(queue)?.body, is: nil)
            try await queue.extend(delivery.receipt, by: .seconds(10))
            harness.time.advance(by: .seconds(11))
            try expect(try await one(queue)?.receiveCount, is: 2)
        },
        promise("release gives back after its delay and keeps the place in the group") { queue, harness in
            try await send(queue, "a", "1", "2")
            try await queue.release(present(await one(queue), "1").receipt, after: .seconds(10))
            try expect(try await one(queue)?.body, is: nil)
            harness.time.advance(by: .seconds(11))
            let delivery = try present(await one(queue), "1 again")
            try expect(delivery.body, is: "1")
            try expect(delivery.receiveCount, is: 2)
            try await queue.release(delivery.receipt, after: .zero)
            try expect(try await one(queue)?.receiveCount, is: 3)
        },
        promise("a receipt is good until the message was received again, then it is stale") { queue, harness in
            try await send(queue, "a", "1", "2")
            let first = try present(await one(queue, visibility: .seconds(30)), "1")
            harness.time.advance(by: .seconds(31))
            try await queue.extend(first.receipt, by: .seconds(5))
            harness.time.advance(by: .seconds(6))
            let second = try present(await one(queue, visibility: .seconds(30)), "1 again")
            for change in [
                queue.acknowledge, { try await queue.extend($0, by: .seconds(1)) }, { try await queue.release($0, after: .zero) },
            ] {
                try await expectStale { try await change(first.receipt) }
            }
            try expect(try await one(queue)?.body, is: nil, "the message stays with its second receiver")
            try await queue.acknowledge(second.receipt)
            try expect(try await one(queue)?.body, is: "2")
        },
        promise("acknowledging late, before another receive, still ends the message") { queue, harness in
            try await send(queue, "a", "1")
            let delivery = try present(await one(queue, visibility: .seconds(30)), "1")
            harness.time.advance(by: .seconds(31))
            try await queue.acknowledge(delivery.receipt)
            try expect(try await one(queue)?.body, is: nil)
        },
        promise("extending or releasing what is gone, or by a made-up receipt, is stale") { queue, _ in
            try await send(queue, "a", "1")
            let delivery = try present(await one(queue), "1")
            try await queue.acknowledge(delivery.receipt)
            try await expectStale { try await queue.extend(delivery.receipt, by: .seconds(1)) }
            try await expectStale { try await queue.release(delivery.receipt, after: .zero) }
            try await expectStale { try await queue.acknowledge(QueueReceipt("made-up")) }
            try await expectStale { try await queue.extend(QueueReceipt(""), by: .seconds(1)) }
        },
    ]

    static let deduplication: [Promise<MessageQueueHarness>] = [
        promise("a duplicate id is accepted and dropped for five minutes, also after the message is gone") { queue, harness in
            try await send(queue, "a", "1")
            try await send(queue, "a", "1")
            try await queue.acknowledge(present(await one(queue), "1").receipt)
            harness.time.advance(by: .seconds(295))
            try await send(queue, "a", "1")
            try expect(try await one(queue)?.body, is: nil)
            harness.time.advance(by: .seconds(10))
            try await send(queue, "a", "1")
            try expect(try await one(queue)?.body, is: "1")
        },
        promise("ids are unique over all groups") { queue, _ in
            try await queue.send("first", group: "a", deduplicationID: "x")
            try await queue.send("second", group: "b", deduplicationID: "x")
            try expect(try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60)).map(\.body), is: ["first"])
        },
        promise("the same body under another id is another message") { queue, _ in
            try await queue.send("same", group: "a", deduplicationID: "x")
            try await queue.send("same", group: "b", deduplicationID: "y")
            try expect(try await queue.receive(max: 10, wait: .zero, visibility: .seconds(60)).count, is: 2)
        },
        promise("of many concurrent sends of one id one is kept") { queue, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<30 { group.addTask { try await queue.send("m", group: "g\(number)", deduplicationID: "one") } }
                try await group.waitForAll()
            }
            try expect(try await queue.receive(max: 50, wait: .zero, visibility: .seconds(60)).count, is: 1)
        },
    ]

    static let deadLetters: [Promise<MessageQueueHarness>] = [
        promise("after 20 receives a message moves to the dead-letter queue, and its group goes on") { queue, _ in
            let dead = try present(queue.deadLetters, "a dead-letter queue")
            try await queue.send("poison", group: "a", deduplicationID: "p-1")
            try await queue.send("next", group: "a", deduplicationID: "n-1")
            for count in 1...20 {
                let delivery = try present(await one(queue), "receive \(count)")
                try expect(delivery.body, is: "poison")
                try expect(delivery.receiveCount, is: count)
                try await queue.release(delivery.receipt, after: .zero)
            }
            try expect(try await one(queue)?.body, is: "next")
            let corpse = try present(await one(dead), "the message in the dead-letter queue")
            try expect(corpse.body, is: "poison")
            try expect(corpse.group, is: "a")
            try expect(corpse.deduplicationID, is: "p-1")
            try expect(corpse.receiveCount, is: 1)
            try await dead.acknowledge(corpse.receipt)
            try expect(try await one(dead)?.body, is: nil)
        },
        promise("a dead-letter queue has none of its own and keeps what is received often") { queue, _ in
            let dead = try present(queue.deadLetters, "a dead-letter queue")
            try expect(dead.deadLetters == nil, "no dead-letter queue of a dead-letter queue")
            try await dead.send("m", group: "a", deduplicationID: "1")
            for count in 1...30 { try await dead.release(present(await one(dead), "receive \(count)").receipt, after: .zero) }
            try expect(try await one(dead)?.receiveCount, is: 31)
        },
        promise("a message sent again from the dead-letter queue is received afresh") { queue, harness in
            let dead = try present(queue.deadLetters, "a dead-letter queue")
            try await queue.send("m", group: "a", deduplicationID: "1")
            for _ in 1...20 { try await queue.release(present(await one(queue), "m").receipt, after: .zero) }
            try expect(try await one(queue)?.body, is: nil)
            let corpse = try present(await one(dead), "the dead message")
            harness.time.advance(by: .seconds(301))
            try await queue.send(corpse.body, group: corpse.group, deduplicationID: corpse.deduplicationID)
            try expect(try await one(queue)?.receiveCount, is: 1)
        },
    ]

    static let waiting: [Promise<MessageQueueHarness>] = [
        promise("a waiting receiver wakes on send, without the clock moving") { queue, harness in
            let arrived = try await withThrowingTaskGroup(of: [QueueDelivery].self) { group in
                group.addTask {
                    try await promptly("a delivery") {
                        try await queue.receive(max: 10, wait: .seconds(3600), visibility: .seconds(60))
                    }
                }
                try await asleep(harness.time)
                try await send(queue, "a", "1")
                return try await present(group.next(), "deliveries")
            }
            try expect(arrived.map(\.body), is: ["1"])
        },
        promise("a waiting receiver wakes when an acknowledgement frees its group") { queue, harness in
            try await send(queue, "a", "1", "2")
            let first = try present(await one(queue), "1")
            let arrived = try await withThrowingTaskGroup(of: [QueueDelivery].self) { group in
                group.addTask {
                    try await promptly("a delivery") {
                        try await queue.receive(max: 10, wait: .seconds(3600), visibility: .seconds(60))
                    }
                }
                try await asleep(harness.time)
                try await queue.acknowledge(first.receipt)
                return try await present(group.next(), "deliveries")
            }
            try expect(arrived.map(\.body), is: ["2"])
        },
        promise("a waiting receiver gets what becomes visible again") { queue, harness in
            try await send(queue, "a", "1")
            let held = try present(await one(queue, visibility: .seconds(30)), "1")
            let start = harness.time.now()
            let arrived = try await promptly("a delivery") {
                try await advancing(harness.time, by: .seconds(1)) {
                    try await queue.receive(max: 1, wait: .seconds(600), visibility: .seconds(60))
                }
            }
            try expect(arrived.map(\.body), is: [held.body])
            let waited = harness.time.now().timeIntervalSince(start)
            try expect(waited >= 30 && waited < 500, "received some 30 s later", seen: waited)
        },
        promise("a wait ends with nothing when its time is over") { queue, harness in
            let arrived = try await promptly("an end of the wait") {
                try await advancing(harness.time, by: .seconds(1)) {
                    try await queue.receive(max: 1, wait: .seconds(5), visibility: .seconds(60))
                }
            }
            try expect(arrived.count, is: 0)
        },
        promise("a cancelled wait ends at once and loses nothing") { queue, harness in
            let waiter = Task { try await queue.receive(max: 1, wait: .seconds(3600), visibility: .seconds(3600)) }
            try await asleep(harness.time)
            waiter.cancel()
            let result = await promptlyResult { await waiter.result }
            if case .success(let deliveries)? = result {
                try expect(deliveries.count, is: 0)
            } else if result == nil {
                throw PromiseBroken(
                    expected: "an end of the cancelled wait", seen: "nothing within 20 s", line: #line, file: #fileID)
            }
            try await send(queue, "a", "1")
            try expect(try await one(queue)?.body, is: "1")
        },
        promise("every one of many waiting receivers is served") { queue, _ in
            let bodies = try await promptly("all deliveries") {
                try await withThrowingTaskGroup(of: [String].self) { group in
                    for _ in 0..<20 {
                        group.addTask {
                            try await queue.receive(max: 1, wait: .seconds(3600), visibility: .seconds(60)).map(\.body)
                        }
                    }
                    for number in 0..<20 { try await queue.send("m\(number)", group: "g\(number)", deduplicationID: "\(number)") }
                    return try await group.reduce(into: [String]()) { $0 += $1 }
                }
            }
            try expect(bodies.sorted(), is: (0..<20).map { "m\($0)" }.sorted())
        },
    ]

    static let load: [Promise<MessageQueueHarness>] = [
        promise("1000 messages over 50 groups reach 8 consumers in order, each once") { queue, _ in
            let log = DeliveryLog()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        while await log.count < 1000 {
                            try Task.checkCancellation()
                            let deliveries = try await queue.receive(max: 10, wait: .zero, visibility: .seconds(3600))
                            if deliveries.isEmpty { try await Task.sleep(for: .milliseconds(1)) }
                            for delivery in deliveries {
                                await log.add(delivery)
                                try await queue.acknowledge(delivery.receipt)
                            }
                        }
                    }
                }
                for sender in 0..<5 {
                    group.addTask {
                        for number in 0..<20 {
                            for g in stride(from: sender, to: 50, by: 5) {
                                try await queue.send("\(number)", group: "g\(g)", deduplicationID: "\(g)/\(number)")
                            }
                        }
                    }
                }
                group.addTask {
                    try await eventually("1000 deliveries") { await log.count >= 1000 }
                }
                try await group.waitForAll()
            }
            let groups = await log.groups
            try expect(groups.count, is: 50)
            for (group, bodies) in groups { try expect(bodies, is: (0..<20).map { "\($0)" }, "order in \(group)") }
            try expect(try await queue.depth(), is: QueueDepth(waiting: 0, inFlight: 0, oldest: nil))
        }
    ]

    // MARK: -

    private actor DeliveryLog {
        var groups: [String: [String]] = [:]
        var count = 0
        func add(_ delivery: QueueDelivery) { groups[delivery.group, default: []].append(delivery.body); count += 1 }
    }

    private static func promptlyResult<T: Sendable>(_ body: @escaping @Sendable () async -> T) async -> T? {
        try? await promptly("an end") { await body() }
    }

    static func promise(_ name: String, _ check: @escaping @Sendable (any MessageQueue, MessageQueueHarness) async throws -> Void)
        -> Promise<MessageQueueHarness>
    {
        Promise(name) { try await check($0.queue, $0) }
    }
    /// Sends bodies whose deduplication ids are themselves.
    static func send(_ queue: any MessageQueue, _ group: String, _ bodies: String...) async throws {
        for body in bodies { try await queue.send(body, group: group, deduplicationID: body) }
    }
    static func one(_ queue: any MessageQueue, visibility: Duration = .seconds(600)) async throws -> QueueDelivery? {
        try await queue.receive(max: 1, wait: .zero, visibility: visibility).first
    }
    static func expectStale(file: String = #fileID, line: Int = #line, _ body: () async throws -> Void) async throws {
        try await expectThrow(
            "staleReceipt", file: file, line: line, { if case .staleReceipt = $0 as? MessageQueueError { true } else { false } },
            body)
    }
}
