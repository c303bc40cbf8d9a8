import Foundation
import Platform
import Synchronization

/// Whether this node should get traffic: probes of its backends, cached for 5 s, and `not_ready` while draining (API.md §7).
/// Names and states only; no address, no error text (SEC-116).
public final class Readiness: Sendable {
    public struct Check: Sendable {
        public var name: String
        public var critical: Bool
        /// Throws when it is down, ``Degraded`` when it works in part.
        public var probe: @Sendable () async throws -> Void
        public init(_ name: String, critical: Bool, probe: @escaping @Sendable () async throws -> Void) {
            self.name = name; self.critical = critical; self.probe = probe
        }
    }
    /// Thrown by a probe of something that works in part.
    public struct Degraded: Error { public init() {} }

    private enum Status: String { case ok, degraded, down }
    private struct Outcome: Sendable { var status: Status; var latency: Duration }
    private struct State { var draining = false; var cached: (at: Date, ready: Bool, body: Value)? }

    private static let cacheFor = 5.0
    private static let probeLimit = Duration.seconds(2)
    private let checks: [Check]
    private let time: any TimeSource
    private let state = Mutex(State())

    public init(_ checks: [Check], time: any TimeSource = SystemTime()) { self.checks = checks; self.time = time }

    /// From now on `/ready` is 503, so that balancers send nobody any more.
    public func drain() { state.withLock { $0.draining = true } }
    public var isDraining: Bool { state.withLock { $0.draining } }

    func answer() async -> Answer {
        let now = time.now()
        let known: (ready: Bool, body: Value)? = state.withLock { state in
            guard let cached = state.cached, now.timeIntervalSince(cached.at) < Self.cacheFor else { return nil }
            return (cached.ready, cached.body)
        }
        let current: (ready: Bool, body: Value)
        if let known { current = known } else {
            current = await probeAll()
            state.withLock { $0.cached = (now, current.ready, current.body) }
        }
        guard !isDraining else {
            var body = current.body.object ?? [:]
            body["status"] = "not_ready"
            return .json(.object(body), status: 503)
        }
        return .json(current.body, status: current.ready ? 200 : 503)
    }

    private func probeAll() async -> (ready: Bool, body: Value) {
        let outcomes = await withTaskGroup(of: (Int, Outcome).self) { group in
            for (index, check) in checks.enumerated() { group.addTask { (index, await Self.run(check)) } }
            var found: [Int: Outcome] = [:]
            for await (index, outcome) in group { found[index] = outcome }
            return found
        }
        let rows = checks.enumerated().map { index, check in (check, outcomes[index] ?? Outcome(status: .down, latency: .zero)) }
        let ready = rows.allSatisfy { $0.1.status != .down || !$0.0.critical }
        let status = !ready ? "not_ready" : rows.allSatisfy { $0.1.status == .ok } ? "ready" : "degraded"
        return (ready, .object([
            "status": .string(status),
            "checks": .array(rows.map { check, outcome in
                .object([
                    "name": .string(check.name), "status": .string(outcome.status.rawValue), "critical": .bool(check.critical),
                    "latencyMs": .int(outcome.latency.milliseconds),
                ])
            }),
        ]))
    }

    private static func run(_ check: Check) async -> Outcome {
        let clock = ContinuousClock(), start = clock.now
        let status = await withTaskGroup(of: Status.self) { group in
            group.addTask { do { try await check.probe(); return .ok } catch is Degraded { return .degraded } catch { return .down } }
            group.addTask { try? await Task.sleep(for: probeLimit); return .down }
            let first = await group.next() ?? .down
            group.cancelAll()
            return first
        }
        return Outcome(status: status, latency: clock.now - start)
    }
}
