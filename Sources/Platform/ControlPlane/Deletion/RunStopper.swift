import Foundation
import Platform

/// Ends the runs of a bot or of a whole user: they were deleted or suspended (SEC-17). Each is settled as stopped by its driver; from
/// this write on its grant is dead.
public struct RunStopper: Sendable {
    let records: any RecordStore
    let runs: any RunControl

    public func stopAll(of user: UserID) async throws {
        for bot in try await records.all(Bot.self, RecordQuery(Tables.bots, partition: user.rawValue, limit: 200)) { try await stopAll(of: bot.botId) }
    }

    public func stopAll(of bot: BotID) async throws {
        var query = RecordQuery(Tables.groups, partition: bot.rawValue, limit: 200)
        repeat {
            let page = try await records.query(Group.self, query)
            let sessions = try await records.batchGet(page.items.map { Session.key($0.session) })
            for record in sessions.values {
                guard let session = try? Session(record: record), let run = session.run, !run.stopped, run.final == nil else { continue }
                try await stop(session.session, run.invocationId)
            }
            query.cursor = page.cursor
        } while query.cursor != nil
    }

    private func stop(_ session: SessionKey, _ invocation: InvocationID) async throws {
        do {
            try await records.update(
                Session.key(session), [.set("run.stopped", true), .add("epoch", 1)],
                if: .and([.equals("run.invocationId", .value(.string(invocation.rawValue))), .absent("run.final")]))
        } catch RecordStoreError.conditionFailed {
            // It replied in this moment, and its settlement ends it.
            return
        }
        await runs.cancel(session, invocation)
    }
}
