import Foundation
import Logging
import Platform
import Synchronization

/// The one write that ends a message or task: answered, failed or stopped (ARCHITECTURE.md §5).
///
/// A single transaction: the messages' state, the session's run and resumable id, the slot, the usage, the task, the bot's message
/// and the events that web chat shows. It is guarded by the run itself, so the second of two settlements finds nothing to do.
public struct Settlement: Sendable {
    public enum Outcome: Sendable, Equatable {
        case answered
        case failed(FailureCode)
        case stopped

        var state: Message.State {
            switch self {
            case .answered: .answered
            case .failed: .failed
            case .stopped: .stopped
            }
        }
        var chatState: String {
            switch self {
            case .answered: "done"
            case .failed: "failed"
            case .stopped: "stopped"
            }
        }
        var failure: FailureCode? { if case .failed(let code) = self { code } else { nil } }
        var taskOutcome: ScheduledTask.Outcome { self == .answered ? .success : .error }
    }

    let records: any RecordStore
    let ledger: QuotaLedger
    let events: EventLog
    let tasks: TaskService
    let board: SettlementBoard
    let time: any TimeSource
    let logger: Logger
    var observer: Observer = { _ in }
    /// Told of each run that this node settled.
    var onSettled: @Sendable (SessionKey, UserID, InvocationID) -> Void = { _, _, _ in }

    /// Everything a settlement writes, as the records were when it was prepared.
    struct Prepared: Sendable {
        var userId: UserID
        var writes: [RecordWrite]
        var entries: [EventLog.Entry]
        /// For whoever counts, once it is done.
        var observation: Observation

        /// With the delivery's time as it has turned out: what was prepared before a reply was sent did not know it.
        func timed(until now: Date) -> Prepared {
            func timed(_ step: Value) -> Value {
                guard var fields = step.object, fields["step"]?.string == TraceStep.Step.delivery.rawValue, let at = fields["at"]?.string.flatMap(Timestamp.date) else { return step }
                fields["durationMs"] = .int(TraceStep.milliseconds(at, now))
                return .object(fields)
            }
            var timedOne = self
            timedOne.writes = writes.map { write in
                switch write {
                case .update(let key, let changes, let orCreate, let expiry, let condition) where key.table == Tables.messages:
                    let changes = changes.map { change in
                        if case .append("trace", let steps) = change { Change.append("trace", steps.map(timed)) } else { change }
                    }
                    return .update(key, changes, orCreate: orCreate, expiresAt: expiry, if: condition)
                case .put(let key, var document, let expiry, let condition) where key.table == Tables.messages:
                    if let steps = document["trace"]?.array { document["trace"] = .array(steps.map(timed)) }
                    return .put(key, document, expiresAt: expiry, if: condition)
                default: return write
                }
            }
            return timedOne
        }
    }

    /// Reads what the settlement of a run needs and builds its writes; nil when that run was settled or superseded.
    func prepare(_ session: SessionKey, invocation: InvocationID, _ outcome: Outcome, reply: Message? = nil) async throws -> Prepared? {
        guard let state = try await records.get(Session.self, Session.key(session)), let run = state.run, run.invocationId == invocation else { return nil }
        let now = time.now()
        var writes: [RecordWrite] = [sessionWrite(state, run, outcome, at: now)]
        writes += try await messageWrites(run, session, outcome, at: now)
        if let slot = try await ledger.settling(state.userId, slot: run.slot, usage: run.usage) { writes.append(slot) }
        writes += UsageRows.booking(run.usage, user: state.userId, bot: session.botId, model: run.model, at: now)
        if let taskId = run.taskId, let scheduledFor = run.scheduledFor {
            let result = run.missed == true ? "Ran late, the platform was off when it was due. \(run.final?.text ?? "")" : run.final?.text
            writes += try await tasks.settlementWrites(
                session.botId, taskId, scheduledFor: scheduledFor, outcome: outcome.taskOutcome, result: result, at: now)
        }
        if let code = outcome.failure { writes.append(Self.failureWrite(session, code, invocation: run.invocationId, message: run.messageId, task: run.taskId, at: now)) }
        var reply = reply
        // A task has no message of its own: its way is told with what it said.
        if run.taskId != nil { reply?.trace = (run.trace ?? []) + [TraceStep(.delivery, name: run.channelType.rawValue, at: now)] }
        if let reply { writes.append(try reply.putting()) }
        let seconds = max(0, now.timeIntervalSince(run.startedAt))
        return Prepared(
            userId: state.userId, writes: writes, entries: try chatEntries(session, run, outcome, reply, at: now),
            observation: .run(result: outcome.state, mode: run.taskId == nil ? .message : .task, seconds: seconds, usage: run.usage))
    }

