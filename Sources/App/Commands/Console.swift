import ArgumentParser
import Foundation
import WebAPI

/// The console as files, for a CDN that serves it and fronts the API under one origin.
struct ConsoleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "console", abstract: "Work with the web console's files.", subcommands: [Export.self])

    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Write the console's files into a directory.",
            discussion: """
                The host must serve index.html for paths it does not know, forward /api, /auth, /blob, /health and /webhook to \
                `clawbot serve`, and send the headers that are printed.
                """)

        @Argument(help: "The directory; made when it is not there.", completion: .directory)
        var directory: String

        func run() async throws {
            let written = try ConsoleFiles().export(to: URL(filePath: directory, directoryHint: .isDirectory))
            print("\(written.count) files in \(directory). Serve them with these headers:")
            for (name, value) in ConsoleFiles.hostingHeaders { print("  \(name): \(value)") }
        }
    }
}
