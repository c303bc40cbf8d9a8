import Channels
import Foundation
import Logging
import Platform

/// Sees one message or task through: answers commands, waits for quota and slot, starts the agent, watches it, tries again,
/// and ends only when it is settled.
public struct RunDriver: Sendable {
    /// A run that dies is tried that often in all; the death of a control plane is no try.
    static let tries = 3

    let records: any RecordStore
    let replies: any MessageQueue
    let compute: any AgentCompute
    let directory: Directory
    let channels: ChannelRegistry
    let ledger: QuotaLedger
    let settlement: Settlement
    let answers: PlatformAnswers
    let deadLetters: DeadLetterBook
    let builder: InvocationBuilder
    let fetcher: AttachmentFetcher
    let board: SettlementBoard
    let ending: any RunEnding
    /// This process: a run of another one that is gone is taken up again.
    let node: String
    let time: any TimeSource
    let logger: Logger

    // MARK: Messages

    func message(_ payload: InboundMessagePayload, delivery: QueueDelivery) async throws {
        guard let bot = try await owned(payload.botId, by: payload.userId, delivery) else { return }
        let session = payload.session
        guard let message = try await records.get(Message.self, Message.key(session, payload.timestamp, payload.messageId)), !message.state.isSettled
        else { return }
        let state = try await records.get(Session.self, Session.key(session))
        if let run = state?.run {
            if run.messageId == message.messageId || run.alsoAnswers.contains(where: { $0.messageId == message.messageId }) {
                if try await resume(run, in: session, bot: bot, message: message) { return }
            } else {
                try await finishLeftover(run, in: session, bot: bot)
            }
        }
        if let bar = state?.stoppedBefore, message.timestamp <= bar, state?.run?.messageId != message.messageId {
            try await end(message, .stopped)
            return
        }
        if message.isCommand == true, let command = SlashCommand.parse(message.content) {
            if try await answer(command, message, bot) { return }
        }
        if bot.status == .paused {
            try await refuse(message, bot, .botUnavailable, sentence: FailureCode.botUnavailable.sentence)
            return
        }
        var parts = [message]
        if let album = message.albumId { parts = try await albumParts(album, of: message) }
        for index in parts.indices { parts[index] = try await fetcher.fetch(parts[index], bot: bot) }
        let previous = try await records.get(Session.self, Session.key(session))?.run
        try await drive(Work(session: session, bot: bot, subject: .message(parts)), attempt: previous.map { $0.node == node ? $0.attempt + 1 : $0.attempt } ?? 1)
    }

    /// Answers a platform command; false = the engine's business.
    private func answer(_ command: SlashCommand, _ message: Message, _ bot: Bot) async throws -> Bool {
        switch command.kind {
        case .clear:
            let key = Session.key(message.session)
            do {
                try await records.update(key, [.set("resetPending", true)])
            } catch RecordStoreError.conditionFailed {
                try await records.put(Session(session: message.session, userId: bot.userId), if: .recordAbsent)
            }
            try await answers.answer(message, userId: bot.userId, "Session reset. My memory files are kept.", code: "clear")
        case .help, .start:
            try await answers.answer(message, userId: bot.userId, CommandTexts.help(bot), code: "help")
        case .unknown(let name):
            try await answers.answer(message, userId: bot.userId, "Unknown command: /\(name). /help lists them.", code: "unknown")
        case .context, .compact: return false
        case .stop, .status:
            // Both act at the side door; one that was queued by an older version is settled here.
            try await end(message, .answered)
        }
        return true
    }

    private func owned(_ botId: BotID, by userId: UserID, _ delivery: QueueDelivery) async throws -> Bot? {
        guard let bot = try await directory.bot(botId) else { return nil }
        guard bot.userId == userId else {
            try await deadLetters.bury(delivery, from: .inbound, kind: "forged", reason: "The message names an owner that the bot does not have.")
            return nil
        }
        return bot
    }

    private func albumParts(_ album: String, of message: Message) async throws -> [Message] {
        var known = 0
        while true {
            let parts = try await records.query(
                Message.self,
                RecordQuery(
                    Tables.messages, partition: message.session.partition, sort: .atLeast(Timestamp.text(message.timestamp - 60)),
                    filter: .equals("albumId", .value(.string(album))), limit: 20)).items
            if parts.count == known { return parts.isEmpty ? [message] : parts }
            known = parts.count
            // A second without a new part ends an album (CHANNELS.md §2).
            try await time.sleep(for: .seconds(1))
        }
    }

