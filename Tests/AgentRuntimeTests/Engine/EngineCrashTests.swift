import Foundation
import Pace
import Platform
import Testing

@testable import AgentRuntime

@Suite("A run that dies anywhere and is tried again", .paced)
struct EngineCrashTests {
    /// What the next try of the same message sends as its conversation, after a process that died with `bytes` of the transcript on disk.
    private func retried(afterBytes bytes: Int?, of total: inout Int) async throws -> [Value] {
        let found = Box<([Value], Int)>(([], 0))
        try await AgentWorld.with { world async throws in
            world.gateway.script(
                .says("one"), .calls([("t1", "mcp__clawbot__list_tasks", [:])], text: "Let me look."), .says("two"), .says("again"))
            let first = try await world.ask("first message")
            let id = first["newSessionId"]?.string
            let message = try world.payload("second message") { $0.resumeSessionId = id }
            try await world.ask(as: message)
            let path = "\(world.sessions)/transcripts/\(id ?? "").jsonl"
            let whole = try Data(contentsOf: URL(fileURLWithPath: path))
            let start = whole.range(of: Data("second message".utf8))?.lowerBound ?? 0
            let kept = bytes.map { min(whole.count, start + $0) } ?? whole.count
            try FileManager.default.removeItem(atPath: path)
            try whole.prefix(kept).write(to: URL(fileURLWithPath: path))

            // Another process, the same message under a new invocation.
            let other = world.onOtherSocket()
            try await withThrowingTaskGroup(of: Void.self) { group in
                let ready = Latch(1)
                group.addTask { try await other.runAgent { ready.arrive() } }
                await ready.wait()
                var again = message
                again.invocationId = InvocationID(ULID.make())
                again.grant = try world.grant(again)
                try await other.ask(as: again)
                group.cancelAll()
                while let result = await group.nextResult() { _ = result }
            }
            found.value = (world.gateway.modelBodies.last?["messages"]?.array ?? [], whole.count - start)
        }
        total = found.value.1
        return found.value.0
    }

    @Test("wherever the transcript ends, the next try sees the first exchange once and its own message once")
    func anywhere() async throws {
        var total = 0
        var cuts: [Int?] = [nil]
        _ = try await retried(afterBytes: nil, of: &total)
        for step in 0..<12 { cuts.append(total * step / 12 + step % 3) }
        for cut in cuts {
            let messages = try await retried(afterBytes: cut, of: &total)
            let text = try JSON.text(Value.array(messages))
            #expect(text.components(separatedBy: "first message").count == 2, "cut at \(String(describing: cut))")
            #expect(text.components(separatedBy: "second message").count == 2, "cut at \(String(describing: cut))")
            #expect(messages.count == 3, "cut at \(String(describing: cut))")
        }
    }

    @Test("the same words in a new message are a new message, not a try of the last one")
    func repeatedWords() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("one"), .says("two"))
            let first = try world.payload("again")
            try await world.ask(as: first)
            var second = first
            second.invocationId = InvocationID(ULID.make())
            second.grant = try world.grant(second)
            second.resumeSessionId = world.gateway.replies.last?["newSessionId"]?.string
            try await world.ask(as: second)
            #expect(world.gateway.modelBodies[1]["messages"]?.array?.count == 3)
        }
    }

    @Test("a task fires with the same words each time, and each time counts")
    func repeatedTask() async throws {
        try await AgentWorld.with { world async throws in
            world.gateway.script(.says("one"), .says("two"))
            let first = try await world.ask { $0.prompt = "<scheduled_task id=\"t\" scheduled_for=\"2026-01-01T09:00:00\">report</scheduled_task>"; $0.isScheduledTask = true }
            try await world.ask { $0.prompt = "<scheduled_task id=\"t\" scheduled_for=\"2026-01-02T09:00:00\">report</scheduled_task>"; $0.isScheduledTask = true; $0.resumeSessionId = first["newSessionId"]?.string }
            #expect(world.gateway.modelBodies[1]["messages"]?.array?.count == 3)
        }
    }
}

final class Box<T: Sendable>: @unchecked Sendable {
    // Written by one task, read after that task has ended.
    var value: T
    init(_ value: T) { self.value = value }
}