    /// Ends a run. `reply` is the bot's message to store with it, where there is one.
    /// - Parameter prepared: what was built before the reply was sent, so that the moment between the vendor's acceptance and
    ///   our record is one write long; when a record moved meanwhile it is built anew.
    /// - Returns: false when that run was settled or superseded before.
    @discardableResult
    func settle(
        _ session: SessionKey, invocation: InvocationID, _ outcome: Outcome, reply: Message? = nil, prepared: Prepared? = nil
    ) async throws -> Bool {
        var ready = prepared
        for attempt in 0..<50 {
            if ready == nil { ready = try await prepare(session, invocation: invocation, outcome, reply: reply) }
            guard let settlement = ready else {
                await board.changed(session)
                return false
            }
            do {
                let settlement = settlement.timed(until: time.now())
                try await events.append(settlement.entries, to: session.botId, with: settlement.writes)
                observer(settlement.observation)
                await board.settled(session, of: settlement.userId)
                onSettled(session, settlement.userId, invocation)
                return true
            } catch RecordStoreError.conditionFailed(let index, _) {
                // Somebody changed one of the records between our read and our write: look again.
                ready = nil
                if attempt > 5 { logger.debug("settlement repeated", metadata: ["invocation": "\(invocation)", "index": "\(index)"]) }
            }
        }
        throw RecordStoreError.unavailable("a settlement lost every race for its records")
    }

    private func sessionWrite(_ state: Session, _ run: Run, _ outcome: Outcome, at now: Date) -> RecordWrite {
        var changes: [Change] = [.remove("run"), .remove("delivery"), .set("lastModel", .string(run.model))]
        if run.isolated != true, let id = run.final?.newSessionId { changes.append(.set("agentSessionId", .string(id))) }
        return .update(state.key, changes, if: .equals("run.invocationId", .value(.string(run.invocationId.rawValue))))
    }

    private func messageWrites(_ run: Run, _ session: SessionKey, _ outcome: Outcome, at now: Date) async throws -> [RecordWrite] {
        var references = run.alsoAnswers
        if let id = run.messageId, let timestamp = run.messageTimestamp { references.insert(MessageRef(messageId: id, timestamp: timestamp), at: 0) }
        return try await Self.stateWrites(
            references, in: session, outcome, invocation: run.invocationId, records: records, steps: run.taskId == nil ? run.trace ?? [] : [],
            channel: run.channelType, at: now)
    }

    /// The writes that end messages; those whose record is gone (90 days) are left out. What fails without a run is kept among the bot's
    /// failures once; a run's own failure is written with its settlement.
    static func stateWrites(
        _ references: [MessageRef], in session: SessionKey, _ outcome: Outcome, invocation: InvocationID?, records: any RecordStore,
        steps: [TraceStep] = [], channel: ChannelType? = nil, at now: Date
    ) async throws -> [RecordWrite] {
        let keys = Array(Set(references)).prefix(12).map { Message.key(session, $0.timestamp, $0.messageId) }
        let present = try await records.batchGet(keys)
        var failed: MessageRef?
        var writes: [RecordWrite] = try keys.compactMap { key in
            guard let record = present[key] else { return nil }
            var changes: [Change] = [.set("state", .string(outcome.state.rawValue))]
            if let invocation { changes.append(.set("invocationId", .string(invocation.rawValue))) }
            if let code = outcome.failure { changes.append(.set("failure", .string(code.rawValue))) }
            let way = steps + [TraceStep(.delivery, name: channel?.rawValue ?? record.document["channelType"]?.string, at: now, durationMs: 0)]
            changes.append(.append("trace", try way.map { .object(try DocumentCoder.encode($0)) }))
            guard let message = try? Message(record: record), !message.state.isSettled else { return nil }
            if failed == nil { failed = MessageRef(messageId: message.messageId, timestamp: message.timestamp) }
            return .update(key, changes)
        }
        if invocation == nil, let code = outcome.failure, let failed { writes.append(failureWrite(session, code, message: failed.messageId, at: now)) }
        return writes
    }

    private static func failureWrite(
        _ session: SessionKey, _ code: FailureCode, invocation: InvocationID? = nil, message: MessageID? = nil, task: TaskID? = nil, at now: Date
    ) -> RecordWrite {
        let id = ULID.make(at: now)
        var document: Document = [
            "id": .string(id), "timestamp": .string(Timestamp.text(now)), "groupJid": .string(session.groupJid.rawValue), "code": .string(code.rawValue),
        ]
        if let invocation { document["invocationId"] = .string(invocation.rawValue) }
        if let message { document["messageId"] = .string(message.rawValue) }
        if let task { document["taskId"] = .string(task.rawValue) }
        return .put(RecordKey(Tables.failures, session.botId.rawValue, "\(Timestamp.text(now))#\(id)"), document, expiresAt: now + 30 * 86_400)
    }

    private func chatEntries(_ session: SessionKey, _ run: Run, _ outcome: Outcome, _ reply: Message?, at now: Date) throws -> [EventLog.Entry] {
        guard ChatEvents.watches(session.groupJid) else { return [] }
        var entries: [EventLog.Entry] = []
        if let code = outcome.failure { entries.append(ChatEvents.error(session.groupJid, code, run.invocationId)) }
        if let reply { entries.append(try ChatEvents.message(reply)) }
        entries.append(ChatEvents.status(session.groupJid, outcome.chatState, run.invocationId, at: now))
        return entries
    }
}
