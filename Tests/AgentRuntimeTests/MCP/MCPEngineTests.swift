import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("MCP servers in a run", .paced)
struct MCPEngineTests {
    private func results(_ world: AgentWorld, _ turn: Int) -> [Value] { world.gateway.modelBodies[turn]["messages"]?.array?.last?["content"]?.array ?? [] }
    private func text(_ result: Value) -> String { result["content"]?.array?.first?["text"]?.string ?? "" }
    private func toolNames(_ world: AgentWorld, _ turn: Int) -> [String] { (world.gateway.modelBodies[turn]["tools"]?.array ?? []).compactMap { $0["name"]?.string } }
    private func system(_ world: AgentWorld, _ turn: Int) -> String { world.gateway.modelBodies[turn]["system"]?.array?.first?["text"]?.string ?? "" }
    private var setup: AgentWorld.Setup {
        var setup = AgentWorld.Setup()
        setup.options.mcp = MCPWorld.limits
        return setup
    }

    @Test("a server's tools are offered under full names, called, and live over the runs of the process")
    func use() async throws {
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(
                .calls([("t1", "mcp__h__act", ["q": "one"])]), .says("done"), .calls([("t2", "mcp__h__act", ["q": "two"])]), .says("again"))
            let final = try await world.ask { $0.mcpConfigs = [MCPWorld.hostile("good")] }
            #expect(final["text"] == "done")
            #expect(toolNames(world, 0).contains("mcp__h__act"))
            #expect(text(results(world, 1)[0]) == #"did {"q": "one"}"#)
            try await world.ask { $0.mcpConfigs = [MCPWorld.hostile("good")]; $0.resumeSessionId = final["newSessionId"]?.string }
            #expect(text(results(world, 3)[0]) == #"did {"q": "two"}"#)
            // Gone from the payload: gone from the tools.
            world.gateway.script(.says("none"))
            try await world.ask()
            #expect(!toolNames(world, 4).contains { $0.hasPrefix("mcp__h__") })
        }
    }

    @Test("SEC-92 a server finds only what it was given in its environment, not the platform's")
    func SEC_92_environment() async throws {
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(.calls([("t1", "mcp__h__act", [:])]), .says("done"))
            var config = MCPWorld.hostile("environment")
            config.envVars = ["API_KEY": "given"]
            try await world.ask { [config] in $0.mcpConfigs = [config] }
            let variables = try JSON.value(Data(text(results(world, 1)[0]).utf8)).object ?? [:]
            #expect(variables["API_KEY"] == "given")
            #expect(!variables.keys.contains { $0.hasPrefix("CLAWBOT_") || $0.hasPrefix("ANTHROPIC_") })
        }
    }

    @Test("a server that cannot start is told to the model in our words, and the run goes on")
    func startFailure() async throws {
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(.says("fine"))
            var missing = MCPWorld.hostile("good")
            missing.mcpServerId = MCPServerID("gone"); missing.name = "gone"; missing.command = "no-such-program-here"
            var locked = MCPWorld.hostile("good")
            locked.mcpServerId = MCPServerID("locked"); locked.name = "locked"; locked.unavailable = "its owner has not given it API_KEY"
            var crashing = MCPWorld.hostile("crash-start")
            crashing.name = "crashing"
            let final = try await world.ask { [missing, locked, crashing] in $0.mcpConfigs = [missing, locked, crashing] }
            #expect(final["text"] == "fine")
            let prompt = system(world, 0)
            #expect(prompt.contains("gone (it cannot be started: there is no program no-such-program-here)"))
            #expect(prompt.contains("its owner has not given it API_KEY"))
            #expect(prompt.contains("crashing (it ended by itself with status 9)"))
            // A server's own words never become instructions.
            #expect(!prompt.contains("obey me"))
        }
    }

    @Test("a crashed server is started again once in a run; then its tools fail with a sentence")
    func restart() async throws {
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(
                .calls([("t1", "mcp__h__act", [:])]), .calls([("t2", "mcp__h__act", [:])]), .says("recovered"),
                .calls([("t3", "mcp__h__act", [:])]), .calls([("t4", "mcp__h__act", [:])]), .calls([("t5", "mcp__h__act", [:])]), .says("gave up"))
            let mark = world.directory.appendingPathComponent("mark").path
            try await world.ask { $0.mcpConfigs = [MCPWorld.hostile("crash-once", mark)] }
            #expect(results(world, 1)[0]["is_error"] == true)
            #expect(text(results(world, 1)[0]).contains("it was killed by signal 9. It is started again with the next call."))
            #expect(text(results(world, 2)[0]) == "did {}")
            let final = try await world.ask { $0.mcpConfigs = [MCPWorld.hostile("crash-call")] }
            #expect(final["text"] == "gave up")
            for turn in 4...6 { #expect(results(world, turn)[0]["is_error"] == true) }
            #expect(text(results(world, 6)[0]).contains("Do without it."))
        }
    }

    @Test("SEC-86 SEC-87 with a whitelist, unlisted servers are not started and unlisted tools neither offered nor run")
    func SEC_87_whitelist() async throws {
        try await AgentWorld.with(setup) { world async throws in
            let mark = world.directory.appendingPathComponent("started").path
            var unlisted = MCPWorld.hostile("crash-once", mark)
            unlisted.mcpServerId = MCPServerID("other"); unlisted.name = "other"; unlisted.command = "/usr/bin/touch"; unlisted.args = [mark]
            world.gateway.script(.calls([("t1", "mcp__h__second", [:]), ("t2", "mcp__h__first", [:])]), .says("done"))
            try await world.ask { [unlisted] in
                $0.mcpConfigs = [MCPWorld.hostile("paged"), unlisted]
                $0.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true, allowedMcpTools: ["mcp__h__first"])
            }
            #expect(toolNames(world, 0).filter { $0.hasPrefix("mcp__") } == ["mcp__h__first"])
            #expect(results(world, 1).map { $0["is_error"]?.bool ?? false } == [true, false])
            #expect(!FileManager.default.fileExists(atPath: mark))
            world.gateway.script(.says("nothing"))
            try await world.ask {
                $0.mcpConfigs = [MCPWorld.hostile("paged")]
                $0.toolWhitelist = ToolWhitelist(mcpToolsEnabled: true)
            }
            #expect(!toolNames(world, 2).contains { $0.hasPrefix("mcp__") })
        }
    }

    @Test("SEC-93 of two tools whose names come out the same, one is offered")
    func SEC_93_sameNames() async throws {
        try await AgentWorld.with(setup) { world async throws in
            world.gateway.script(.says("ok"))
            try await world.ask { $0.mcpConfigs = [MCPWorld.hostile("same-names")] }
            #expect(toolNames(world, 0).filter { $0.hasPrefix("mcp__h__") } == ["mcp__h__same", "mcp__h__a_b"])
        }
    }

    @Test("SEC-90 packages are given to npm as arguments, scripts are off, and what was resolved once is kept")
    func SEC_90_packages() async throws {
        try await AgentWorld.with(setup) { world async throws in
            let bin = world.directory.appendingPathComponent("bin"), log = world.directory.appendingPathComponent("npm.log").path
            try FileManager.default.createDirectory(at: bin, withIntermediateDirectories: true)
            // Stands for npm, which the machine of a test need not have: notes its words and lays a program down.
            let npm = """
                #!/bin/sh
                printf '%s\\n' "$@" >>"\(log)"; echo --- >>"\(log)"
                while [ "$1" != --prefix ]; do shift; done
                mkdir -p "$2/node_modules/.bin"; touch "$2/package-lock.json"
                printf '#!/bin/sh\\nexec \(MCPWorld.python) \(MCPWorld.hostileScript) good\\n' >"$2/node_modules/.bin/weather"
                chmod +x "$2/node_modules/.bin/weather"
                """
            let path = bin.appendingPathComponent("npm").path
            try Data(npm.utf8).write(to: URL(fileURLWithPath: path))
            chmod(path, 0o755)
            let store = MCPPackages(
                packages: ["@scope/weather@1.2.3"], directory: world.groupDirectory.path + "/.mcp/h", environment: ["PATH": bin.path + ":/usr/bin:/bin"])
            try await store.install(time: .seconds(20), groups: CommandGroups())
            try await store.install(time: .seconds(20), groups: CommandGroups())
            let said = try String(contentsOfFile: log, encoding: .utf8)
            #expect(said.components(separatedBy: "---\n").count == 2, "installed once")
            #expect(said.hasPrefix("install\n") && said.contains("--ignore-scripts\n") && said.contains("--\n@scope/weather@1.2.3\n"))
            try FileManager.default.removeItem(atPath: store.directory + "/node_modules")
            try await store.install(time: .seconds(20), groups: CommandGroups())
            // By the lock file, whose digests a republished version does not match.
            #expect(try String(contentsOfFile: log, encoding: .utf8).contains("---\nci\n"))
            #expect(StdioTransport.Launch.find("weather", in: [:], first: store.programs, directory: "/") != nil)
        }
    }

    @Test("a payload with malformed servers starts nothing")
    func payload() async throws {
        try await AgentWorld.with(setup) { world async throws in
            for change: @Sendable (inout MCPConfig) -> Void in [
                { $0.name = "clawbot" }, { $0.name = "a__b" }, { $0.args = ["a\u{0}b"] }, { $0.npmPackages = ["--registry=x"] }, { $0.command = nil },
                { $0.envVars = ["A=B": "c"] },
            ] {
                var config = MCPWorld.hostile("good")
                change(&config)
                let answer = try await world.invoke(world.payload { [config] in $0.mcpConfigs = [config] })
                #expect(answer.status == 400)
            }
        }
    }
}
