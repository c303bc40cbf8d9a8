import Foundation
import Platform

/// A user's proxy rules: third-party APIs that agents call through the gateway, which adds the secret (API.md §3.8).
public struct ProxyRuleService: Sendable {
    public static let maximum = 50
    private let records: any RecordStore
    private let secrets: any SecretStore
    private let egress: EgressGuard
    private let stage: String
    private let time: any TimeSource

    public init(records: any RecordStore, secrets: any SecretStore, egress: EgressGuard, stage: String, time: any TimeSource = SystemTime()) {
        self.records = records; self.secrets = secrets; self.egress = egress; self.stage = stage; self.time = time
    }

    /// By prefix; at most ``maximum``.
    public func list(_ user: UserID) async throws -> [ProxyRule] {
        try await records.all(ProxyRule.self, RecordQuery(Tables.proxyRules, partition: user.rawValue, limit: 100)).sorted { $0.prefix < $1.prefix }
    }

    public func get(_ user: UserID, _ id: String) async throws -> ProxyRule {
        guard ULID.isWellFormed(id), let rule = try await records.get(ProxyRule.self, ProxyRule.key(user, id)) else { throw ManagementError.notFound }
        return rule
    }

    /// From validated fields of RuleBody, the value apart. Secret first: a rule that is there finds its secret.
    public func create(_ user: UserID, _ fields: Document, value: Secret, by: By) async throws -> ProxyRule {
        let now = time.now()
        let blank = ProxyRule(userId: user, ruleId: ULID.make(at: now), name: "", prefix: "", target: "", authType: .bearer, at: now)
        let rule = try await merged(fields, into: blank)
        try await secrets.put(secretName(rule), value)
        do {
            try await AuditTrail(records: records).transact(
                [
                    .put(UniqueName.proxyPrefix(user, rule.prefix), ["ruleId": .string(rule.ruleId)], if: .recordAbsent),
                    .update(User.key(user), [.add("proxyRuleCount", 1)], if: .or([.absent("proxyRuleCount"), .lessThan("proxyRuleCount", .value(.int(Self.maximum)))])),
                    try rule.putting(if: .recordAbsent),
                ], by.entry("proxy-rule.created", trail: user, target: rule.ruleId, at: now))
        } catch {
            try await secrets.delete(secretName(rule))
            switch error {
            case RecordStoreError.conditionFailed(index: 0, _): throw Self.prefixTaken
            case RecordStoreError.conditionFailed(index: 1, _): throw ManagementError.quotaExceeded("At most \(Self.maximum) proxy rules. Delete one first.")
            default: throw error
            }
        }
        return rule
    }

    /// Merges. A stored secret never follows a new target or header: without a value that is refused (SEC-50).
    public func update(_ old: ProxyRule, _ fields: Document, value: Secret?, by: By) async throws -> ProxyRule {
        var rule = try await merged(fields, into: old)
        if value == nil, rule.target != old.target || rule.headerName != old.headerName {
            throw ManagementError.invalid("value", "Send the value again when the target or the header changes.")
        }
        rule.updatedAt = time.now()
        rule.revision += 1
        var writes = [try rule.putting(if: .equals("revision", .value(.int(old.revision))))]
        if rule.prefix != old.prefix {
            writes.append(.delete(UniqueName.proxyPrefix(old.userId, old.prefix)))
            writes.append(.put(UniqueName.proxyPrefix(old.userId, rule.prefix), ["ruleId": .string(rule.ruleId)], if: .recordAbsent))
        }
        let kept = value == nil ? nil : try await secrets.get(secretName(old))
        if let value { try await secrets.put(secretName(old), value) }
        do {
            try await AuditTrail(records: records).transact(
                writes, by.entry(value == nil ? "proxy-rule.changed" : "proxy-rule.credentials-changed", trail: old.userId, target: old.ruleId, at: rule.updatedAt))
        } catch {
            if let kept { try await secrets.put(secretName(old), kept) }
            guard case RecordStoreError.conditionFailed(let index, let current) = error else { throw error }
            if index == 2 { throw Self.prefixTaken }
            throw current == nil ? ManagementError.notFound : .invalidState("The rule is being changed by someone else. Please try again.")
        }
        return rule
    }

    public func delete(_ rule: ProxyRule, by: By) async throws {
        do {
            try await AuditTrail(records: records).transact(
                [
                    .delete(rule.key, if: .recordExists), .delete(UniqueName.proxyPrefix(rule.userId, rule.prefix)),
                    .update(User.key(rule.userId), [.add("proxyRuleCount", -1)], if: .greaterThan("proxyRuleCount", 0)),
                ], by.entry("proxy-rule.deleted", trail: rule.userId, target: rule.ruleId, at: time.now()))
        } catch RecordStoreError.conditionFailed { throw ManagementError.notFound }
        try await secrets.delete(secretName(rule))
    }

    private static let prefixTaken = ManagementError.alreadyExists("You have a rule with that prefix already.")
    private func secretName(_ rule: ProxyRule) -> SecretName { ProxyRule.secretName(stage: stage, rule.userId, rule.ruleId) }

    private func merged(_ fields: Document, into rule: ProxyRule) async throws -> ProxyRule {
        var rule = rule
        var errors: [FieldProblem] = []
        if let name = fields["name"]?.string { rule.name = name }
        if let prefix = fields["prefix"]?.string { rule.prefix = prefix }
        if let type = fields["authType"]?.string.flatMap(ProxyRule.Authentication.init) {
            // A header of `api-key` goes with it.
            if rule.authType == .apiKey && type != .apiKey && fields["headerName"] == nil { rule.headerName = nil }
            rule.authType = type
        }
        if let header = fields["headerName"] { rule.headerName = header.string }
        if (rule.authType == .apiKey) != (rule.headerName != nil) {
            errors.append(FieldProblem("headerName", rule.authType == .apiKey ? "api-key needs the header's name." : "Only for api-key."))
        }
        if let target = fields["target"]?.string {
            if let wrong = await refusal(of: target) { errors.append(FieldProblem("target", wrong)) } else { rule.target = target }
        }
        if !errors.isEmpty { throw ManagementError.invalid(errors) }
        return rule
    }

    private func refusal(of target: String) async -> String? {
        // Over http only where the guard says so: to what the operator allowed by name.
        guard let url = WebAddress(target), !url.hasQuery else { return "Must be an absolute https URL without user, query and fragment." }
        do throws(EgressGuard.Refusal) { _ = try await egress.vet(url, for: .proxyRule) } catch {
            // A name that cannot be asked for just now is not wrong for that: each connection asks again.
            if error != .unresolved { return EgressGuard.Refusal.sentence }
        }
        return nil
    }
}
