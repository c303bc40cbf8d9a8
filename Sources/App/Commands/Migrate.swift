import ArgumentParser
import Foundation
import LocalBackend
import Logging
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
            let stores = try await LocalStores.open(dataDirectory: URL(fileURLWithPath: settings.dataDirectory), logger: Logger(label: "clawbot"))
            try stores.close()
        } catch { throw Complaint.exit(error, settings) }
        Terminal.say("The data in \(settings.dataDirectory) is at the schema of version \(Version.text).")
    }
}