    /// Ends a message that no run answers.
    private func end(_ message: Message, _ outcome: Settlement.Outcome) async throws {
        let now = time.now()
        let writes = try await Settlement.stateWrites(
            [MessageRef(messageId: message.messageId, timestamp: message.timestamp)], in: message.session, outcome, invocation: nil, records: records, at: now)
        let entries = ChatEvents.watches(message.groupJid) ? [ChatEvents.status(message.groupJid, outcome.chatState, nil, at: now)] : []
        try await settlement.events.append(entries, to: message.botId, with: writes)
    }

    /// Settles a message as failed; the reason is said once a day in its conversation (web chat always says it).
    private func refuse(_ message: Message, _ bot: Bot, _ code: FailureCode, sentence: String) async throws {
        if message.channelType == .web {
            try await answers.answer(message, userId: bot.userId, sentence, code: code.rawValue, failure: code)
        } else if try await answers.firstToday("\(code.rawValue)/\(message.session.partition)") {
            try await answers.answer(message, userId: bot.userId, sentence, code: code.rawValue, failure: code)
        } else {
            try await end(message, .failed(code))
        }
    }

    // MARK: Tasks

    func task(_ payload: ScheduledTaskPayload, delivery: QueueDelivery) async throws {
        guard let bot = try await owned(payload.botId, by: payload.userId, delivery) else { return }
        guard let task = try await records.get(ScheduledTask.self, ScheduledTask.key(payload.botId, payload.taskId)) else { return }
        guard task.groupJid == payload.groupJid, task.userId == payload.userId else {
            try await deadLetters.bury(delivery, from: .inbound, kind: "forged", reason: "The fired task does not match its record.")
            return
        }
        let session = payload.session
        if let run = try await records.get(Session.self, Session.key(session))?.run {
            if run.taskId == task.taskId, run.scheduledFor == payload.scheduledFor {
                if try await resume(run, in: session, bot: bot, message: nil) { return }
            } else {
                try await finishLeftover(run, in: session, bot: bot)
            }
        } else if let last = task.lastFire, payload.scheduledFor <= last {
            return
        }
        guard task.status == .active else { return }
        if payload.passedOver == true {
            try await passOver(task, payload, bot)
            return
        }
        guard bot.status != .paused else {
            try await skip(task, payload, "The bot was paused.")
            return
        }
        let previous = try await records.get(Session.self, Session.key(session))?.run
        let attempt = previous.map { $0.node == node ? $0.attempt + 1 : $0.attempt } ?? 1
        try await drive(Work(session: session, bot: bot, subject: .task(task, payload)), attempt: attempt)
    }

    /// Too late to run it: its record says so, and for a reminder that will never come again its conversation is told.
    private func passOver(_ task: ScheduledTask, _ payload: ScheduledTaskPayload, _ bot: Bot) async throws {
        let due = PromptBuilder.local(payload.scheduledFor, task.timezone).replacingOccurrences(of: "T", with: " ")
        if task.scheduleType == .once, let group = try await records.get(Group.self, Group.key(payload.session)) {
            try await answers.send(
                "I was switched off when this was due (\(due)), and it is too late to do it now: \(task.prompt.prefix(300))",
                key: "\(payload.deduplicationID)#passed-over", to: payload.session, userId: bot.userId, channel: group.channelType,
                replyContext: group.replyContext, at: payload.scheduledFor)
        }
        try await skip(task, payload, "Passed over: the platform was off when it was due (\(due)).")
    }

    private func skip(_ task: ScheduledTask, _ payload: ScheduledTaskPayload, _ reason: String) async throws {
        try await settlement.tasks.completeFire(task.botId, task.taskId, scheduledFor: payload.scheduledFor, outcome: .skipped, result: reason)
    }

    // MARK: Runs

    struct Work: Sendable {
        enum Subject: Sendable {
            case message([Message])
            case task(ScheduledTask, ScheduledTaskPayload)
        }
        var session: SessionKey
        var bot: Bot
        var subject: Subject
    }

    /// A run of this message exists: waits for it or ends it. False = its process is gone, so it must be tried again.
    private func resume(_ run: Run, in session: SessionKey, bot: Bot, message: Message?) async throws -> Bool {
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
    private func finishLeftover(_ run: Run, in session: SessionKey, bot: Bot) async throws {
        if run.stopped {
            try await settlement.settle(session, invocation: run.invocationId, .stopped)
        } else if run.final != nil {
            try await sendFinal(run, in: session, userId: bot.userId)
            try await waitForSettlement(run.invocationId, in: session)
        } else {
            try await fail(run, in: session, bot: bot, .agentFailed)
        }
    }

    private func drive(_ work: Work, attempt first: Int) async throws {
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
            switch try await watch(started, in: work.session, bot: work.bot) {
            case .settled: return
            case .died(let reason):
                logger.warning("run died", metadata: ["invocation": "\(started.invocationId)", "reason": "\(reason)", "try": "\(attempt)"])
                try await cut(started.invocationId, in: work.session)
                attempt += 1
            }
        }
    }

