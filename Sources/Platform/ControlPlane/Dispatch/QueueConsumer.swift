import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Receives from a queue and keeps each delivery in flight while its work goes on, then acknowledges it or gives it back.
/// A crash anywhere brings an unacknowledged delivery back.
struct QueueConsumer: Sendable {
    /// Three extensions fit into one visibility time, so that a slow store does not lose a delivery at once.
    private static let visibility = Duration.seconds(60)
    private static let extendEvery = Duration.seconds(20)

    let queue: any MessageQueue
    /// For the log.
    let name: String
    /// Deliveries handled at once.
    let room: Int
    let time: any TimeSource
    let logger: Logger

    /// Until cancelled or asked to shut down. `work` that throws gets its delivery again, later; ``ReleaseDelivery`` says when.
    func run(_ work: @escaping @Sendable (QueueDelivery) async throws -> Void) async {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                let slots = Room(room)
                while !Task.isCancelled {
                    do {
                        let free = await slots.waitForRoom()
                        guard free > 0 else { continue }
                        for delivery in try await queue.receive(max: min(10, free), wait: .seconds(20), visibility: Self.visibility) {
                            await slots.enter()
                            group.addTask {
                                await handle(delivery, work)
                                await slots.leave()
                            }
                        }
                    } catch is CancellationError {
                        break
                    } catch {
                        logger.error("\(name) queue not readable", metadata: ["error": "\(error)"])
                        try? await time.sleep(for: .seconds(1))
                    }
                }
                group.cancelAll()
            }
        }
    }

    private func handle(_ delivery: QueueDelivery, _ work: @escaping @Sendable (QueueDelivery) async throws -> Void) async {
        let verdict = await QueueKeeper.keeping(
            delivery, on: queue, for: Self.visibility, every: Self.extendEvery, time: time, logger: logger
        ) { try await work(delivery) }
        do {
            switch verdict {
            case .done: try await queue.acknowledge(delivery.receipt)
            case .again(let delay): try await queue.release(delivery.receipt, after: delay)
            case .lost: break
            }
        } catch MessageQueueError.staleReceipt {
            logger.debug("delivery was taken over", metadata: ["queue": "\(name)"])
        } catch {
            logger.warning("delivery not acknowledged; it will come back", metadata: ["queue": "\(name)", "error": "\(error)"])
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
