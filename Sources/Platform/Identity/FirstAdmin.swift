import Foundation
import Platform

/// Makes the first admin at the first start, on the machine itself and never over HTTP (SEC-10).
public enum FirstAdmin {
    public enum Outcome: Sendable {
        /// There was one already: nothing was done and nothing is to be printed.
        case exists
        /// The password is present when it was generated: print it once. It must be changed at the first log-in.
        case created(email: String, generatedPassword: Secret?)
    }

    /// - Parameters:
    ///   - email: `ADMIN_EMAIL`
    ///   - password: `ADMIN_PASSWORD`; nil or empty = generate one.
    /// - Throws: ``IdentityError/weakPassword(_:)``, ``IdentityError/invalidEmail(_:)``, ``IdentityError/emailInUse``
    public static func ensure(accounts: Accounts, email: String = "admin@localhost", password: Secret? = nil) async throws -> Outcome {
        if (try await accounts.records.get(Accounts.adminsKey)?.document["active"]?.int ?? 0) > 0 { return .exists }
        let given = password.flatMap { $0.isEmpty ? nil : $0 }
        if let given { try PasswordPolicy.check(given, email: email) }
        let chosen = given ?? PasswordPolicy.temporary()
        do {
            _ = try await accounts.add(
                email: email, displayName: nil, plan: .enterprise, isAdmin: true, password: chosen, mustChange: given == nil, by: AuditEntry.system, requestId: nil)
        } catch IdentityError.emailInUse {
            // Two nodes at the very first start: the other was first.
            if (try await accounts.records.get(Accounts.adminsKey)?.document["active"]?.int ?? 0) > 0 { return .exists }
            throw IdentityError.emailInUse
        }
        return .created(email: email.lowercased(), generatedPassword: given == nil ? chosen : nil)
    }
}
