import Channels
import Foundation
import Logging
import Platform

/// How a run is followed to its end: settlement, death, stop, deadline, and the failure that is told when all tries are used up.
extension RunDriver {
    enum Watched: Equatable { case settled, died(String) }

    /// Waits for the run's settlement; notices its death, its stop and its deadline.
    func watch(_ run: Run, in session: SessionKey, bot: Bot) async throws -> Watched {
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

    func waitForChange(_ session: SessionKey, since mark: UInt64, until: Date) async throws {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await board.wait(session, since: mark) }
            group.addTask { try? await time.sleep(until: until) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }

    func waitForSettlement(_ invocation: InvocationID, in session: SessionKey) async throws {
        while true {
            let mark = await board.mark()
            guard try await records.get(Session.self, Session.key(session))?.run?.invocationId == invocation else { return }
            try await waitForChange(session, since: mark, until: time.now() + 20)
        }
    }

    func showActivity(_ run: Run, _ session: SessionKey) async {
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

    /// Decides a run as failed, under the same guard as an agent's own final reply, and waits until people were told.
    func fail(_ run: Run, in session: SessionKey, bot: Bot, _ code: FailureCode) async throws {
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
    func cut(_ invocation: InvocationID, in session: SessionKey) async throws {
        guard let usage = await ending.end(invocation) else { return }
        var changes: [Change] = [.set("run.usage", .object(try DocumentCoder.encode(usage)))]
        let steps = await ending.trace(of: invocation)
        if !steps.isEmpty { changes.append(.set("run.trace", .array(try steps.map { .object(try DocumentCoder.encode($0)) }))) }
        do {
            try await records.update(
                Session.key(session), changes,
                if: .equals("run.invocationId", .value(.string(invocation.rawValue))))
        } catch RecordStoreError.conditionFailed {
            // Settled or superseded in this moment, with its own count.
        }
    }

    /// Queues the final reply of a run (again): the queue and Delivery drop what was there before.
    func sendFinal(_ run: Run, in session: SessionKey, userId: UserID) async throws {
        guard let final = run.final else { return }
        let payload = ReplyPayload(
            session: session, userId: userId, at: time.now(), channelType: run.channelType, invocationId: run.invocationId, sequence: final.sequence,
            messageId: final.messageId, text: final.text, replyContext: run.replyContext, settles: .run(run.invocationId))
        // An id of its own per resend: the first may have been lost with a queue that was restored.
        try await replies.send(JSON.text(payload), group: session.partition, deduplicationID: "\(run.invocationId)#\(final.sequence)#\(node)")
    }
}
