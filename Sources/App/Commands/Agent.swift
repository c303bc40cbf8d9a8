import AgentRuntime
import ArgumentParser
import Foundation

/// The runtime inside a sandboxed process, a container or a task. People do not start it; `serve` does.
struct Agent: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "agent", abstract: "The agent runtime; started by `clawbot serve` inside a sandbox.",
        discussion: "Reads CLAWBOT_AGENT_SOCKET or CLAWBOT_AGENT_PORT, CLAWBOT_PROCESS_KEY, CLAWBOT_IDLE_SECONDS and CLAWBOT_SESSION.")

    func run() async throws {
        let status = await AgentProcess.main(environment: ProcessInfo.processInfo.environment)
        if status != 0 { throw ExitCode(status) }
    }
}
