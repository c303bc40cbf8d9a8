import ArgumentParser
import Foundation
import Platform

/// Saves the embedded data, also of a running server.
struct Backup: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Save all data, or one bot, into one file; a server may go on running.",
        discussion: """
            The file is encrypted with a key of its own: --key-file FILE, or CLAWBOT_BACKUP_KEY, or CLAWBOT_BACKUP_KEY_FILE (at least 16 \
            characters). The master key is not in it: keep a copy of that elsewhere. --deletions-only writes the list of deleted users and \
            bots, which a restore of an older backup needs. See docs/backup.md.
            """)

    @OptionGroup var configuration: ConfigurationOption
    @Argument(help: "The file to write.") var file: String
    @Option(help: "Only this bot (its id), to be restored under a user of any installation.") var bot: String?
    @Flag(help: "With --bot: take the credentials of its channels along.") var withCredentials = false
    @OptionGroup var key: BackupKeyOption
    @Flag(help: "Do not encrypt.") var plain = false
    @Flag(help: "Replace the file if there is one.") var force = false
    @Flag(help: "Write the list of deletions instead, as text.") var deletionsOnly = false

    func validate() throws {
        if withCredentials, bot == nil { throw ValidationError("--with-credentials goes with --bot.") }
        if withCredentials, plain { throw ValidationError("--with-credentials needs an encrypted backup.") }
        if deletionsOnly, bot != nil || plain { throw ValidationError("--deletions-only goes alone.") }
    }

    func run() async throws {
        let settings = try LoadedConfiguration.load(configuration.config)
        do {
            if deletionsOnly {
                let count = try Installation.writeDeletions(settings, to: file)
                return Terminal.say("\(file): \(count) deletion\(count == 1 ? "" : "s").")
            }
            let passphrase = plain ? nil : try key.passphrase(settings)
            guard plain || passphrase != nil else {
                throw ConfigurationError(
                    "There is no key to encrypt the backup with: give --key-file FILE, CLAWBOT_BACKUP_KEY or CLAWBOT_BACKUP_KEY_FILE, or ask for --plain.")
            }
            let report: Installation.BackupReport
            if let bot {
                report = try await Installation.backUp(bot: bot, withCredentials: withCredentials, settings, to: file, passphrase: passphrase, replaces: force)
            } else {
                report = try Installation.backUp(settings, to: file, passphrase: passphrase, replaces: force)
            }
            Terminal.say("\(file): \(report.sentence)")
            for remark in report.remarks { Terminal.complain("note: \(remark)") }
        } catch { throw Complaint.exit(error, settings) }
    }
}

/// Puts a backup back.
struct Restore: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup back into the data directory, or one bot under a user.",
        discussion: """
            The whole file is checked before anything is written; data that is there is never overwritten: with --force it is set aside inside \
            of the data directory. The server must not be running. Answers that were on their way over a messaging channel when the backup was \
            made are held as dead letters, since they may have arrived; --resume sends them, for a move from a server that was stopped first. \
            See docs/backup.md.
            """)

    @OptionGroup var configuration: ConfigurationOption
    @Argument(help: "The backup.") var file: String
    @OptionGroup var key: BackupKeyOption
    @Option(help: "Of the backup of one bot: the e-mail of the user who will own it.") var user: String?
    @Flag(help: "Set data that is there aside instead of refusing.") var force = false
    @Option(help: "A list of later deletions (backup --deletions-only), to be carried out again. May be repeated.") var deletions: [String] = []
    @Flag(help: "Go on with everything that was under way, as after a crash.") var resume = false
    @Flag(help: "Only check the file.") var check = false

    func validate() throws {
        if user != nil, force || resume || !deletions.isEmpty { throw ValidationError("--user goes with the backup of one bot, and not with --force, --resume or --deletions.") }
    }

    func run() async throws {
        let settings = try LoadedConfiguration.load(configuration.config)
        do {
            let passphrase = try key.passphrase(settings)
            if check {
                let found = try ArchiveReader.verify(path: file, passphrase: passphrase)
                return Terminal.say("\(file) is whole: \(Installation.describe(found.about)), \(found.entries) entries.")
            }
            let report = if let user {
                try await Installation.restoreBot(settings, from: file, passphrase: passphrase, email: user)
            } else {
                try await Installation.restore(settings, from: file, passphrase: passphrase, replaces: force, resumes: resume, ledgers: deletions)
            }
            Terminal.say(report.sentence)
            for remark in report.remarks { Terminal.complain("note: \(remark)") }
        } catch { throw Complaint.exit(error, settings) }
    }
}

struct BackupKeyOption: ParsableArguments {
    @Option(help: "File that holds the backup's key.") var keyFile: String?

    /// What was given: the file first, then the configuration (`backup.key`).
    func passphrase(_ settings: PlatformConfiguration) throws -> Secret? {
        guard let keyFile else { return settings.backupKey }
        guard let data = FileManager.default.contents(atPath: keyFile), data.count <= 64 << 10, let text = String(validating: data, as: UTF8.self) else {
            throw ConfigurationError("The key file \(keyFile) cannot be read.")
        }
        let key = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !key.isEmpty else { throw ConfigurationError("The key file \(keyFile) is empty.") }
        return Secret(key)
    }
}
