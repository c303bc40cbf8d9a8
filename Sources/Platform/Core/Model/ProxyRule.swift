import Foundation

/// A third-party API that a user's agents may call through the gateway, which adds the secret. The value itself lies in the secret
/// store under ``secretName(stage:_:_:)``. Fields and limits: API.md §3.8.
public struct ProxyRule: Entity {
    public enum Authentication: String, Codable, Sendable, CaseIterable { case bearer, apiKey = "api-key", basic }

    public var userId: UserID
    public var ruleId: String
    public var name: String
    /// `/github`: unique per user.
    public var prefix: String
    /// An https URL; vetted again at every connection.
    public var target: String
    public var authType: Authentication
    /// Of `api-key` only.
    public var headerName: String?
    public var hasValue: Bool
    public var revision: Int
    public var createdAt: Date
    public var updatedAt: Date

    public init(
        userId: UserID, ruleId: String, name: String, prefix: String, target: String, authType: Authentication, headerName: String? = nil, at now: Date
    ) {
        self.userId = userId; self.ruleId = ruleId; self.name = name; self.prefix = prefix; self.target = target
        self.authType = authType; self.headerName = headerName
        hasValue = true
        revision = 0
        createdAt = now; updatedAt = now
    }

    public static let table = Tables.proxyRules
    public static func key(_ user: UserID, _ id: String) -> RecordKey { RecordKey(table, user.rawValue, id) }
    public var key: RecordKey { Self.key(userId, ruleId) }
    public static func secretName(stage: String, _ user: UserID, _ id: String) -> SecretName { SecretName("\(stage)/\(user.rawValue)/proxy-rules/\(id)") }
}
