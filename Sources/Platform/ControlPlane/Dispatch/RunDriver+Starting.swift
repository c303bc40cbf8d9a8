import Foundation
import Logging
import Platform

/// How a run begins: quota and slot first, then one write that makes it the current one, then the hand-over to the compute.
extension RunDriver {
    struct Work: Sendable {
        enum Subject: Sendable {
            case message([Message])
            case task(ScheduledTask, ScheduledTaskPayload)
        }
        var session: SessionKey
        var bot: Bot
        var subject: Subject
        /// When it came off the queue.
        var takenUp: Date
    }

    /// A run of this message exists: waits for it or ends it. False = its process is gone, so it must be tried again.
    func resume(_ run: Run, in session: SessionKey, bot: Bot, message: Message?) async throws -> Bool {
        if run.stopped {
            try await settlement.settle(session, invocation: run.invocationId, .stopped)
            return true
        }
        if run.final != nil {
            try await sendFinal(run, in: session, userId: bot.userId)
            try await waitForSettlement(run.invocationId, in: session)
            return true
        }
        if run.node == node, case .running(let id) = await compute.status(session), id == nil || id == run.invocationId {
            return try await watch(run, in: session, bot: bot) == .settled
        }
        return false
    }

    /// A run that an earlier message left behind; its delivery ended in the dead-letter queue. It must not block what follows.
    func finishLeftover(_ run: Run, in session: SessionKey, bot: Bot) async throws {
        if run.stopped {
            try await settlement.settle(session, invocation: run.invocationId, .stopped)
        } else if run.final != nil {
            try await sendFinal(run, in: session, userId: bot.userId)
            try await waitForSettlement(run.invocationId, in: session)
        } else {
            try await fail(run, in: session, bot: bot, .agentFailed)
        }
    }

    func drive(_ work: Work, attempt first: Int) async throws {
        var attempt = first
        while true {
            if attempt > Self.tries {
                guard let run = try await records.get(Session.self, Session.key(work.session))?.run else { return }
                try await fail(run, in: work.session, bot: work.bot, .agentFailed)
                return
            }
            if attempt > first {
                // Paused or deleted while it ran: its agent was ended for that reason and must not come back.
                let bot = try await directory.bot(work.bot.botId)
                if bot == nil || bot?.status == .paused {
                    guard let run = try await records.get(Session.self, Session.key(work.session))?.run else { return }
                    try await fail(run, in: work.session, bot: work.bot, .botUnavailable)
                    return
                }
            }
            let slot = QuotaLedger.slot(for: work.session)
            let deadline = time.now() + Double(work.bot.containerConfig.timeoutSeconds)
            switch try await reserve(work, slot: slot, until: deadline + 60) {
            case .ready: break
            case .refused: return
            }
            guard let started = try await start(work, slot: slot, attempt: attempt) else { return }
            let watched = try await LogContext.with(["invocationId": started.invocationId.rawValue]) { try await watch(started, in: work.session, bot: work.bot) }
            switch watched {
            case .settled: return
            case .died(let reason):
                logger.warning("run died", metadata: ["invocation": "\(started.invocationId)", "reason": "\(reason)", "try": "\(attempt)"])
                try await cut(started.invocationId, in: work.session)
                attempt += 1
            }
        }
    }

    enum Readiness { case ready, refused }

    func reserve(_ work: Work, slot: String, until expiry: Date) async throws -> Readiness {
        var pause = Duration.seconds(5)
        while true {
            switch try await ledger.reserve(work.bot.userId, slot: slot, until: expiry) {
            case .held: return .ready
            case .inactive:
                try await refuse(work, .botUnavailable, "This bot is not available at the moment.", silent: true)
                return .refused
            case .quotaExceeded(let reset):
                observer(.quotaRejected(.tokens))
                try await refuse(work, .quotaExceeded, "\(FailureCode.quotaExceeded.sentence) It resets on \(Timestamp.day(reset)).", silent: false)
                return .refused
            case .noSlot:
                if pause == .seconds(5) { observer(.quotaRejected(.slots)) }
                try await waitForRoom(of: work.bot.userId, pause)
                pause = min(pause * 2, .seconds(60))
                if try await isOver(work) { return .refused }
            }
        }
    }

    func refuse(_ work: Work, _ code: FailureCode, _ sentence: String, silent: Bool) async throws {
        switch work.subject {
        case .message(let parts):
            try await note(parts[0], work.takenUp, code.rawValue)
            for part in parts.dropFirst() { try await end(part, .failed(code)) }
            if silent { try await end(parts[0], .failed(code)) } else { try await refuse(parts[0], work.bot, code, sentence: sentence) }
        case .task(let task, let payload): try await skip(task, payload, sentence)
        }
    }

    /// Whether the message was stopped, deleted or the bot paused while it waited.
    func isOver(_ work: Work) async throws -> Bool {
        guard case .message(let parts) = work.subject else { return false }
        guard let message = try await records.get(Message.self, parts[0].key) else { return true }
        return message.state.isSettled
    }

