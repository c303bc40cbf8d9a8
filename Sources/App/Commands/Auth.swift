import ArgumentParser
import Foundation
import Logging
import Platform
import ServiceLifecycle

/// The issuer of tokens as a process of its own.
struct Auth: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "auth", abstract: "Start the token issuer alone.",
        discussion: """
            Serves log-in, keys and accounts from a data directory of its own; `clawbot serve` uses it with identity.remote set to its address. \
            Behind one public address give both the same identity.issuer, and let the proxy send /auth/ and /.well-known/ here.
            """)

    @OptionGroup var configuration: ConfigurationOption

    func run() async throws {
        Installation.hardenProcess()
        let settings = try LoadedConfiguration.load(configuration.config)
        Logs.start(settings.log)
        let logger = Logger(label: "clawbot.auth")
        let installation: Installation
        do {
            installation = try await Installation.assembleIssuer(settings, logger: logger) { port in
                Terminal.say("ClawBot \(Version.text) issues tokens as \(settings.identity.issuer ?? ""), listening on port \(port)")
            }
        } catch { throw Complaint.exit(error, settings) }
        Serve.announce(installation)
        try await Serve.run(installation, settings, logger)
    }
}
