import Foundation
import NIOCore
import Platform

/// `POST /agent/v1/events`: what a run shows while it works. Best effort; also its heartbeat.
extension AgentGateway {
    private enum EventKind: String, CaseIterable { case delta, tool, beat }
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
                if let event = try Self.event(line, run) {
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

    /// nil for a beat.
    private static func event(_ line: [UInt8], _ run: AuthorizedRun) throws(GatewayError) -> LiveEvent? {
        var object = try StrictJSONObject(Data(line))
        let kind = object.choice("type", EventKind.allCases, required: true)
        let group = run.grant.groupJid, invocation = run.run.invocationId
        switch kind {
        case .beat, nil:
            try object.finish()
            return nil
        case .delta:
            let message = object.ulid("messageId"), index = object.int("index", required: true, in: 0...10_000_000),
                text = object.text("text", required: true)
            try object.finish()
            guard let message, let index, let text else { throw .malformedJSON }
            return .delta(groupJid: group, invocationId: invocation, messageId: MessageID(message), index: index, text: text)
        case .tool:
            let id = object.text("toolUseId", required: true, limit: 1...128), name = object.text("name", required: true, limit: 1...128)
            let phase = object.text("phase", required: true).flatMap(ToolActivity.Phase.init(rawValue:))
            if phase == nil { object.problem("phase", "must be one of start, end, denied.") }
            let summary = object.text("summary"), isError = object.value("isError")?.bool, duration = object.int("durationMs", in: 0...Int.max)
            try object.finish()
            guard let id, let name, let phase else { throw .malformedJSON }
            return .tool(
                ToolActivity(
                    groupJid: group, invocationId: invocation, toolUseId: id, name: name, phase: phase,
                    summary: summary.map { String($0.prefix(200)) },
                    isError: isError, durationMs: duration))
        }
    }
}
