import Foundation

public enum Plan: String, Codable, Sendable, CaseIterable { case free, pro, enterprise }

/// What a user may use; zero forbids.
public struct Quota: Codable, Sendable, Hashable {
    public var maxBots: Int
    public var maxGroupsPerBot: Int
    public var maxTasksPerBot: Int
    public var maxConcurrentAgents: Int
    public var maxMonthlyTokens: Int
    public init(maxBots: Int, maxGroupsPerBot: Int, maxTasksPerBot: Int, maxConcurrentAgents: Int, maxMonthlyTokens: Int) {
        self.maxBots = maxBots; self.maxGroupsPerBot = maxGroupsPerBot; self.maxTasksPerBot = maxTasksPerBot
        self.maxConcurrentAgents = maxConcurrentAgents; self.maxMonthlyTokens = maxMonthlyTokens
    }

    /// The defaults of API.md §3.10.
    public static func standard(_ plan: Plan) -> Quota {
        switch plan {
        case .free: Quota(maxBots: 2, maxGroupsPerBot: 5, maxTasksPerBot: 10, maxConcurrentAgents: 1, maxMonthlyTokens: 10_000_000)
        case .pro: Quota(maxBots: 10, maxGroupsPerBot: 20, maxTasksPerBot: 50, maxConcurrentAgents: 5, maxMonthlyTokens: 100_000_000)
        case .enterprise: Quota(maxBots: 50, maxGroupsPerBot: 100, maxTasksPerBot: 200, maxConcurrentAgents: 20, maxMonthlyTokens: 1_000_000_000)
        }
    }
}

/// A tenant. The record also carries the agent slots and the month's token count, so that quota and slot are one write
/// (`slots`, `usageMonth`, `usageTokens`, `usageInvocations`: only `QuotaLedger` touches them).
public struct User: Entity {
    public enum Status: String, Codable, Sendable { case active, suspended, deleted }
    /// The right to one running agent.
    public struct Slot: Codable, Sendable, Hashable {
        public var expiresAt: Date
        public var reserved: Int
        public var month: String
        public init(expiresAt: Date, reserved: Int, month: String) { self.expiresAt = expiresAt; self.reserved = reserved; self.month = month }
    }

    public var userId: UserID
    /// Constant, partitions `created-index`.
    public var kind = "user"
    public var email: String
    public var emailLower: String
    public var displayName: String
    public var plan: Plan
    public var status: Status
    public var quota: Quota
    public var groups: [String]
    public var passwordHash: String?
    public var mustChange: Bool
    /// Tokens issued before this instant are dead.
    public var tokensValidFrom: Date?
    public var usageMonth: String
    /// Tokens of `usageMonth`, reservations included.
    public var usageTokens: Int
    public var usageInvocations: Int
    public var slots: [String: Slot]
    public var botCount: Int
    /// Proxy rules; counted like bots, so that their limit holds under concurrent creates.
    public var proxyRuleCount: Int?
    public var revision: Int
    public var createdAt: Date
    public var lastLogin: Date?

    public init(userId: UserID, email: String, displayName: String? = nil, plan: Plan = .free, isAdmin: Bool = false, at now: Date) {
        self.userId = userId
        self.email = email.lowercased()
        emailLower = email.lowercased()
        self.displayName = displayName ?? String(email.prefix { $0 != "@" })
        self.plan = plan
        status = .active
        quota = .standard(plan)
        groups = isAdmin ? [Self.adminGroup] : []
        mustChange = false
        usageMonth = Timestamp.month(now)
        usageTokens = 0
        usageInvocations = 0
        slots = [:]
        botCount = 0
        revision = 0
        createdAt = now
    }

    public static let adminGroup = "clawbot-admins"
    public var isAdmin: Bool { groups.contains(Self.adminGroup) }
    public static let table = Tables.users
    public static func key(_ userId: UserID) -> RecordKey { RecordKey(table, userId.rawValue, "profile") }
    public var key: RecordKey { Self.key(userId) }
}
