import Channels
import Foundation
import Platform

/// `/stop` and `/status`: they act when they come in, since they must not wait behind the run that they are about.
struct SideDoor: Sendable {
    let records: any RecordStore
    let answers: PlatformAnswers
    let directory: Directory
    let settlement: Settlement
    let runs: any RunControl
    let time: any TimeSource

    /// Acts and queues the answer, then stores the command as answered; every step may be repeated.
    func act(_ command: SlashCommand, _ message: Message, _ bot: Bot) async throws {
        if let known = try await records.get(Message.self, message.key), known.state.isSettled { return }
        let text: String
        switch command.kind {
        case .stop: text = try await stop(message)
        default: text = try await status(message, bot)
        }
        var stored = message
        stored.state = .answered
        do {
            if ChatEvents.watches(message.groupJid) {
                try await settlement.events.append([ChatEvents.message(stored)], to: bot.botId, with: [stored.putting(if: .recordAbsent)])
            } else {
                try await records.put(stored, if: .recordAbsent)
            }
        } catch RecordStoreError.conditionFailed {
            // A repeat of the provider's; the answer below is dropped as a duplicate.
        }
        try await answers.answer(message, userId: bot.userId, text, code: "side-door", settles: false)
    }

    /// Cancels the run, and drops what was sent before and waits behind it.
    private func stop(_ message: Message) async throws -> String {
        let key = Session.key(message.session)
        let bar = Timestamp.text(message.timestamp)
        var stopped: Run?
        do {
            let before = try await records.write(
                .update(
                    key, [.set("stoppedBefore", .string(bar)), .set("run.stopped", true), .add("epoch", 1)],
                    if: .and([.exists("run.invocationId"), .absent("run.final")])), returning: .before)
            stopped = try before.map(Session.init(record:))?.run
        } catch RecordStoreError.conditionFailed(_, let current) {
            if current != nil { try await records.update(key, [.set("stoppedBefore", .string(bar))]) }
        }
        let waiting = try await waitingMessages(message.session, before: message.timestamp)
        for other in waiting where other.messageId != stopped?.messageId {
            do {
                let entries = ChatEvents.watches(message.groupJid) ? [ChatEvents.status(message.groupJid, "stopped", nil, at: time.now())] : []
                try await settlement.events.append(
                    entries, to: message.botId, with: [.update(other.key, [.set("state", "stopped")], if: .equals("state", "queued"))])
            } catch RecordStoreError.conditionFailed {
                // It was taken up meanwhile; the bar in the session stops it.
            }
        }
        if let stopped { await runs.cancel(message.session, stopped.invocationId) }
        switch (stopped != nil, waiting.count) {
        case (true, let count) where count > 1: return "Stopped, and dropped what was waiting."
        case (true, _): return "Stopped."
        case (false, 0): return "Nothing is running here."
        default: return "Dropped what was waiting."
        }
    }

    private func waitingMessages(_ session: SessionKey, before: Date) async throws -> [Message] {
        try await records.query(
            Message.self,
            RecordQuery(
                Tables.messages, partition: session.partition, sort: .atMost("\(Timestamp.text(before))#~"),
                filter: .oneOf("state", ["queued", "running"]), descending: true, limit: 200)
        ).items.filter { !$0.isBotMessage }
    }

    private func status(_ message: Message, _ bot: Bot) async throws -> String {
        let session = try await records.get(Session.self, Session.key(message.session))
        let owner = try await records.get(User.self, User.key(bot.userId))
        let waiting = try await waitingMessages(message.session, before: message.timestamp).filter { $0.state == .queued }.count
        var lines = ["**\(bot.name)** — \(bot.status == .paused ? "paused" : "active")"]
        if let model = try await directory.model(for: bot) { lines.append("Model: \(model.model) (\(model.provider.providerName))") }
        if let run = session?.run, !run.stopped {
            lines.append("Working for \(Int(time.now().timeIntervalSince(run.startedAt))) s (try \(run.attempt))")
        } else {
            lines.append(session?.agentSessionId == nil ? "No session yet" : "Idle, session kept")
        }
        if waiting > 0 { lines.append("Waiting: \(waiting)") }
        if let owner {
            let month = Timestamp.month(time.now())
            let used = owner.usageMonth == month ? owner.usageTokens - owner.slots.values.filter { $0.month == month }.reduce(0) { $0 + $1.reserved } : 0
            lines.append("Tokens this month: \(max(0, used)) of \(owner.quota.maxMonthlyTokens)")
        }
        return lines.joined(separator: "\n")
    }
}

/// Ends a run that is under way: its grant is dead already, this cuts its streams and cancels its process.
public protocol RunControl: Sendable {
    func cancel(_ session: SessionKey, _ invocation: InvocationID) async
}

extension SlashCommand {
    /// Acts when it comes in; the others wait their turn in the queue.
    var actsAtOnce: Bool { kind == .stop || kind == .status }
}
