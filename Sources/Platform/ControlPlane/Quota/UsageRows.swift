import Foundation
import Platform

/// The usage table: a row per day, bot and model, and a row per month (API.md §3.2 `/api/usage`).
/// Keyed by UTC day and month, so that a roll-over needs no job (SEC-109).
public enum UsageRows {
    public static let retention = Duration.seconds(400 * 86_400)

    /// The sum of a user's month (`yyyy-MM`).
    public static func month(_ month: String, of user: UserID) -> RecordKey { RecordKey(Tables.usage, user.rawValue, month) }
    /// What such a row counts; nothing where there is none.
    public static func total(_ record: StoredRecord?) -> (tokens: Int, invocations: Int) {
        func number(_ name: String) -> Int { record?.document[name]?.int ?? 0 }
        return (number("inputTokens") + number("outputTokens") + number("cacheWriteTokens"), number("invocations"))
    }

    /// The writes that book one run, for the settlement's transaction.
    static func booking(_ usage: TokenUsage, user: UserID, bot: BotID, model: String, at now: Date) -> [RecordWrite] {
        let changes: [Change] = [
            .add("inputTokens", usage.inputTokens), .add("outputTokens", usage.outputTokens),
            .add("cacheReadTokens", usage.cacheReadTokens), .add("cacheWriteTokens", usage.cacheWriteTokens), .add("invocations", 1),
        ]
        let expiry = now + retention.seconds
        return ["\(Timestamp.day(now))#\(bot.rawValue)#\(model)", Timestamp.month(now)].map { sort in
            .update(RecordKey(Tables.usage, user.rawValue, sort), changes, orCreate: true, expiresAt: expiry)
        }
    }
}
