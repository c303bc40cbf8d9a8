import Foundation
import Platform
import Synchronization

/// What this node keeps in memory about runs whose agents call it. Nothing here decides whether a grant lives: that is the
/// session record's, read on every call.
final class LiveRuns: Sendable {
    private struct State { var runs: [InvocationID: LiveRun] = [:]; var ended: [InvocationID] = [] }
    private let state = Mutex(State())
    /// Runs that began before this node did may have sent replies that it does not know of.
    private let since: Date
    init(since: Date) { self.since = since }

    /// Ended runs are kept for so many others, so that a reply sent again gets its first answer.
    private static let keptAfterEnd = 512
    private static let sweepAbove = 2048

    func run(_ run: Run, grant: Grant, quota: any TokenQuota, at now: Date) -> LiveRun {
        state.withLock { state in
            if let known = state.runs[run.invocationId] { return known }
            if state.runs.count > Self.sweepAbove { state.runs = state.runs.filter { $0.value.expiresAt > now } }
            let fresh = LiveRun(run, grant: grant, quota: quota, isWhole: run.startedAt >= since)
            state.runs[run.invocationId] = fresh
            return fresh
        }
    }
    func known(_ id: InvocationID) -> LiveRun? { state.withLock { $0.runs[id] } }

    func end(_ id: InvocationID) -> LiveRun? {
        let run: LiveRun? = state.withLock { state in
            guard let run = state.runs[id], !run.end.hasFired else { return state.runs[id] }
            state.ended.append(id)
            if state.ended.count > Self.keptAfterEnd { state.runs[state.ended.removeFirst()] = nil }
            return run
        }
        run?.end.fire()
        return run
    }
}

/// One run's memory: meter, replies sent, rate window, the signal that cuts its streams.
final class LiveRun: Sendable {
    let invocationId: InvocationID
    let expiresAt: Date
    let meter: RunMeter
    let end = EndSignal()
    let replies: ReplyLedger
    let rate = CallRate(perMinute: 1200, atOnce: 32)
    /// Connections of its commands, which must not take the places of its own calls.
    let egress = CallRate(perMinute: .max, atOnce: .max)
    private struct State {
        var touchedAt: Date
        var checkpointAt: Date
        var checkpoint: TokenUsage
        var overloads = 0
        var denials = 0
        var egressBytes = 0
        var trace: [TraceStep]
    }
    private let state: Mutex<State>

    init(_ run: Run, grant: Grant, quota: any TokenQuota, isWhole: Bool) {
        invocationId = run.invocationId
        expiresAt = grant.expiresAt
        meter = RunMeter(userId: grant.userId, slot: run.slot, maxRunTokens: run.maxRunTokens, usage: run.usage, quota: quota)
        replies = ReplyLedger(next: isWhole ? 0 : nil)
        state = Mutex(State(touchedAt: run.lastBeat, checkpointAt: run.startedAt, checkpoint: run.usage, trace: run.trace ?? []))
    }

    /// Its model and tool calls so far, for the owner; those beyond ``TraceStep/limit`` are left out.
    var trace: [TraceStep] { state.withLock { $0.trace } }
    func note(_ step: TraceStep) { state.withLock { if $0.trace.count < TraceStep.limit { $0.trace.append(step) } } }

    /// Whether the record's `lastBeat` is due to be raised (every 15 s at most), and its usage (every 30 s at most, where it changed).
    func dueTouch(at now: Date, usage: TokenUsage) -> (beat: Bool, usage: Bool) {
        state.withLock { state in
            guard now.timeIntervalSince(state.touchedAt) >= 15 else { return (false, false) }
            state.touchedAt = now
            let checkpoint = usage != state.checkpoint && now.timeIntervalSince(state.checkpointAt) >= 30
            if checkpoint { state.checkpointAt = now; state.checkpoint = usage }
            return (true, checkpoint)
        }
    }

    /// Books bytes that the run moved over the network; false once it has moved more than `limit`.
    func spend(egress bytes: Int, of limit: Int) -> Bool {
        state.withLock {
            $0.egressBytes += bytes; return $0.egressBytes <= limit
        }
    }

    /// Counts answers "overloaded" in a row; three make the overload persistent.
    func overloaded(_ isOverload: Bool) { state.withLock { $0.overloads = isOverload ? $0.overloads + 1 : 0 } }
    var overloadPersists: Bool { state.withLock { $0.overloads >= 3 } }

    /// Whether one more denial may be recorded: a hundred rows tell enough of one run.
    func mayRecordDenial() -> Bool {
        state.withLock {
            $0.denials += 1; return $0.denials <= 100
        }
    }
}

/// Calls of one run: so many in any 60 seconds, so many at once (API.md §1.7).
final class CallRate: Sendable {
    let perMinute: Int
    private let atOnce: Int
    private struct State { var open = 0; var seconds: [(second: Int, count: Int)] = [] }
    private let state = Mutex(State())
    init(perMinute: Int, atOnce: Int) { self.perMinute = perMinute; self.atOnce = atOnce }

    /// Takes a place and tells how many calls remain in the window; throws `.rateLimited`.
    /// - Parameters: other limits than the usual ones of this rate.
    func enter(at now: Date, perMinute: Int? = nil, atOnce: Int? = nil) throws(GatewayError) -> Int {
        let perMinute = perMinute ?? self.perMinute, atOnce = atOnce ?? self.atOnce
        let second = Int(now.timeIntervalSince1970)
        let outcome: Result<Int, GatewayError> = state.withLock { state in
            state.seconds.removeAll { $0.second <= second - 60 }
            let count = state.seconds.reduce(0) { $0 + $1.count }
            if count >= perMinute { return .failure(.rateLimited(retryAfter: max(1, (state.seconds.first?.second ?? second) + 60 - second))) }
            if state.open >= atOnce { return .failure(.rateLimited(retryAfter: 1)) }
            state.open += 1
            if state.seconds.last?.second == second { state.seconds[state.seconds.count - 1].count += 1 } else { state.seconds.append((second, 1)) }
            return .success(perMinute - count - 1)
        }
        return try outcome.get()
    }
    func leave() { state.withLock { $0.open -= 1 } }
}
