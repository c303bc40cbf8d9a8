import Foundation
import Platform

/// What a user's bots used in a month, as the gateway metered it.
public struct UsageReport: Sendable {
    public struct Share: Sendable, Hashable {
        public var tokens = 0
        public var invocations = 0
        public init() {}
    }
    public var month: String
    public var total = TokenUsage()
    public var invocations = 0
    public var bots: [String: Share] = [:]
    public var models: [String: Int] = [:]
    public var days: [String: Share] = [:]

    /// Sums the day rows of `month` (`yyyy-MM`).
    public static func load(_ user: UserID, month: String, from records: any RecordStore) async throws -> UsageReport {
        var report = UsageReport(month: month)
        var query = RecordQuery(Tables.usage, partition: user.rawValue, sort: .prefix(month + "-"), limit: 500)
        repeat {
            let page = try await records.query(query)
            for record in page.records { report.add(record) }
            query.cursor = page.cursor
        } while query.cursor != nil
        return report
    }

    private mutating func add(_ record: StoredRecord) {
        let parts = record.key.sort.split(separator: "#", maxSplits: 2).map(String.init)
        guard parts.count == 3 else { return }
        var usage = TokenUsage()
        usage.inputTokens = record.document["inputTokens"]?.int ?? 0
        usage.outputTokens = record.document["outputTokens"]?.int ?? 0
        usage.cacheReadTokens = record.document["cacheReadTokens"]?.int ?? 0
        usage.cacheWriteTokens = record.document["cacheWriteTokens"]?.int ?? 0
        let runs = record.document["invocations"]?.int ?? 0
        total = total + usage
        invocations += runs
        days[parts[0], default: Share()].tokens += usage.counted
        days[parts[0], default: Share()].invocations += runs
        bots[parts[1], default: Share()].tokens += usage.counted
        bots[parts[1], default: Share()].invocations += runs
        models[parts[2], default: 0] += usage.counted
    }
}
