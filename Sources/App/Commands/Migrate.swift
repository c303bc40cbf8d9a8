import ArgumentParser
import Foundation
import Platform

/// Brings the stored data to this version's schema, explicitly; `serve` does it as well.
struct Migrate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "migrate", abstract: "Bring the stored data to this version's schema.",
        discussion: "`serve` does this by itself at start. Refuses while a server runs on the same data, and data of a newer version.")

    @OptionGroup var configuration: ConfigurationOption

    func run() async throws {
        let settings = try LoadedConfiguration.load(configuration.config)
        do {
            try await Installation.migrate(settings)
        } catch { throw Complaint.exit(error, settings) }
        Terminal.say("The data in \(settings.dataDirectory) is at the schema of version \(Version.text).")
    }
}
