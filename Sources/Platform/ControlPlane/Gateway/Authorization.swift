import Foundation
import Platform
import Synchronization

/// A call whose grant was checked against the live run.
public struct AuthorizedRun: Sendable {
    public let grant: Grant
    public let session: Session
    public let run: Run
    let botRecord: StoredRecord
    let live: LiveRun

    public var key: SessionKey { grant.session }
    var layout: ObjectLayout { ObjectLayout(userId: grant.userId, botId: grant.botId) }
    func bot() throws -> Bot { try Bot(record: botRecord) }
}

/// A place among the calls that a run may make; given back by ``end()``, at the latest when nobody holds it any more.
public final class CallPermit: Sendable {
    public let limit: Int
    public let remaining: Int
    private let rate: CallRate
    private let ended = Mutex(false)
    init(limit: Int, remaining: Int, rate: CallRate) { self.limit = limit; self.remaining = remaining; self.rate = rate }
    deinit { end() }
    public func end() {
        let first = ended.withLock { ended in
            defer { ended = true }
            return !ended
        }
        if first { rate.leave() }
    }
}

extension AgentGateway {
    /// Checks a grant: MAC, expiry, then the session record (SEC-72, SEC-73): the run is the current one of the current epoch,
    /// neither stopped nor finished, its user active, its bot neither paused nor deleted.
    ///
    /// - Parameter socketSession: the session whose own socket the call came over; nil on a public listener. A grant of
    ///   another session is refused there (SEC-64).
    public func authorize(token: String?, socketSession: SessionKey?, scope: Grant.Scope) async throws(GatewayError) -> AuthorizedRun {
        let checked = try await check(token: token, socketSession: socketSession, scope: scope)
        guard checked.run.final == nil, !checked.live.end.hasFired else { throw .unauthenticated }
        await touch(checked)
        return checked
    }

    /// Takes a place in the run's call budget (API.md §1.7).
    public func permit(_ run: AuthorizedRun) throws(GatewayError) -> CallPermit {
        let remaining = try run.live.rate.enter(at: time.now())
        return CallPermit(limit: run.live.rate.perMinute, remaining: remaining, rate: run.live.rate)
    }

    /// The grant alone, without the run: MAC, expiry, socket, scope.
    func verify(token: String?, socketSession: SessionKey?, scope: Grant.Scope) throws(GatewayError) -> Grant {
        guard let token else { throw .unauthenticated }
        let grant: Grant
        do { grant = try signer.verify(token, at: time.now()) } catch { throw .unauthenticated }
        if let socketSession, socketSession != grant.session { throw .unauthenticated }
        guard grant.scopes.contains(scope) else { throw .forbidden("The grant does not hold the scope \(scope.rawValue).") }
        return grant
    }

    /// As ``authorize(token:socketSession:scope:)``, but a run whose final reply was accepted passes: replies look at that themselves.
    func check(token: String?, socketSession: SessionKey?, scope: Grant.Scope) async throws(GatewayError) -> AuthorizedRun {
        let grant = try verify(token: token, socketSession: socketSession, scope: scope)
        let keys = (session: Session.key(grant.session), user: User.key(grant.userId), bot: Bot.key(grant.userId, grant.botId))
        let found: [RecordKey: StoredRecord]
        do {
            found = try await records.batchGet([keys.session, keys.user, keys.bot])
        } catch {
            logger.error("authorising a call failed", metadata: ["invocationId": "\(grant.invocationId)", "cause": "\(error)"])
            throw .unavailable
        }
        guard let user = found[keys.user], user.document["status"]?.string == User.Status.active.rawValue,
            let bot = found[keys.bot], let status = bot.document["status"]?.string,
            status != Bot.Status.paused.rawValue, status != Bot.Status.deleted.rawValue,
            let record = found[keys.session], let session = try? Session(record: record), let run = session.run,
            session.userId == grant.userId, session.epoch == grant.sessionEpoch, run.invocationId == grant.invocationId, !run.stopped
        else {
            // Whatever streams it has open end with it.
            _ = runs.end(grant.invocationId)
            throw .unauthenticated
        }
        let live = runs.run(run, grant: grant, quota: quota, at: time.now())
        return AuthorizedRun(grant: grant, session: session, run: run, botRecord: bot, live: live)
    }

    /// Looks once more whether the run is still the current one of a bot that is there.
    func requireCurrent(_ run: AuthorizedRun) async throws {
        let keys = (session: Session.key(run.key), bot: Bot.key(run.grant.userId, run.grant.botId))
        let found = try await records.batchGet([keys.session, keys.bot])
        guard let session = try found[keys.session].map(Session.init(record:)), session.run?.invocationId == run.run.invocationId, session.run?.stopped == false,
            let status = found[keys.bot]?.document["status"]?.string, status != Bot.Status.deleted.rawValue
        else { throw GatewayError.unauthenticated }
    }

    /// Notes the sign of life in the record, every 15 s at most, and the tokens used so far, every 30 s at most.
    func touch(_ run: AuthorizedRun) async {
        let now = time.now()
        let usage = await run.live.meter.usage
        let due = run.live.dueTouch(at: now, usage: usage)
        guard due.beat else { return }
        var changes: [Change] = [.set("run.lastBeat", .string(Timestamp.text(now)))]
        if due.usage, let document = try? DocumentCoder.encode(usage) { changes.append(.set("run.usage", .object(document))) }
        do {
            try await records.update(Session.key(run.key), changes, if: Self.stillCurrent(run.run.invocationId))
            await hooks.alive(run.key, run.run.invocationId)
        } catch RecordStoreError.conditionFailed {
            // The run has ended meanwhile; its next call is refused.
        } catch {
            logger.warning("noting a sign of life failed", metadata: ["invocationId": "\(run.run.invocationId)", "cause": "\(error)"])
        }
    }

    static func stillCurrent(_ id: InvocationID) -> Condition {
        .and([.equals("run.invocationId", .value(.string(id.rawValue))), .absent("run.final"), .equals("run.stopped", false)])
    }

    /// Records a refusal for the bot's owner. Best effort, a hundred rows a run at most.
    func deny(_ run: AuthorizedRun, _ target: String, kind: Denial.Kind = .tool) async {
        guard run.live.mayRecordDenial() else { return }
        let now = time.now()
        let denial = Denial(
            id: ULID.make(at: now), botId: run.grant.botId, timestamp: now, groupJid: run.grant.groupJid, invocationId: run.run.invocationId,
            kind: kind, target: String(target.prefix(128)), origin: .direct)
        do { try await records.put(denial) } catch {
            logger.warning("recording a denial failed", metadata: ["invocationId": "\(run.run.invocationId)", "cause": "\(error)"])
        }
    }

    /// Whether the run's whitelist has the platform tool behind a route (SEC-87); records the denial and throws when not.
    func requireTool(_ name: String, _ run: AuthorizedRun) async throws {
        let tool = "mcp__clawbot__\(name)"
        guard run.run.toolWhitelist.allows(tool: tool) else {
            await deny(run, tool)
            throw GatewayError.forbidden("The tool \(tool) is not allowed for this bot.")
        }
    }

    /// Fields that would name a tenant or conversation: the grant does that, a body never (SEC-74).
    static let identityFields: Set<String> = ["userId", "botId", "groupJid", "channelType", "invocationId", "replyContext"]
}