    /// Waits until a slot of the user, or (nil) room on this node, was freed, at most `pause`.
    func waitForRoom(of user: UserID?, _ pause: Duration) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await board.waitForCapacity(of: user) }
            group.addTask { try? await time.sleep(for: pause) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    /// Writes the run and hands the invocation to the compute. Nil = there is nothing left to do.
    func start(_ work: Work, slot: String, attempt: Int) async throws -> Run? {
        guard let model = try await directory.model(for: work.bot) else {
            try await refuse(work, .providerUnavailable, "This bot's model provider does not exist any more. Its owner can choose another one.", silent: false)
            try await ledger.release(work.bot.userId, slot: slot)
            return nil
        }
        let stored = try await records.get(Session.self, Session.key(work.session))
        let session = stored ?? Session(session: work.session, userId: work.bot.userId)
        let build = try await builder.build(work, session: session, model: model, slot: slot, attempt: attempt, node: node)
        guard try await begin(build, in: session, isNew: stored == nil, work) else { return nil }
        let handed: Bool
        do { handed = try await handOver(build.payload) } catch let error as ComputeError {
            logger.error("agent not started", metadata: ["invocation": "\(build.run.invocationId)", "error": "\(error)"])
            if attempt >= Self.tries || error.isPermanent {
                try await fail(build.run, in: work.session, bot: work.bot, .agentFailed)
                return nil
            }
            try await time.sleep(for: .seconds(attempt))
            return try await start(work, slot: slot, attempt: attempt + 1)
        }
        if !handed {
            // Stopped while it waited for room.
            try await settlement.settle(work.session, invocation: build.run.invocationId, .stopped)
            return nil
        }
        return build.run
    }

    /// Writes the run into the session, together with the message's or task's state. False = there is nothing left to do.
    func begin(_ build: InvocationBuilder.Build, in session: Session, isNew: Bool, _ work: Work) async throws -> Bool {
        let now = time.now()
        let old = session.run
        var build = build
        let tryName = build.run.attempt > 1 ? "try \(build.run.attempt)" : nil
        if case .task(_, let payload) = work.subject {
            let steps = dispatchSteps(build.run.trace, waitingSince: payload.timestamp, takenUp: work.takenUp, name: tryName, at: now)
            build.run.trace = (build.run.trace ?? []) + steps
        }
        var writes: [RecordWrite] = []
        if isNew {
            var session = session
            session.run = build.run
            session.epoch = build.epoch
            session.lastActiveAt = now
            writes.append(try session.putting(if: .recordAbsent))
        } else {
            var changes: [Change] = [
                .set("run", .object(try DocumentCoder.encode(build.run))), .set("epoch", .int(build.epoch)), .set("lastActiveAt", .string(Timestamp.text(now))),
            ]
            if build.run.isolated != true, session.resetPending { changes += [.set("resetPending", false), .remove("agentSessionId")] }
            // Nobody else began a run meanwhile, and no /stop came that this message would have missed.
            writes.append(.update(
                session.key, changes,
                if: .and([
                    old.map { .equals("run.invocationId", .value(.string($0.invocationId.rawValue))) } ?? .absent("run"),
                    session.stoppedBefore.map { .equals("stoppedBefore", .value(.string(Timestamp.text($0)))) } ?? .absent("stoppedBefore"),
                ])))
        }
        if case .message(let parts) = work.subject {
            // Another try of the same message: its wait in the queue is in its record already, which was read before the first one.
            let isRetry = old?.messageId == parts[0].messageId
            for part in parts.prefix(10) {
                let known = isRetry ? [TraceStep(.queue, at: now), TraceStep(.dispatch, at: now)] : part.trace
                let steps = dispatchSteps(known, waitingSince: part.trace?.first?.at, takenUp: work.takenUp, name: tryName, at: now)
                writes.append(.update(
                    part.key, [.set("state", "running"), .append("trace", try steps.map { .object(try DocumentCoder.encode($0)) })], if: .oneOf("state", ["queued", "running", "context"])))
            }
        } else if case .task(let task, let payload) = work.subject {
            writes.append(.update(task.key, [.set("lastFire", .string(Timestamp.text(payload.scheduledFor)))], if: .equals("status", "active")))
        }
        let entries = ChatEvents.watches(work.session.groupJid)
            ? [ChatEvents.status(work.session.groupJid, "running", build.run.invocationId, at: now)] : []
        do {
            try await settlement.events.append(entries, to: work.bot.botId, with: writes)
            return true
        } catch RecordStoreError.conditionFailed(let index, _) {
            // Whoever takes it up again asks for the slot again; a slot without a run would block the user's other conversations.
            try await ledger.release(work.bot.userId, slot: build.run.slot)
            if index > 0 {
                // The message was stopped or deleted, or the task paused, in this very moment.
                if let old, old.stopped { try await settlement.settle(work.session, invocation: old.invocationId, .stopped) }
                return false
            }
            throw ReleaseDelivery(delay: .zero)
        }
    }

    /// Starts the agent, waiting while its unit is busy or the node is full. False = stopped meanwhile.
    func handOver(_ payload: InvocationPayload) async throws -> Bool {
        var pause = Duration.seconds(5), busyPause = Duration.milliseconds(4)
        while true {
            switch try await compute.start(payload) {
            case .accepted: return true
            case .busy:
                // Mostly its last run, which ends a moment after its final reply was accepted.
                try await time.sleep(for: busyPause)
                busyPause = min(busyPause * 2, .seconds(1))
            case .full(let delay):
                try await waitForRoom(of: nil, min(delay, pause))
                pause = min(pause * 2, .seconds(60))
            }
            guard let run = try await records.get(Session.self, Session.key(payload.session))?.run, run.invocationId == payload.invocationId, !run.stopped
            else { return false }
        }
    }
}
