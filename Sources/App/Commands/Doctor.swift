import ArgumentParser
import AsyncHTTPClient
import Foundation
import Logging
import Platform

/// Explains the effective configuration and probes what it needs.
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Show the effective configuration with where each value came from, and probe every part.",
        discussion: "Exit code 1 when something that is needed does not work. Asks a running server where there is one.")

    @OptionGroup var configuration: ConfigurationOption

    func run() async throws {
        let settings = try LoadedConfiguration.load(configuration.config)
        Terminal.say("Configuration (\(settings.path ?? "no file: the laptop's defaults"))")
        for entry in settings.explain() where entry.value != nil {
            Terminal.say("  \(entry.key.padding(toLength: 36, withPad: " ", startingAt: 0)) \(entry.value ?? "")   (\(entry.origin))")
        }
        Terminal.say("\nProbes")
        var broken = 0
        func report(_ what: String, _ probe: Installation.Probe) {
            let name = what.padding(toLength: 16, withPad: " ", startingAt: 0)
            switch probe {
            case .fine(let detail): Terminal.say("  ok   \(name) \(detail)")
            case .broken(let problem):
                broken += 1
                Terminal.say("  FAIL \(name) \(problem)")
            }
        }
        Terminal.say("  --   server           \(await runningServer(settings))")
        report("data", await Installation.probeData(settings))
        let (sandbox, remarks) = await Installation.probeSandbox(settings)
        report("sandbox", sandbox)
        for remark in remarks { Terminal.say("       \(remark)") }
        report("model", .fine(settings.anthropic.isConfigured ? "a key is in the environment (used at the first start)" : "no key in the environment: a fresh installation starts with the demo"))
        Terminal.say("\nKnown limits: an agent that was talked into it can send what its own conversation may read to hosts that its policy allows;")
        Terminal.say("sessions on one machine share one kernel. See docs/sandbox.md.")
        if broken > 0 { throw ExitStatus.failure }
    }

    private func runningServer(_ settings: PlatformConfiguration) async -> String {
        let http = HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup)
        defer { Task { try? await http.shutdown() } }
        let base = "http://\(settings.server.isLoopback ? settings.server.host : "127.0.0.1"):\(settings.server.port)"
        guard let answer = try? await http.execute(HTTPClientRequest(url: base + "/ready"), timeout: .seconds(3)),
            let body = try? await answer.body.collect(upTo: 1 << 16), let value = try? JSON.value(Data(body.readableBytesView))
        else { return "none answers at \(base)" }
        let checks = (value["checks"]?.array ?? []).map { "\($0["name"]?.string ?? "?") \($0["status"]?.string ?? "?")" }
        return "\(value["status"]?.string ?? "?") at \(base): \(checks.joined(separator: ", "))"
    }
}
