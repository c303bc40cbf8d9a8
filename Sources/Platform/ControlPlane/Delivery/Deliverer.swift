import Foundation
import Logging
import Platform
import ServiceLifecycle

/// Takes replies off the reply queue, in order per conversation, and brings each to its channel.
public struct Deliverer: Service {
    static let visibility = Duration.seconds(60)
    let queue: any MessageQueue
    let delivery: Delivery
    let deadLetters: DeadLetterBook
    let time: any TimeSource
    let logger: Logger

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                let slots = Room(Dispatcher.room)
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
                        logger.error("reply queue not readable", metadata: ["error": "\(error)"])
                        try? await time.sleep(for: .seconds(1))
                    }
                }
                group.cancelAll()
            }
        }
    }

    private func handle(_ item: QueueDelivery) async {
        let verdict = await QueueKeeper.keeping(item, on: queue, for: Self.visibility, every: .seconds(20), time: time, logger: logger) {
            guard let reply = try? JSON.decode(ReplyPayload.self, from: item.body) else {
                try await deadLetters.bury(item, from: .replies, kind: "unreadable", reason: "The reply could not be read.")
                return
            }
            try await delivery.deliver(reply, item)
        }
        do {
            switch verdict {
            case .done: try await queue.acknowledge(item.receipt)
            case .again(let delay): try await queue.release(item.receipt, after: delay)
            case .lost: break
            }
        } catch MessageQueueError.staleReceipt {
            logger.debug("reply was taken over")
        } catch {
            logger.warning("reply not acknowledged; it will come back", metadata: ["error": "\(error)"])
        }
    }
}