    private enum Readiness { case ready, refused }

    private func reserve(_ work: Work, slot: String, until expiry: Date) async throws -> Readiness {
        var pause = Duration.seconds(5)
        while true {
            switch try await ledger.reserve(work.bot.userId, slot: slot, until: expiry) {
            case .held: return .ready
            case .inactive:
                try await refuse(work, .botUnavailable, "This bot is not available at the moment.", silent: true)
                return .refused
            case .quotaExceeded(let reset):
                try await refuse(work, .quotaExceeded, "\(FailureCode.quotaExceeded.sentence) It resets on \(Timestamp.day(reset)).", silent: false)
                return .refused
            case .noSlot:
                try await waitForRoom(pause)
                pause = min(pause * 2, .seconds(60))
                if try await isOver(work) { return .refused }
            }
        }
    }

    private func refuse(_ work: Work, _ code: FailureCode, _ sentence: String, silent: Bool) async throws {
        switch work.subject {
        case .message(let parts):
            for part in parts.dropFirst() { try await end(part, .failed(code)) }
            if silent { try await end(parts[0], .failed(code)) } else { try await refuse(parts[0], work.bot, code, sentence: sentence) }
        case .task(let task, let payload): try await skip(task, payload, sentence)
        }
    }

    /// Whether the message was stopped, deleted or the bot paused while it waited.
    private func isOver(_ work: Work) async throws -> Bool {
        guard case .message(let parts) = work.subject else { return false }
        guard let message = try await records.get(Message.self, parts[0].key) else { return true }
        return message.state.isSettled
    }

