import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Takes deliveries off the inbound queue, one at a time per conversation, and sees each through to its settlement.
///
/// A delivery stays unacknowledged, and is extended, for as long as its run lives: a crash anywhere brings it back.
public struct Dispatcher: Service {
    /// Conversations handled at once on this node; those that wait for a slot count too, running ones are limited by the compute.
    public static let room = 1_000
    static let visibility = Duration.seconds(60)
    static let extendEvery = Duration.seconds(20)

    let queue: any MessageQueue
    let driver: RunDriver
    let deadLetters: DeadLetterBook
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                let slots = Room(Self.room)
                while !Task.isCancelled {
                    do {
                        let free = await slots.waitForRoom()
                        guard free > 0 else { continue }
                        for delivery in try await queue.receive(max: min(10, free), wait: .seconds(20), visibility: Self.visibility) {
                            await slots.enter()
                            group.addTask {
                                await handle(delivery)
                                await slots.leave()
                            }
                        }
                    } catch is CancellationError {
                        break
                    } catch {
                        logger.error("inbound queue not readable", metadata: ["error": "\(error)"])
                        try? await time.sleep(for: .seconds(1))
                    }
                }
                group.cancelAll()
            }
        }
    }

    private func handle(_ delivery: QueueDelivery) async {
        let verdict = await QueueKeeper.keeping(delivery, on: queue, for: Self.visibility, every: Self.extendEvery, time: time, logger: logger) {
            try await see(delivery)
        }
        do {
            switch verdict {
            case .done: try await queue.acknowledge(delivery.receipt)
            case .again(let delay): try await queue.release(delivery.receipt, after: delay)
            case .lost: break
            }
        } catch MessageQueueError.staleReceipt {
            logger.debug("delivery was taken over")
        } catch {
            logger.warning("delivery not acknowledged; it will come back", metadata: ["error": "\(error)"])
        }
    }

    private func see(_ delivery: QueueDelivery) async throws {
        switch InboundPayload.read(delivery.body) {
        case .message(let payload): try await driver.message(payload, delivery: delivery)
        case .task(let payload): try await driver.task(payload, delivery: delivery)
        case nil:
            // A body that can never be read would block its conversation for twenty receives.
            try await deadLetters.bury(delivery, from: .inbound, kind: "unreadable", reason: "The message could not be read.")
        }
    }
}

extension InboundPayload {
    /// Reads a body by its type; nil for an unknown type or bad fields. Unknown fields are ignored (rolling upgrades).
    static func read(_ body: String) -> InboundPayload? {
        guard let value = try? JSON.value(Data(body.utf8)), let type = value["type"]?.string else { return nil }
        switch type {
        case "inbound_message": return (try? JSON.decode(InboundMessagePayload.self, from: body)).map(InboundPayload.message)
        case "scheduled_task": return (try? JSON.decode(ScheduledTaskPayload.self, from: body)).map(InboundPayload.task)
        default: return nil
        }
    }
}

/// Counts what is under way, so that no more is received than can be handled.
actor Room {
    private let size: Int
    private var used = 0
    private var waiting: CheckedContinuation<Void, Never>?
    init(_ size: Int) { self.size = size }
    func enter() { used += 1 }
    func leave() {
        used -= 1
        waiting?.resume()
        waiting = nil
    }
    /// How many may enter; waits while none may. 0 when cancelled.
    func waitForRoom() async -> Int {
        while used >= size && !Task.isCancelled {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    if Task.isCancelled { continuation.resume() } else { waiting = continuation }
                }
            } onCancel: {
                Task { await self.wake() }
            }
        }
        return Task.isCancelled ? 0 : size - used
    }
    private func wake() {
        waiting?.resume()
        waiting = nil
    }
}

/// Keeps a delivery in flight while its work goes on.
enum QueueKeeper {
    enum Verdict: Sendable { case done, again(after: Duration), lost }

    /// Runs `work` and extends the delivery meanwhile. An error or cancellation gives the delivery back; a lost one ends the work.
    static func keeping(
        _ delivery: QueueDelivery, on queue: any MessageQueue, for visibility: Duration, every interval: Duration, time: any TimeSource,
        logger: Logger, _ work: @escaping @Sendable () async throws -> Void
    ) async -> Verdict {
        await withTaskGroup(of: Verdict.self) { group in
            group.addTask {
                do {
                    try await work()
                    return .done
                } catch let pause as ReleaseDelivery {
                    return .again(after: pause.delay)
                } catch is CancellationError {
                    return .again(after: .zero)
                } catch {
                    // Seconds double with the receive count, at most a minute: a broken store is not hammered.
                    let delay = Duration.seconds(min(60, 1 << min(6, delivery.receiveCount)))
                    logger.error("delivery failed, will be tried again", metadata: ["error": "\(error)", "receives": "\(delivery.receiveCount)"])
                    return .again(after: delay)
                }
            }
            group.addTask {
                while true {
                    do {
                        try await time.sleep(for: interval)
                        try await queue.extend(delivery.receipt, by: visibility)
                    } catch MessageQueueError.staleReceipt {
                        return .lost
                    } catch is CancellationError {
                        return .lost
                    } catch {
                        logger.warning("delivery not extended", metadata: ["error": "\(error)"])
                    }
                }
            }
            let first = await group.next() ?? .lost
            group.cancelAll()
            return first
        }
    }
}

/// Thrown by work that wants its delivery back later.
struct ReleaseDelivery: Error { var delay: Duration }
