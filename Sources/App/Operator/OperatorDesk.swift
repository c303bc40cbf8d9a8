import Foundation
import Identity
import Platform

/// What an operator at the machine orders about accounts (`clawbot admin user …`), as it travels over the operator socket.
struct OperatorOrder: Codable, Sendable {
    enum Action: String, Codable, Sendable {
        case add, list, show, suspend, activate, delete, unlock
        case resetPassword = "reset-password"
        case resetSecondFactor = "reset-totp"
        case setAdmin = "set-admin"
        case setPlan = "set-plan"
    }
    var action: Action
    /// E-mail address or id.
    var user: String?
    var displayName: String?
    var plan: Plan?
    var isAdmin: Bool?
    init(_ action: Action, user: String? = nil, displayName: String? = nil, plan: Plan? = nil, isAdmin: Bool? = nil) {
        self.action = action; self.user = user; self.displayName = displayName; self.plan = plan; self.isAdmin = isAdmin
    }
}

struct OperatorReport: Codable, Sendable {
    struct Account: Codable, Sendable {
        var userId: String
        var email: String
        var displayName: String
        var plan: Plan
        var status: User.Status
        var isAdmin: Bool
        var secondFactor: Bool
        var botCount: Int
        var createdAt: Date
        var lastLogin: Date?
        /// Failed log-ins closed the door until then.
        var lockedUntil: Date?
    }
    var users: [Account] = []
    /// Shown once; only ever on its way to the operator's terminal.
    var temporaryPassword: String?
    /// A sentence: why nothing was done.
    var refusal: String?
}

struct OperatorRefusal: Error, CustomStringConvertible {
    var description: String
    init(_ sentence: String) { description = sentence }
}

/// Carries out orders, in the running server or on the data of one that is stopped.
struct OperatorDesk: Sendable {
    static let actor = UserID("operator")
    let accounts: Accounts
    /// The separate issuer that keeps the accounts, if any.
    var remote: String?
    var changed: @Sendable (UserID) async -> Void = { _ in }
    var deleted: @Sendable (UserID) async throws -> Void = { _ in }

    func carryOut(_ order: OperatorOrder) async -> OperatorReport {
        do { return try await report(order) } catch {
            return OperatorReport(refusal: Self.sentence(error))
        }
    }

    private func report(_ order: OperatorOrder) async throws -> OperatorReport {
        if let remote, ![.list, .show, .setPlan].contains(order.action) {
            throw OperatorRefusal("The accounts are kept by the issuer at \(remote): run this with the configuration of that `clawbot auth`.")
        }
        switch order.action {
        case .list:
            var found: [User] = [], cursor: String?
            repeat {
                let page = try await accounts.users(cursor: cursor)
                found += page.items
                cursor = page.cursor
            } while cursor != nil
            return OperatorReport(users: try await views(found.filter { $0.status != .deleted }))
        case .add:
            let made = try await accounts.create(
                email: order.user ?? "", displayName: order.displayName, plan: order.plan ?? .free, isAdmin: order.isAdmin ?? false, by: Self.actor)
            return OperatorReport(users: try await views([made.user]), temporaryPassword: made.temporaryPassword.reveal())
        default: break
        }
        let user = try await find(order.user ?? "")
        let by = Self.actor
        var report = OperatorReport()
        switch order.action {
        case .suspend: _ = try await accounts.setStatus(user.userId, to: .suspended, by: by)
        case .activate: _ = try await accounts.setStatus(user.userId, to: .active, by: by)
        case .resetPassword: report.temporaryPassword = try await accounts.resetPassword(user.userId, by: by).reveal()
        case .resetSecondFactor: _ = try await accounts.resetSecondFactor(user.userId, by: by)
        case .setAdmin: _ = try await accounts.setAdmin(user.userId, to: order.isAdmin ?? true, by: by)
        case .setPlan: _ = try await accounts.setPlan(user.userId, to: order.plan ?? .free, by: by)
        case .unlock: _ = try await accounts.unlock(user.userId, by: by)
        case .delete:
            try await accounts.delete(user.userId, by: by)
            try await deleted(user.userId)
        case .add, .list, .show: break
        }
        if order.action != .show { await changed(user.userId) }
        report.users = try await views([accounts.user(user.userId) ?? user])
        return report
    }

    private func find(_ name: String) async throws -> User {
        let byName = name.contains("@") ? try await accounts.user(email: name) : try await accounts.user(UserID(name))
        guard let user = byName, user.status != .deleted else { throw OperatorRefusal("There is no user \(name).") }
        return user
    }

    private func views(_ users: [User]) async throws -> [OperatorReport.Account] {
        var views: [OperatorReport.Account] = []
        for user in users {
            views.append(
                .init(
                    userId: user.userId.rawValue, email: user.email, displayName: user.displayName, plan: user.plan, status: user.status, isAdmin: user.isAdmin,
                    secondFactor: user.hasSecondFactor, botCount: user.botCount, createdAt: user.createdAt, lastLogin: user.lastLogin,
                    lockedUntil: try await accounts.lockedUntil(user)))
        }
        return views
    }

    private static func sentence(_ error: any Error) -> String {
        switch error {
        case let refusal as OperatorRefusal: refusal.description
        case IdentityError.emailInUse: "A user with that e-mail exists already."
        case IdentityError.invalidEmail(let sentence): sentence
        case IdentityError.lastAdmin: "This is the last active administrator; make another first."
        case IdentityError.notFound: "The account was changed by someone else meanwhile. Look again."
        case RecordStoreError.unavailable(let cause): "The data cannot be used: \(cause)"
        default: "\(error)"
        }
    }
}
