import ArgumentParser
import Foundation

/// The one binary: control plane, agent runtime and tools for people at a terminal.
@main
struct Clawbot: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clawbot",
        abstract: "A platform for AI assistants in messaging channels, on a laptop or in the cloud.",
        discussion: """
            clawbot serve starts the platform and prints the console's address. Exit codes: 0 done, 1 failed, \
            64 wrong usage, 78 wrong configuration.
            """,
        version: Version.text,
        subcommands: [Serve.self, Agent.self, ChatCommand.self, Doctor.self, Backup.self, Restore.self, Migrate.self, ConsoleCommand.self, VersionCommand.self])
}

enum Version {
    static let text = "0.1.0"
}

struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")
    func run() { print("clawbot \(Version.text)") }
}

/// What several commands take.
struct ConfigurationOption: ParsableArguments {
    @Option(name: .shortAndLong, help: "YAML file; environment variables (CLAWBOT_…) override it. Without it: the laptop's defaults.")
    var config: String?
}

/// Exit codes of sysexits.h that the commands use.
enum ExitStatus {
    static let failure = ExitCode(1)
    static let configuration = ExitCode(78)
}

/// Writes a sentence for the person at the terminal.
enum Terminal {
    static func say(_ text: String) { FileHandle.standardOutput.write(Data((text + "\n").utf8)) }
    static func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
    static func complain(_ text: String) { FileHandle.standardError.write(Data(("clawbot: " + text + "\n").utf8)) }
}
