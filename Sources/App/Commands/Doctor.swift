import ArgumentParser
import Foundation
import Logging
import Platform

/// Explains the effective configuration and probes what it needs.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Show the effective configuration with where each value came from, and probe every part.",
        discussion: """
            Beside a running server it looks at what it can without disturbing it, and asks the server for the rest. --online also calls the \
            model providers and the channels' services. Exit code 1 when something that is needed does not work.
            """)

    @OptionGroup var configuration: ConfigurationOption
    @Flag(help: "Also call model providers and messaging services.") var online = false
    @Flag(help: "Print one JSON object.") var json = false

    func run() async throws {
        let settings = try LoadedConfiguration.load(configuration.config)
        let findings = await Examination(settings: settings, online: online).run()
        let isBroken = findings.contains { $0.status == .broken }
        if json {
            let report: Document = [
                "version": .string(Version.text), "file": settings.path.map { .string($0) } ?? .null, "ok": .bool(!isBroken),
                "configuration": .array(settings.explain().map { entry in
                    var fields: Document = ["key": .string(entry.key), "origin": .string(entry.origin.description)]
                    if let value = entry.value { fields["value"] = .string(value) }
                    return .object(fields)
                }),
                "probes": .array(findings.map { .object(["name": .string($0.name), "status": .string($0.status.rawValue), "detail": .string($0.detail)]) }),
            ]
            Terminal.say(String(decoding: try JSON.data(.object(report)), as: UTF8.self))
        } else {
            Terminal.say("Configuration (\(settings.path ?? "no file: the laptop's defaults"))")
            for entry in settings.explain() {
                let value = entry.value.map { $0.isEmpty ? "(none)" : $0 } ?? "(not set)"
                Terminal.say("  \(padded(entry.key, 36)) \(value)   (\(entry.origin))")
            }
            Terminal.say("\nProbes")
            for finding in findings { Terminal.say("  \(padded(finding.status.word, 4)) \(padded(finding.name, 12)) \(finding.detail)") }
            Terminal.say("\nKnown limits: an agent that was talked into it can send what its own conversation may read to hosts that its policy allows;")
            Terminal.say("sessions on one machine share one kernel. See docs/sandbox.md.")
        }
        if isBroken { throw ExitStatus.failure }
    }

    private func padded(_ text: String, _ width: Int) -> String { text.padding(toLength: max(width, text.count), withPad: " ", startingAt: 0) }
}

/// One thing that was looked at.
struct Finding: Sendable {
    enum Status: String, Sendable {
        case ok, note, warning, broken
        var word: String {
            switch self {
            case .ok: "ok"
            case .note: "--"
            case .warning: "WARN"
            case .broken: "FAIL"
            }
        }
    }
    var name: String
    var status: Status
    var detail: String
    init(_ name: String, _ status: Status, _ detail: String) { self.name = name; self.status = status; self.detail = detail }
}
