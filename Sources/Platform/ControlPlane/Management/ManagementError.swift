import Foundation
import Platform

/// Why a management action did not happen. The doors (HTTP, gateway, CLI) map it to their own words in one place each;
/// every sentence here is for the caller and names nothing internal (SEC-113).
public enum ManagementError: Error, Sendable, Equatable {
    /// It does not exist, was deleted, or belongs to someone else: never told apart (SEC-14).
    case notFound
    case invalid([FieldProblem])
    case quotaExceeded(String)
    /// A thing of that name or type is there already.
    case alreadyExists(String)
    /// Something else uses it.
    case inUse(String)
    case invalidState(String)
    /// The caller's `If-Match` or `If-None-Match` does not hold; nothing was written.
    case preconditionFailed
    /// Well-formed, and refused by the vendor.
    case credentialsRejected(String)
    case upstreamFailed(String)
    case upstreamTimeout(String)
    case tooLarge(limit: Int)
    case rangeNotSatisfiable(size: Int)

    public static func invalid(_ field: String, _ message: String) -> ManagementError { .invalid([FieldProblem(field, message)]) }
}

/// Whom management tells after it changed something, so that caches, gateways and agents follow at once.
/// The default of each does nothing; the assembly fills in what a deployment has.
public struct ManagementNotices: Sendable {
    /// Created, changed, paused or deleted.
    public var botChanged: @Sendable (Bot) async -> Void = { _ in }
    /// Connected, changed or removed: sockets and pollers look again.
    public var channelChanged: @Sendable (BotID, ChannelType) async -> Void = { _, _ in }
    /// A conversation's name or trigger setting.
    public var groupChanged: @Sendable (SessionKey) async -> Void = { _ in }
    public var providerChanged: @Sendable (ProviderID) async -> Void = { _ in }
    public var userChanged: @Sendable (UserID) async -> Void = { _ in }
    /// The owner edited memory: of one conversation, or of the whole bot (nil), or of all bots of a user (both nil).
    public var memoryChanged: @Sendable (UserID, BotID?, GroupJID?) async -> Void = { _, _, _ in }
    /// A bot or user was deleted: its data may be due for purging.
    public var deletionBegan: @Sendable () async -> Void = {}
    public init() {}
}

/// Names that may exist once, written in the same transaction as their owner (table `uniques`).
public enum UniqueName {
    /// One channel of a type per bot.
    public static func channel(_ bot: BotID, _ type: ChannelType) -> RecordKey { key("channel", "\(bot.rawValue)/\(type.rawValue)") }
    /// A vendor's account serves one bot.
    public static func vendorAccount(_ type: ChannelType, _ accountId: String) -> RecordKey { key("account", "\(type.rawValue)/\(accountId)") }
    public static func provider(_ name: String) -> RecordKey { key("provider", name.lowercased()) }
    public static func proxyPrefix(_ user: UserID, _ prefix: String) -> RecordKey { key("proxy-prefix", "\(user.rawValue)\(prefix)") }
    private static func key(_ kind: String, _ value: String) -> RecordKey { RecordKey(Tables.uniques, "\(kind)/\(value)", "unique") }
}
