import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite(.paced) struct BashToolTests {
    @Test("the working directory is kept across calls, and the workspace serves when it is gone")
    func directory() async throws {
        try await ToolWorld.run { world in
            #expect(try await world.bash("pwd").text == world.folder)
            _ = try await world.bash("mkdir -p 'a b' && cd 'a b' && false")
            #expect(try await world.bash("pwd").text == world.folder + "/a b")
            _ = try await world.bash("cd ..; exit 3")
            #expect(try await world.bash("pwd").text == world.folder)
            _ = try await world.bash("cd 'a b'")
            rmdir(world.folder + "/a b")
            let back = try await world.bash("pwd").text
            #expect(back.contains("is gone") && back.hasSuffix(world.folder))
            #expect(try FileManager.default.contentsOfDirectory(atPath: world.context.limits.outputDirectory) == [])
        }
    }

    @Test("both outputs come in their order, with the exit code when it is not 0")
    func output() async throws {
        try await ToolWorld.run { world in
            let ok = try await world.bash("echo one; echo two >&2; echo three")
            #expect(ok == .text("one\ntwo\nthree"))
            #expect(try await world.bash("echo no; exit 7") == .error("Exit code 7\nno"))
            #expect(try await world.bash("true") == .text("(no output)"))
            #expect(try await world.bash("kill -TERM $$").text.hasPrefix("Killed by SIGTERM"))
            #expect(try await world.bash("if").isError)
        }
    }

    @Test("nothing waits on standard input, and nothing of ours is inherited")
    func inheritance() async throws {
        try await ToolWorld.run { world in
            #expect(try await world.bash("cat; read x; echo done") == .text("done"))
            // A server ignores SIGPIPE; a command must not.
            #expect(try await world.bash("yes | head -1") == .text("y"))
            let held = open("/dev/null", O_RDONLY)
            defer { close(held) }
            #expect(held > 2)
            #expect(try await world.bash("ls /proc/self/fd | tr '\\n' ' '").text == "0 1 2 3")
            world.context.environment = ToolContext.inheritedEnvironment([
                "PATH": "/usr/bin:/bin", "CLAWBOT_PROCESS_KEY": "canary", "ANTHROPIC_API_KEY": "canary", "KEPT": "1",
            ])
            let environment = try await world.bash("env").text
            #expect(!environment.contains("canary") && environment.contains("KEPT=1"))
        }
    }

    @Test("a time-out kills everything that the command started, at once")
    func timeout() async throws {
        try await ToolWorld.run { world in
            let start = ContinuousClock.now
            let result = try await world.bash("echo before; sleep 1000 & echo $! > child; (trap '' TERM; sleep 1000)", timeout: 1500)
            #expect(result.isError && result.text == "Timed out after 1500 ms and was killed\nbefore")
            #expect(ContinuousClock.now - start < .seconds(300))
            let child = try #require(Int32(try world.content("child").trimmingCharacters(in: .newlines)))
            #expect(await eventually { !isRunning(child) })
            #expect(try await world.bash("echo on").text == "on")
        }
    }

    @Test("a cancelled call ends within moments and takes its children along")
    func cancellation() async throws {
        try await ToolWorld.run { world in
            let context = world.context
            let call = Task { try await BashTool().outcome(of: .object(["command": "sleep 1000 & echo $! > child; wait"]), in: context) }
            #expect(await eventually { (try? world.content("child"))?.hasSuffix("\n") == true })
            let child = try #require(Int32(try world.content("child").trimmingCharacters(in: .newlines)))
            let start = ContinuousClock.now
            call.cancel()
            await #expect(throws: CancellationError.self) { try await call.value }
            #expect(ContinuousClock.now - start < .seconds(300))
            #expect(await eventually { !isRunning(child) })
            // Cancelled before it began.
            let early = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return try await BashTool().outcome(of: .object(["command": "sleep 1000"]), in: context)
            }
            await #expect(throws: CancellationError.self) { try await early.value }
        }
    }

    @Test("the run's deadline shortens the time-out")
    func deadline() async throws {
        try await ToolWorld.run { (world: inout ToolWorld) async throws in
            world.context.deadline = Date(timeIntervalSinceNow: 0.3)
            #expect(try await world.bash("sleep 1000").text.hasPrefix("Timed out"))
        }
    }

    @Test("a gigabyte of output costs little memory; its beginning, its end and the name of a bounded file are shown")
    func gigabyte() async throws {
        try await ToolWorld.run { world in
            _ = try await world.bash("true")
            let before = try residentKiB()
            let result = try await world.bash("echo first; head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo last")
            #expect(!result.isError)
            #expect(result.text.hasPrefix("first\n") && result.text.hasSuffix("last") && result.text.utf8.count < 31_000)
            // Alone it is some 20 MB. Tests beside this one have memory of their own (a password hash 128 MiB); the output has 1 GB.
            #expect(try residentKiB() - before < 600_000)
            let path = try #require(try result.text.firstMatch(of: Regex("output are in (\\S+)\\]"))?[1].substring)
            let size = try #require(FileAccess.status(String(path))?.stamp.size)
            #expect(size == world.context.limits.outputFileBytes)
        }
    }
    private func residentKiB() throws -> Int {
        let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
        return Int(status.firstMatch(of: /VmRSS:\s+(\d+)/)?.1 ?? "") ?? 0
    }

    @Test("long output is cut in the middle, the whole is in the file")
    func longOutput() async throws {
        try await ToolWorld.run { world in
            let result = try await world.bash("seq 1 20000")
            #expect(result.text.hasPrefix("1\n2\n") && result.text.hasSuffix("\n20000") && result.text.contains("bytes left out"))
            let path = try #require(result.text.firstMatch(of: /output is in (\S+)\]/)?.1)
            let whole = try String(contentsOfFile: String(path), encoding: .utf8)
            #expect(whole == (1...20000).map { "\($0)\n" }.joined())
        }
    }

    @Test("any bytes become text")
    func binary() async throws {
        try await ToolWorld.run { world in
            #expect(try await world.bash("printf 'a\\377\\000b\\001\\303\\274'").text == "a\u{fffd}bü")
            let noise = try await world.bash("head -c 200000 /dev/urandom")
            #expect(!noise.isError && !noise.text.utf8.contains(0))
            #expect(try JSON.text(noise.text).count > 1000)
        }
    }

    @Test("what runs in the background goes on with its output in a file, until it is killed")
    func background() async throws {
        try await ToolWorld.run { world in
            let start = ContinuousClock.now
            let result = try await world.bash(
                "(echo early; while [ ! -e go ]; do sleep 0.02; done; echo late; exec sleep 1000) & echo $! > child; echo started")
            #expect(ContinuousClock.now - start < .seconds(300))
            let path = try #require(result.text.firstMatch(of: /its output goes to (\S+)\.\)/)?.1)
            _ = try await world.bash("touch go")
            #expect(await eventually { (try? String(contentsOfFile: String(path), encoding: .utf8))?.contains("late") == true })
            let child = try #require(Int32(try world.content("child").trimmingCharacters(in: .newlines)))
            #expect(isRunning(child) && world.context.commands.count == 1)
            world.context.commands.killAll()
            #expect(await eventually { !isRunning(child) && world.context.commands.count == 0 })
        }
    }

    @Test("many commands at once do not wait for each other")
    func parallel() async throws {
        try await ToolWorld.run { world in
            let context = world.context
            try await withThrowingTaskGroup(of: ToolResult.self) { group in
                // Each waits until all have come: that needs all of them to run at the same time.
                for index in 0..<24 {
                    group.addTask {
                        try await BashTool().outcome(
                            of: .object([
                                "command": .string("touch here-\(index); until [ $(ls here-* | wc -l) = 24 ]; do sleep 0.02; done; echo ok"),
                                "timeout": 60_000,
                            ]), in: context)
                    }
                }
                for try await result in group { #expect(result == .text("ok")) }
            }
        }
    }

    @Test("bad input is told in a sentence")
    func badInput() async throws {
        try await ToolWorld.run { (world: inout ToolWorld) async throws in
            #expect(try await world.call(BashTool(), [:]) == .error("The parameter `command` is missing."))
            #expect(try await world.call(BashTool(), ["command": 5]).isError)
            #expect(try await BashTool().outcome(of: "text", in: world.context) == .error("The input must be a JSON object."))
            #expect(try await world.bash("echo a\u{0}b").isError)
            #expect(try await world.bash(": " + String(repeating: "x", count: 200_000)).text.contains("too long"))
            #expect(try await world.call(BashTool(), ["command": "echo 1", "timeout": "5000"]) == .text("1"))
        }
    }
}
