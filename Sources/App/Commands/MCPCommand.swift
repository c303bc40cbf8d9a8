import AgentRuntime
import ArgumentParser
import Foundation

/// The platform tools for engines that take them over MCP. People do not start it; an engine does.
struct MCPCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mcp", abstract: "The platform tools as an MCP server on standard input and output; started by an engine.",
        discussion: "Reads CLAWBOT_GATEWAY, CLAWBOT_GRANT, CLAWBOT_TIMEZONE and CLAWBOT_TOOL_WHITELIST.")

    func run() async throws {
        let status = await MCPStdioServer.main(environment: ProcessInfo.processInfo.environment, version: Version.text)
        if status != 0 { throw ExitCode(status) }
    }
}
