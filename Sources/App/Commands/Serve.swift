import ArgumentParser
import ControlPlane
import Foundation
import Identity
import Logging
import Platform
import ServiceLifecycle

/// Starts the platform.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Start the platform.",
        discussion: "Prints the console's address, and at the very first start the first log-in. Ends on SIGTERM or Ctrl-C; SIGKILL loses nothing either.")

    @OptionGroup var configuration: ConfigurationOption

    func run() async throws {
        Installation.hardenProcess()
        let settings = try LoadedConfiguration.load(configuration.config)
        Logs.start(settings.log)
        let logger = Logger(label: "clawbot")
        let installation: Installation
        do {
            installation = try await Installation.assemble(settings, executable: Executable.path, logger: logger) { port in
                Terminal.say("ClawBot \(Version.text) is listening: \(Self.address(settings, port))")
            }
        } catch { throw Complaint.exit(error, settings) }
        announce(installation, settings)
        let group = ServiceGroup(
            configuration: .init(
                services: installation.services.map { .init(service: $0, successTerminationBehavior: .ignore, failureTerminationBehavior: .gracefullyShutdownGroup) },
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        do {
            try await group.run()
            await installation.close()
        } catch {
            await installation.close()
            throw Complaint.exit(error, settings)
        }
        Terminal.say("ClawBot has ended; what was under way is kept.")
    }

    private static func address(_ settings: PlatformConfiguration, _ port: Int) -> String {
        settings.server.isLoopback ? "http://\(settings.server.host.contains(":") ? "[\(settings.server.host)]" : settings.server.host):\(port)/" : settings.server.publicBaseURL ?? ""
    }

    private func announce(_ installation: Installation, _ settings: PlatformConfiguration) {
        if case .created(let email, let password) = installation.firstAdmin {
            Terminal.say("First log-in:  \(email)")
            if let password { Terminal.say("Password:      \(password.reveal())   (shown this once; you choose your own when you sign in)") }
        }
        if !installation.isSandboxed {
            Terminal.complain("WARNING: agents run WITHOUT a sandbox (compute.sandbox: none). They can read everything that this process can.")
        }
        if installation.isSandboxed { for remark in installation.remarks { Terminal.complain("note: \(remark)") } }
    }
}

/// The binary that `clawbot agent` is started from: this one.
enum Executable {
    static var path: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? Bundle.main.executablePath ?? CommandLine.arguments[0]
    }
}

enum LoadedConfiguration {
    /// Reads the configuration or ends the command with its sentence.
    static func load(_ path: String?) throws -> PlatformConfiguration {
        do { return try PlatformConfiguration.load(path: path ?? ProcessInfo.processInfo.environment["CLAWBOT_CONFIG"]) } catch {
            Terminal.complain(error.sentence)
            throw ExitStatus.configuration
        }
    }
}

/// Turns an error into a sentence on standard error and an exit code.
enum Complaint {
    static func exit(_ error: any Error, _ settings: PlatformConfiguration) -> ExitCode {
        switch error {
        case let error as ConfigurationError:
            Terminal.complain(error.sentence)
            return ExitStatus.configuration
        case let error as ArchiveError: Terminal.complain(error.description)
        case ManagementError.notFound: Terminal.complain("There is no such bot.")
        case ManagementError.invalidState(let sentence), ManagementError.alreadyExists(let sentence), ManagementError.inUse(let sentence): Terminal.complain(sentence)
        case ManagementError.invalid(let problems): Terminal.complain(problems.map(\.message).joined(separator: " "))
        case SecretStoreError.masterKey(let sentence): Terminal.complain(sentence)
        case SecretStoreError.cannotOpen(let name): Terminal.complain("The stored secret \(name) cannot be opened with the present master key.")
        case SecretStoreError.unavailable(let cause), RecordStoreError.unavailable(let cause), ObjectStoreError.unavailable(let cause), MessageQueueError.unavailable(let cause):
            Terminal.complain("The data in \(settings.dataDirectory) cannot be used: \(cause)")
        case IdentityError.weakPassword(let sentence): Terminal.complain("ADMIN_PASSWORD: \(sentence)")
        case IdentityError.invalidEmail(let sentence): Terminal.complain("ADMIN_EMAIL: \(sentence)")
        default: Terminal.complain(sentence(error, settings))
        }
        return ExitStatus.failure
    }

    private static func sentence(_ error: any Error, _ settings: PlatformConfiguration) -> String {
        let text = "\(error)"
        if text.contains("Address already in use") || text.contains("EADDRINUSE") {
            return "Port \(settings.server.port) on \(settings.server.host) is in use by another program. Choose another with CLAWBOT_SERVER_PORT, or end that program."
        }
        if text.contains("Permission denied") && settings.server.port < 1024 { return "Port \(settings.server.port) may only be opened by root." }
        return text
    }
}
