import Foundation
import NIOCore
import Platform

/// `POST /agent/v1/events`: what a run shows while it works. Best effort; also its heartbeat.
extension AgentGateway {
    private enum EventKind: String, CaseIterable { case delta, tool, server, beat }
    private enum Line { case beat, live(LiveEvent), server(MCPServerID, problem: String?) }
    private static let maxLine = 64 * 1024

    /// Reads events line by line until the agent ends its request, or the run ends.
    /// - Throws: ``GatewayError`` for a line that is no event, and `.unauthenticated` when the run ended meanwhile.
    public func events<Body: AsyncSequence & Sendable>(_ run: AuthorizedRun, _ body: Body) async throws where Body.Element == ByteBuffer {
        let lines = Handoff<[UInt8]>()
        let registration = run.live.end.onFire { lines.end(GatewayError.unauthenticated) }
        defer { run.live.end.forget(registration) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    var line: [UInt8] = []
                    for try await chunk in body {
                        for byte in chunk.readableBytesView {
                            if byte == UInt8(ascii: "\n") {
                                if !line.isEmpty { try await lines.send(line) }
                                line.removeAll(keepingCapacity: true)
                            } else {
                                line.append(byte)
                                if line.count > Self.maxLine { throw GatewayError.tooLarge(limit: Self.maxLine) }
                            }
                        }
                    }
                    if !line.isEmpty { try await lines.send(line) }
                    lines.end()
                } catch {
                    lines.end(error)
                }
            }
            defer { group.cancelAll() }
            while let line = try await lines.next() {
                guard line.contains(where: { $0 > 0x20 }) else { continue }
                switch try Self.event(line, run) {
                case .beat: break
                case .server(let id, let problem): try await note(id, problem: problem, run)
                case .live(let event):
                    if case .tool(let activity) = event { note(activity, run) }
                    await live.publish(event, bot: run.grant.botId)
                }
                await touch(run)
            }
        }
    }

    /// A tool call that ended, as the owner's trace shows it. The name is the agent's word, so only what can be one is kept.
    private func note(_ activity: ToolActivity, _ run: AuthorizedRun) {
        guard activity.phase != .start else { return }
        let isName = activity.name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || "_-.:".utf8.contains($0) }
        let duration = min(activity.durationMs ?? 0, 86_400_000)
        let name = isName ? String(activity.name.prefix(100)) : "tool"
        let suffix = activity.phase == .denied ? " (denied)" : activity.isError == true ? " (failed)" : ""
        run.live.note(TraceStep(.tool, name: name + suffix, at: time.now() - Double(duration) / 1000, durationMs: duration))
    }

    /// Whether a server was ready for this run: kept for the bot's owner, where the bot has that server.
    private func note(_ id: MCPServerID, problem: String?, _ run: AuthorizedRun) async throws {
        let key = BotMCPServer.key(run.grant.botId, id)
        do {
            if let problem {
                let reason = String(String.UnicodeScalarView(problem.unicodeScalars.filter { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }.prefix(300)))
                let failure: Document = ["reason": .string(reason), "at": .string(Timestamp.text(time.now()))]
                try await records.update(key, [.set("lastFailure", .object(failure))], if: .recordExists)
            } else {
                try await records.update(key, [.remove("lastFailure")], if: .exists("lastFailure"))
            }
        } catch RecordStoreError.conditionFailed { return }
    }

    private static func event(_ line: [UInt8], _ run: AuthorizedRun) throws(GatewayError) -> Line {
        var object = try StrictJSONObject(Data(line))
        let kind = object.choice("type", EventKind.allCases, required: true)
        let group = run.grant.groupJid, invocation = run.run.invocationId
        switch kind {
        case .beat, nil:
            try object.finish()
            return .beat
        case .server:
            let id = object.text("mcpServerId", required: true, limit: 1...64), problem = object.text("problem", limit: 1...2000)
            try object.finish()
            guard let id else { throw .malformedJSON }
            return .server(MCPServerID(id), problem: problem)
        case .delta:
            let message = object.ulid("messageId"), index = object.int("index", required: true, in: 0...10_000_000),
                text = object.text("text", required: true)
            try object.finish()
            guard let message, let index, let text else { throw .malformedJSON }
            return .live(.delta(groupJid: group, invocationId: invocation, messageId: MessageID(message), index: index, text: text))
        case .tool:
            let id = object.text("toolUseId", required: true, limit: 1...128), name = object.text("name", required: true, limit: 1...128)
            let phase = object.text("phase", required: true).flatMap(ToolActivity.Phase.init(rawValue:))
            if phase == nil { object.problem("phase", "must be one of start, end, denied.") }
            let summary = object.text("summary"), isError = object.value("isError")?.bool, duration = object.int("durationMs", in: 0...Int.max)
            try object.finish()
            guard let id, let name, let phase else { throw .malformedJSON }
            return .live(.tool(
                ToolActivity(
                    groupJid: group, invocationId: invocation, toolUseId: id, name: name, phase: phase,
                    summary: summary.map { String($0.prefix(200)) },
                    isError: isError, durationMs: duration)))
        }
    }
}
