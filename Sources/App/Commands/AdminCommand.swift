import ArgumentParser
import Foundation
import Platform

/// What the operator at the machine may do, with no password but the right to the data directory; never over HTTP.
struct AdminCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "admin", abstract: "Look after accounts at the machine itself.", subcommands: [AdminUsers.self])
}

struct AdminUsers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "user", abstract: "Users: add, list, show, suspend, …",
        discussion: """
            Works whether or not a server runs on the data: a running one is asked through a socket that only its own user and root may \
            use. Users are named by e-mail address or id. A password is made for you and shown once; its owner changes it at the next log-in.
            """,
        subcommands: [
            Add.self, List.self, Show.self, Suspend.self, Activate.self, ResetPassword.self, ResetTOTP.self, SetAdmin.self, SetPlan.self, Delete.self, Unlock.self,
        ])

    struct Common: ParsableArguments {
        @OptionGroup var configuration: ConfigurationOption
        @Flag(help: "Print JSON.") var json = false

        /// Gives the order to the running server, or carries it out itself.
        func carryOut(_ order: OperatorOrder) async throws {
            let settings = try LoadedConfiguration.load(configuration.config)
            let report: OperatorReport
            do {
                if let answered = try await OperatorSocket.send(order, dataDirectory: settings.dataDirectory) { report = answered } else {
                    report = try await Installation.withOfflineAccounts(settings) { await $0.carryOut(order) }
                }
            } catch { throw Complaint.exit(error, settings) }
            if let refusal = report.refusal {
                Terminal.complain(refusal)
                throw ExitStatus.failure
            }
            json ? try Terminal.say(Self.json(order, report)) : Self.table(order, report)
        }

        private static func json(_ order: OperatorOrder, _ report: OperatorReport) throws -> String {
            guard order.action != .list else { return try JSON.text(report.users) }
            var value = try report.users.first.map { try JSON.value(JSON.encode($0)) }?.object ?? [:]
            if let password = report.temporaryPassword { value["temporaryPassword"] = .string(password) }
            return try JSON.text(Value.object(value))
        }

        private static func table(_ order: OperatorOrder, _ report: OperatorReport) {
            for user in report.users {
                var words = [user.email, user.userId, user.status.rawValue, user.plan.rawValue]
                if user.isAdmin { words.append("administrator") }
                if user.secondFactor { words.append("second factor on") }
                if let until = user.lockedUntil { words.append("locked until \(Timestamp.text(until))") }
                Terminal.say(words.joined(separator: "  "))
                if order.action == .show {
                    Terminal.say("  name \(user.displayName), \(user.botCount) bots, made \(Timestamp.text(user.createdAt)), last log-in \(user.lastLogin.map { Timestamp.text($0) } ?? "never")")
                }
            }
            if report.users.isEmpty { Terminal.say("There are no users.") }
            if let password = report.temporaryPassword { Terminal.say("Password: \(password)   (shown this once; to be changed at the next log-in)") }
        }
    }

    struct Named: ParsableArguments {
        @Argument(help: "E-mail address or user id.") var user: String
    }

    struct Add: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Make a user; prints a password to hand over.")
        @Argument(help: "E-mail address.") var email: String
        @Option(help: "Name to show.") var name: String?
        @Option(help: "free, pro or enterprise.") var plan: Plan = .free
        @Flag(help: "Make an administrator.") var admin = false
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.add, user: email, displayName: name, plan: plan, isAdmin: admin)) }
    }
    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "All users, newest first.")
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.list)) }
    }
    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "One user.")
        @OptionGroup var named: Named
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.show, user: named.user)) }
    }
    struct Suspend: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Suspend: all sessions end, nobody gets in.")
        @OptionGroup var named: Named
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.suspend, user: named.user)) }
    }
    struct Activate: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Let a suspended user in again.")
        @OptionGroup var named: Named
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.activate, user: named.user)) }
    }
    struct ResetPassword: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "reset-password", abstract: "Make a new password and end all sessions.")
        @OptionGroup var named: Named
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.resetPassword, user: named.user)) }
    }
    struct ResetTOTP: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "reset-totp", abstract: "Take the second factor away, for somebody who lost it.")
        @OptionGroup var named: Named
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.resetSecondFactor, user: named.user)) }
    }
    struct SetAdmin: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "set-admin", abstract: "Make an administrator, or no longer one.")
        @OptionGroup var named: Named
        @Argument(help: "yes or no.") var value: YesNo = .yes
        @OptionGroup var common: Common
        enum YesNo: String, ExpressibleByArgument, CaseIterable { case yes, no }
        func run() async throws { try await common.carryOut(OperatorOrder(.setAdmin, user: named.user, isAdmin: value == .yes)) }
    }
    struct SetPlan: AsyncParsableCommand {
        static let configuration = CommandConfiguration(commandName: "set-plan", abstract: "Change the plan; the quota becomes that plan's.")
        @OptionGroup var named: Named
        @Argument(help: "free, pro or enterprise.") var plan: Plan
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.setPlan, user: named.user, plan: plan)) }
    }
    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a user with their bots; the data goes after the retention time.")
        @OptionGroup var named: Named
        @Flag(help: "Do not ask.") var yes = false
        @OptionGroup var common: Common
        func run() async throws {
            if !yes {
                guard isatty(STDIN_FILENO) == 1 else { throw ValidationError("Deleting asks first; where nobody can answer, say --yes.") }
                Terminal.write("Delete \(named.user) and their bots? Type yes: ")
                guard readLine() == "yes" else { throw ExitStatus.failure }
            }
            try await common.carryOut(OperatorOrder(.delete, user: named.user))
        }
    }
    struct Unlock: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Forget failed log-ins, so that the next attempt is heard.")
        @OptionGroup var named: Named
        @OptionGroup var common: Common
        func run() async throws { try await common.carryOut(OperatorOrder(.unlock, user: named.user)) }
    }
}

extension Plan: ExpressibleByArgument {}
