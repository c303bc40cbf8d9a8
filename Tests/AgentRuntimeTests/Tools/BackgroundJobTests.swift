import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("Commands in the background", .paced)
struct BackgroundJobTests {
    private func start(_ command: String, in world: ToolWorld) async throws -> String {
        let result = try await world.call(BashTool(), ["command": .string(command), "run_in_background": true])
        return String(try #require(result.text.firstMatch(of: /with the id (bash_\d+)/)?.1))
    }
    private func output(_ id: String, filter: String? = nil, wait: Int? = nil, in world: ToolWorld) async throws -> ToolResult {
        try await world.call(
            BashOutputTool(), ["bash_id": .string(id), "filter": filter.map(Value.string) ?? .null, "timeout": wait.map(Value.int) ?? .null])
    }

    @Test("the call returns at once; output is shown once, as it comes, and then the exit code")
    func news() async throws {
        try await ToolWorld.run { world in
            let id = try await start("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two >&2; exit 3", in: world)
            #expect(id == "bash_1")
            let job = try world.context.jobs.job(id)
            #expect(await eventually { job.output.total == 4 })
            #expect(try await output(id, in: world).text == "Status: running\none\n")
            #expect(try await output(id, in: world).text == "Status: running\n(no new output)")
            _ = try await world.bash("touch go")
            #expect(try await output(id, wait: 600_000, in: world).text == "Status: completed, exit code 3\ntwo\n")
            #expect(try await output(id, in: world).text == "Status: completed, exit code 3\n(no new output)")
        }
    }

    @Test("it begins in the working directory and does not move it")
    func directory() async throws {
        try await ToolWorld.run { world in
            _ = try await world.bash("mkdir sub; cd sub")
            let id = try await start("pwd; cd /", in: world)
            #expect(try await output(id, wait: 600_000, in: world).text == "Status: completed, exit code 0\n\(world.folder)/sub\n")
            #expect(world.context.directory.path == world.folder + "/sub")
        }
    }

    @Test("a kill takes everything along that the command started; a second one is told that it has ended")
    func kill() async throws {
        try await ToolWorld.run { world in
            let id = try await start("sleep 1000 & echo $! > child; wait", in: world)
            var child: Int32 = 0
            #expect(await eventually {
                child = (try? world.content("child")).flatMap { Int32($0.trimmingCharacters(in: .newlines)) } ?? 0
                return child > 0
            })
            #expect(try await world.call(KillShellTool(), ["shell_id": .string(id)]).text == "Killed \(id).")
            #expect(await eventually { !isRunning(child) })
            #expect(try await output(id, in: world).text.hasPrefix("Status: killed"))
            let again = try await world.call(KillShellTool(), ["shell_id": .string(id)])
            #expect(again.isError && again.text.contains("does not run any more"))
            #expect(try await output("bash_9", in: world).text == "There is no background command bash_9. There are bash_1.")
        }
    }

    @Test("what exceeds one look is passed over and said, what exceeds the file is counted, and a filter shows its lines")
    func much() async throws {
        try await ToolWorld.run { world in
            world.context.limits.outputBytes = 1000
            world.context.limits.outputFileBytes = 50_000
            let id = try await start("seq 1 2000; echo needle", in: world)
            let first = try await output(id, wait: 600_000, in: world)
            #expect(first.text.contains("bytes before this are not shown") && first.text.hasSuffix("2000\nneedle\n"))
            let other = try await start("seq 1 300 ; echo needle 7", in: world)
            world.context.limits.outputBytes = 30_000
            #expect(try await output(other, filter: "needle [0-9]", wait: 600_000, in: world).text == "Status: completed, exit code 0\nneedle 7")
            #expect(try await output(other, filter: "(", in: world).isError)
            let huge = try await start("seq 1 20000; echo the end", in: world)
            #expect(try await output(huge, wait: 600_000, in: world).text.contains("Its last line: the end"))
        }
    }

    @Test("only so many run at once, and all end with the process")
    func bounds() async throws {
        try await ToolWorld.run { world in
            world.context.limits.jobs = 2
            let first = try await start("sleep 1000", in: world), second = try await start("sleep 1000", in: world)
            let third = try await world.call(BashTool(), ["command": "sleep 1000", "run_in_background": true])
            #expect(third.isError && third.text.contains("2 commands run in the background already"))
            world.context.endBackground()
            for id in [first, second] { #expect(try await output(id, wait: 600_000, in: world).text.hasPrefix("Status: killed")) }
            _ = try await start("true", in: world)
        }
    }

    @Test("a stop does not end it, and ends the waiting for it")
    func stop() async throws {
        try await ToolWorld.run { world in
            let id = try await start("sleep 1000", in: world)
            let context = world.context
            let call = Task { try await BashOutputTool().outcome(of: .object(["bash_id": .string(id), "timeout": 600_000]), in: context) }
            call.cancel()
            await #expect(throws: CancellationError.self) { _ = try await call.value }
            #expect(try world.context.jobs.job(id).isRunning)
            world.context.endBackground()
        }
    }
}
