import AsyncHTTPClient
import Foundation
import Logging
import Platform

/// Carries one invocation out: runs the engine under its deadline, shows what it does, and posts exactly one end (SEC-114).
public struct InvocationRun: Sendable {
    /// Longest text of one reply (API.md §6.2); what exceeds it goes as several.
    static let replyLimit = 100_000
    /// The grant lives 60 s longer than the run; replies may be posted until shortly before.
    static let postingGrace: TimeInterval = 50

    let engine: any AgentEngine
    let http: HTTPClient
    var time: any TimeSource = SystemTime()
    let logger: Logger

    public init(engine: any AgentEngine, http: HTTPClient, time: any TimeSource = SystemTime(), logger: Logger) {
        self.engine = engine; self.http = http; self.time = time; self.logger = logger
    }

    public func perform(_ payload: InvocationPayload, control: RunControl) async {
        var logger = logger
        logger[metadataKey: "invocationId"] = "\(payload.invocationId)"
        guard let address = GatewayAddress(payload.gatewayUrl) else { return logger.error("the payload's gatewayUrl is not usable") }
        let gateway = GatewayClient(
            address: address, grant: Secret(payload.grant), http: http, deadline: payload.deadline, time: time, logger: logger)
        let run = EngineRun(payload: payload, gateway: gateway, outbox: ReplyOutbox(client: gateway))
        logger.info("run begins", metadata: ["session": "\(payload.session)", "model": "\(payload.model)"])
        let started = ContinuousClock.now

        let outcome = await watched(run, control: control)
        do {
            try await conclude(run, outcome, reason: control.reason, logger: logger)
        } catch {
            logger.error("the end of the run could not be reported", metadata: ["error": "\(error)"])
        }
        logger.info("run ends", metadata: ["ms": "\((ContinuousClock.now - started).milliseconds)"])
    }

