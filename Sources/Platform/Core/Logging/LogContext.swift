import Logging

/// The ids of what a task works on, in every line that is logged on the way: the request, the bot, the message, the run.
///
/// ```swift
/// try await LogContext.with(["botId": bot.rawValue]) { try await deliver(reply) }
/// ```
public enum LogContext {
    @TaskLocal private static var ids: [String: String] = [:]

    /// Runs `body` with further ids; nil ones are left out.
    public static func with<Result>(
        _ more: [String: String?], isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> Result
    ) async rethrows -> Result {
        try await $ids.withValue(ids.merging(more.compactMapValues { $0 }) { $1 }, operation: body)
    }

    public static let provider = Logger.MetadataProvider { ids.mapValues { .string($0) } }
}