    /// Waits until something was freed on this node, at most `pause`.
    private func waitForRoom(_ pause: Duration) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await board.waitForCapacity() }
            group.addTask { try? await time.sleep(for: pause) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    /// Writes the run and hands the invocation to the compute. Nil = there is nothing left to do.
    private func start(_ work: Work, slot: String, attempt: Int) async throws -> Run? {
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
    private func begin(_ build: InvocationBuilder.Build, in session: Session, isNew: Bool, _ work: Work) async throws -> Bool {
        let now = time.now()
        let old = session.run
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
            let step = Value.object(try DocumentCoder.encode(TraceStep(.dispatch, at: now)))
            for part in parts.prefix(10) {
                writes.append(.update(
                    part.key, [.set("state", "running"), .append("trace", [step])], if: .oneOf("state", ["queued", "running", "context"])))
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
    private func handOver(_ payload: InvocationPayload) async throws -> Bool {
        var pause = Duration.seconds(5)
        while true {
            switch try await compute.start(payload) {
            case .accepted: return true
            case .busy: try await waitForRoom(.seconds(1))
            case .full(let delay):
                try await waitForRoom(min(delay, pause))
                pause = min(pause * 2, .seconds(60))
            }
            guard let run = try await records.get(Session.self, Session.key(payload.session))?.run, run.invocationId == payload.invocationId, !run.stopped
            else { return false }
        }
    }

    private enum Watched: Equatable { case settled, died(String) }

    /// Waits for the run's settlement; notices its death, its stop and its deadline.
    private func watch(_ run: Run, in session: SessionKey, bot: Bot) async throws -> Watched {
        let typing = Task { await showActivity(run, session) }
        defer { typing.cancel() }
        while true {
            // Taken before the look, so that a change right after it is not slept through.
            let mark = await board.mark()
            guard let state = try await records.get(Session.self, Session.key(session)), let now = state.run, now.invocationId == run.invocationId
            else { return .settled }
            if now.stopped, now.final == nil {
                await compute.stop(session, invocation: run.invocationId)
                try await cut(run.invocationId, in: session)
                try await settlement.settle(session, invocation: run.invocationId, .stopped)
                return .settled
            }
            if now.final == nil {
                let status = await compute.status(session)
                switch status {
                case .running(let id) where id == nil || id == run.invocationId: break
                case .unknown where time.now().timeIntervalSince(now.lastBeat) < 120: break
                default:
                    // The agent may have replied between our read of the record and its going idle.
                    guard let again = try await records.get(Session.self, Session.key(session))?.run, again.invocationId == run.invocationId
                    else { return .settled }
                    if again.final == nil && !again.stopped { return .died("agent is \(status)") }
                }
                if time.now() > run.deadline + 30 {
                    await compute.stop(session, invocation: run.invocationId)
                    await compute.retire(session)
                    return .died("past its deadline")
                }
            }
            try await waitForChange(session, since: mark, until: now.final == nil ? min(time.now() + 20, run.deadline + 31) : time.now() + 20)
        }
    }

    private func waitForChange(_ session: SessionKey, since mark: UInt64, until: Date) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await board.wait(session, since: mark) }
            group.addTask { try? await time.sleep(until: until) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    private func waitForSettlement(_ invocation: InvocationID, in session: SessionKey) async throws {
        while true {
            let mark = await board.mark()
            guard try await records.get(Session.self, Session.key(session))?.run?.invocationId == invocation else { return }
            try await waitForChange(session, since: mark, until: time.now() + 20)
        }
    }

    private func showActivity(_ run: Run, _ session: SessionKey) async {
        guard run.taskId == nil, let adapter = channels[run.channelType], adapter.capabilities.showsTyping || adapter.capabilities.acknowledges,
            let channel = try? await directory.channel(session.botId, run.channelType)
        else { return }
        let target = ReplyTarget(channel: channel, groupJid: session.groupJid, isGroup: run.isGroup, replyContext: run.replyContext, isFirstChunk: true)
        if adapter.capabilities.acknowledges { await adapter.setActivity(.received, target: target) }
        while adapter.capabilities.showsTyping && !Task.isCancelled {
            await adapter.setActivity(.typing, target: target)
            do { try await time.sleep(for: adapter.capabilities.typingInterval) } catch { return }
        }
    }

    // MARK: Ends

    /// Decides a run as failed, under the same guard as an agent's own final reply, and waits until people were told.
    private func fail(_ run: Run, in session: SessionKey, bot: Bot, _ code: FailureCode) async throws {
        var run = run
        run.final = FinalReply(
            sequence: 1_000_000, messageId: MessageID(ULID.make(at: time.now(), entropy: Digest.sha256("\(run.invocationId)#failed"))),
            text: "\(code.sentence) (Reference: \(run.invocationId))", errorCode: code)
        do {
            try await records.update(
                Session.key(session), [.set("run.final", .object(try DocumentCoder.encode(run.final)))],
                if: .and([.equals("run.invocationId", .value(.string(run.invocationId.rawValue))), .absent("run.final"), .equals("run.stopped", false)]))
        } catch RecordStoreError.conditionFailed(_, let current) {
            guard let state = try current.map(Session.init(record:)), let now = state.run, now.invocationId == run.invocationId else { return }
            if now.stopped {
                try await settlement.settle(session, invocation: run.invocationId, .stopped)
                return
            }
            run = now
        }
        try await cut(run.invocationId, in: session)
        try await sendFinal(run, in: session, userId: bot.userId)
        try await waitForSettlement(run.invocationId, in: session)
    }

    /// Ends what a run still has open at the gateway, and notes what it used: it will be booked with the settlement.
    private func cut(_ invocation: InvocationID, in session: SessionKey) async throws {
        guard let usage = await ending.end(invocation) else { return }
        do {
            try await records.update(
                Session.key(session), [.set("run.usage", .object(try DocumentCoder.encode(usage)))],
                if: .equals("run.invocationId", .value(.string(invocation.rawValue))))
        } catch RecordStoreError.conditionFailed {
            // Settled or superseded in this moment, with its own count.
        }
    }

    /// Queues the final reply of a run (again): the queue and Delivery drop what was there before.
    private func sendFinal(_ run: Run, in session: SessionKey, userId: UserID) async throws {
        guard let final = run.final else { return }
        let payload = ReplyPayload(
            session: session, userId: userId, at: time.now(), channelType: run.channelType, invocationId: run.invocationId, sequence: final.sequence,
            messageId: final.messageId, text: final.text, replyContext: run.replyContext, settles: .run(run.invocationId))
        // An id of its own per resend: the first may have been lost with a queue that was restored.
        try await replies.send(JSON.text(payload), group: session.partition, deduplicationID: "\(run.invocationId)#\(final.sequence)#\(node)")
    }
}

extension ComputeError {
    /// Trying again on this node cannot help.
    var isPermanent: Bool { if case .isolationUnavailable = self { true } else { false } }
}

/// Tells the gateway that an invocation is over: its grant is dead by the record, this cuts what is still open.
public protocol RunEnding: Sendable {
    /// Answers the tokens that the run has used as far as they were metered here; nil when it never called.
    func end(_ invocation: InvocationID) async -> TokenUsage?
}