    /// Runs the engine while its events go out; returns after the events that came before its end have left.
    private func watched(_ run: EngineRun, control: RunControl) async -> EngineOutcome {
        let uplink = EventUplink(client: run.gateway)
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { if await uplink.run() == .runEnded { control.cancel(.grantDead) } }
            let outcome = await underControl(run, control: control) { Self.forward($0, to: uplink) }
            uplink.finish()
            switch outcome {
            case .answer, .failure:
                // A gateway that does not read must not hold the reply up.
                group.addTask { try? await Task.sleep(for: .milliseconds(500)) }
                await group.next()
            case .interrupted, .runEnded: break
            }
            group.cancelAll()
            return outcome
        }
    }

    private func underControl(_ run: EngineRun, control: RunControl, emit: @escaping @Sendable (EngineEvent) -> Void) async -> EngineOutcome {
        await withTaskGroup(of: EngineOutcome?.self) { group in
            group.addTask { await engine.run(run, emit: emit) }
            group.addTask {
                if (try? await time.sleep(until: run.payload.deadline)) != nil { control.cancel(.deadline) }
                return nil
            }
            group.addTask { await control.wait(); return nil }
            var outcome = EngineOutcome.interrupted
            for await result in group {
                if let result { outcome = result }
                // The first to come is the engine, or a reason to cancel it; then all are waited for.
                group.cancelAll()
            }
            return outcome
        }
    }

    private static func forward(_ event: EngineEvent, to uplink: EventUplink) {
        switch event {
        case .text(let messageId, let text): uplink.delta(messageId, text)
        case .server(let id, let problem): uplink.server(.init(mcpServerId: id, problem: problem))
        case .toolStart(let id, let name, let summary): uplink.tool(.init(toolUseId: id, name: name, phase: .start, summary: summary))
        case .toolEnd(let id, let name, let isError, let duration):
            uplink.tool(.init(toolUseId: id, name: name, phase: .end, isError: isError, durationMs: duration.milliseconds))
        case .toolDenied(let id, let name):
            uplink.tool(.init(toolUseId: id, name: name, phase: .denied, summary: "not allowed for this bot", isError: true))
        }
    }

    // MARK: The end

    private func conclude(_ run: EngineRun, _ outcome: EngineOutcome, reason: RunControl.Reason?, logger: Logger) async throws {
        switch outcome {
        case .answer(let answer):
            // A stop that came after the engine's last word changes nothing here: the gateway decides whether the run still counts.
            try await post(answer, of: run, logger: logger)
        case .failure(let code, let detail):
            logger.warning("run failed", metadata: ["code": "\(code.rawValue)", "detail": "\(detail)"])
            try await fail(run, code)
        case .interrupted:
            switch reason {
            case .deadline:
                logger.warning("run ended by its deadline")
                try await fail(run, .agentTimeout)
            case .stopped, .grantDead, .shutdown, nil: logger.info("run interrupted", metadata: ["reason": "\(String(describing: reason))"])
            }
        case .runEnded: logger.info("run is over for the gateway")
        }
    }

    private func post(_ answer: EngineAnswer, of run: EngineRun, logger: Logger) async throws {
        let sentBefore = await run.outbox.sent
        let text = answer.text.trimmingPrefix(while: \.isWhitespace)
        guard !text.allSatisfy(\.isWhitespace) || sentBefore > 0 || run.payload.isScheduledTask == true else {
            logger.warning("run ended without an answer")
            return try await fail(run, .agentFailed)
        }
        let until = run.payload.deadline + Self.postingGrace
        var parts = ReplySplitter.split(String(text), limit: Self.replyLimit)
        let last = parts.popLast() ?? ""
        do {
            for (index, part) in parts.enumerated() {
                let id = index == 0 ? answer.messageId : MessageID(ULID.make())
                try await run.outbox.post(AgentReply(messageId: id, kind: .message, text: part), until: until)
            }
            var final = AgentReply(messageId: parts.isEmpty ? answer.messageId : MessageID(ULID.make()), kind: .final, text: last)
            final.newSessionId = answer.sessionId
            final.numTurns = answer.turns
            if !answer.alsoAnswers.isEmpty { final.alsoAnswers = answer.alsoAnswers }
            try await run.outbox.post(final, until: until)
        } catch GatewayError.refused(let status, let slug, _) {
            logger.error("the gateway refused the final reply", metadata: ["status": "\(status)", "slug": "\(slug)"])
            return try await fail(run, .agentFailed)
        }
        await answer.commit()
    }

    /// A fixed sentence and the reference under which the log has the cause (SEC-113).
    private func fail(_ run: EngineRun, _ code: FailureCode) async throws {
        var reply = AgentReply(kind: .error, text: "\(code.sentence) (Reference: \(run.payload.invocationId))")
        reply.errorCode = code
        try await run.outbox.post(reply, until: run.payload.deadline + Self.postingGrace)
    }
}

/// Cuts a text that is too long for one reply, at paragraph or line ends where there are some.
enum ReplySplitter {
    /// - Parameter limit: bytes of UTF-8 per part.
    static func split(_ text: String, limit: Int) -> [String] {
        guard text.utf8.count > limit else { return [text] }
        var parts: [String] = []
        var rest = Substring(text)
        while rest.utf8.count > limit {
            var end = rest.utf8.index(rest.startIndex, offsetBy: limit)
            // Not inside a character.
            while rest.utf8[end] & 0xC0 == 0x80 { end = rest.utf8.index(before: end) }
            let window = rest[..<end]
            let half = window.utf8.index(window.startIndex, offsetBy: limit / 2)
            let cut = [window.range(of: "\n\n", options: .backwards), window.range(of: "\n", options: .backwards), window.range(of: " ", options: .backwards)]
                .compactMap { $0?.upperBound }.first { $0 > half } ?? end
            parts.append(String(rest[..<cut]))
            rest = rest[cut...]
        }
        if !rest.isEmpty { parts.append(String(rest)) }
        return parts
    }
}
