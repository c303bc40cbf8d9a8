import Foundation
import Logging
import Platform
import struct Platform.Table
import ServiceLifecycle

/// Deletes in the background what nobody can see any more: expired records, and deduplication ids out of their window.
/// Small batches through the group commit, so that nobody waits for it.
public struct ExpirySweeper: Service {
    let records: SQLiteRecordStore
    let tables: [Table]
    let queues: [SQLiteMessageQueue]
    let time: any TimeSource
    let logger: Logger
    private let interval = Duration.seconds(30)

    init(records: SQLiteRecordStore, tables: [Table], queues: [SQLiteMessageQueue], time: any TimeSource, logger: Logger) {
        self.records = records; self.tables = tables; self.queues = queues; self.time = time; self.logger = logger
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    while try await sweep(), !Task.isCancelled {}
                } catch { logger.warning("expired records could not be swept; trying again later", metadata: ["error": "\(error)"]) }
                try? await time.sleep(for: interval)
            }
        }
    }

    /// One batch of everything.
    /// - Returns: whether there may be more.
    func sweep() async throws -> Bool {
        var more = try await records.sweep(tables)
        for queue in queues where try await queue.sweep() { more = true }
        return more
    }
}
