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
    var observer: Observer = { _ in }

    // MARK: Messages

    func message(_ payload: InboundMessagePayload, delivery: QueueDelivery) async throws {
        let takenUp = time.now()
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
            if command.kind != .context, command.kind != .compact { try await note(message, takenUp, "command") }
            if try await answer(command, message, bot) { return }
        }
        if bot.status == .paused {
            try await note(message, takenUp, FailureCode.botUnavailable.rawValue)
            try await refuse(message, bot, .botUnavailable, sentence: FailureCode.botUnavailable.sentence)
            return
        }
        var parts = [message]
        if let album = message.albumId { parts = try await albumParts(album, of: message) }
        for index in parts.indices { parts[index] = try await fetcher.fetch(parts[index], bot: bot) }
        let previous = try await records.get(Session.self, Session.key(session))?.run
        try await drive(Work(session: session, bot: bot, subject: .message(parts), takenUp: takenUp), attempt: previous.map { $0.node == node ? $0.attempt + 1 : $0.attempt } ?? 1)
    }

    /// Answers a platform command; false = the engine's business.
    func answer(_ command: SlashCommand, _ message: Message, _ bot: Bot) async throws -> Bool {
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

    func owned(_ botId: BotID, by userId: UserID, _ delivery: QueueDelivery) async throws -> Bot? {
        guard let bot = try await directory.bot(botId) else { return nil }
        guard bot.userId == userId else {
            try await deadLetters.bury(delivery, from: .inbound, kind: "forged", reason: "The message names an owner that the bot does not have.")
            return nil
        }
        return bot
    }

    func albumParts(_ album: String, of message: Message) async throws -> [Message] {
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

    /// Notes how a message that no run answers was dispatched.
    func note(_ message: Message, _ takenUp: Date, _ name: String) async throws {
        let steps = dispatchSteps(message.trace, waitingSince: message.trace?.first?.at, takenUp: takenUp, name: name, at: time.now())
        do { try await records.update(message.key, [.append("trace", steps.map { .object(try DocumentCoder.encode($0)) })], if: .recordExists) } catch RecordStoreError.conditionFailed {
            // Purged meanwhile.
        }
    }

    /// The steps between the queue and a run's beginning. The wait in the queue is told once, however often it is tried.
    func dispatchSteps(_ known: [TraceStep]?, waitingSince: Date?, takenUp: Date, name: String?, at now: Date) -> [TraceStep] {
        var steps: [TraceStep] = []
        if known?.contains(where: { $0.step == .queue }) != true {
            let since = min(waitingSince ?? takenUp, takenUp)
            steps.append(TraceStep(.queue, name: "inbound", at: since, durationMs: TraceStep.milliseconds(since, takenUp)))
        }
        let began = known?.contains { $0.step == .dispatch } == true ? now : takenUp
        return steps + [TraceStep(.dispatch, name: name, at: began, durationMs: TraceStep.milliseconds(began, now))]
    }

    /// Ends a message that no run answers.
    func end(_ message: Message, _ outcome: Settlement.Outcome) async throws {
        let now = time.now()
        let writes = try await Settlement.stateWrites(
            [MessageRef(messageId: message.messageId, timestamp: message.timestamp)], in: message.session, outcome, invocation: nil, records: records, at: now)
        let entries = ChatEvents.watches(message.groupJid) ? [ChatEvents.status(message.groupJid, outcome.chatState, nil, at: now)] : []
        try await settlement.events.append(entries, to: message.botId, with: writes)
    }

    /// Settles a message as failed; the reason is said once a day in its conversation (web chat always says it).
    func refuse(_ message: Message, _ bot: Bot, _ code: FailureCode, sentence: String) async throws {
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
        let takenUp = time.now()
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
        try await drive(Work(session: session, bot: bot, subject: .task(task, payload), takenUp: takenUp), attempt: attempt)
    }

    /// Too late to run it: its record says so, and for a reminder that will never come again its conversation is told.
    func passOver(_ task: ScheduledTask, _ payload: ScheduledTaskPayload, _ bot: Bot) async throws {
        let due = PromptBuilder.local(payload.scheduledFor, task.timezone).replacingOccurrences(of: "T", with: " ")
        if task.scheduleType == .once, let group = try await records.get(Group.self, Group.key(payload.session)) {
            try await answers.send(
                "I was switched off when this was due (\(due)), and it is too late to do it now: \(task.prompt.prefix(300))",
                key: "\(payload.deduplicationID)#passed-over", to: payload.session, userId: bot.userId, channel: group.channelType,
                replyContext: group.replyContext, at: payload.scheduledFor)
        }
        try await skip(task, payload, "Passed over: the platform was off when it was due (\(due)).")
    }

    func skip(_ task: ScheduledTask, _ payload: ScheduledTaskPayload, _ reason: String) async throws {
        try await settlement.tasks.completeFire(task.botId, task.taskId, scheduledFor: payload.scheduledFor, outcome: .skipped, result: reason)
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
    /// Its model and tool calls, those of earlier tries included; empty when it never called here.
    func trace(of invocation: InvocationID) async -> [TraceStep]
}

extension RunEnding {
    public func trace(of invocation: InvocationID) async -> [TraceStep] { [] }
}
