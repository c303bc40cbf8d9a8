import ControlPlane
import Foundation
import HTTPTypes
import Platform
import Synchronization

/// What operators watch, as Prometheus reads it (API.md §7): counters of this process, and gauges read when asked.
/// No label holds a tenant, bot or message id: routes appear as their template.
///
/// ```swift
/// let metrics = Metrics([.init("clawbot_agent_active", "Agents with a run.") { [.init(Double(await compute.load.running))] }])
/// ```
public final class Metrics: Sendable {
    /// Something that has a value now; one that cannot be read is left out of the answer.
    public struct Gauge: Sendable {
        public struct Sample: Sendable {
            public var labels: [String: String]
            public var value: Double
            public init(_ value: Double, _ labels: [String: String] = [:]) { self.value = value; self.labels = labels }
        }
        public var name: String
        public var help: String
        /// `gauge`, or `counter` for what only grows.
        public var kind: String
        public var read: @Sendable () async throws -> [Sample]
        public init(_ name: String, _ help: String, kind: String = "gauge", read: @escaping @Sendable () async throws -> [Sample]) {
            self.name = name; self.help = help; self.kind = kind; self.read = read
        }
    }

    private struct RequestKey: Hashable { var method: String; var route: String; var status: Int }
    private struct Durations {
        var buckets: [Int]
        var count = 0
        var sum = 0.0
        init(_ bounds: [Double] = Metrics.bounds) { buckets = [Int](repeating: 0, count: bounds.count) }
        mutating func add(_ seconds: Double, _ bounds: [Double] = Metrics.bounds) {
            if let index = bounds.firstIndex(where: { seconds <= $0 }) { buckets[index] += 1 }
            count += 1
            sum += seconds
        }
    }
    private struct RunKey: Hashable { var result: String; var mode: String }
    private struct State { var requests: [RequestKey: Durations] = [:]; var refusals: [String: Int] = [:]; var webhooks: [[String]: Int] = [:]
        var dropped: [[String]: Int] = [:], dead: [String: Int] = ["inbound": 0, "replies": 0], runs: [RunKey: Durations] = [:]
        var tokens: [String: Int] = [:], rejections: [String: Int] = [:]
    }

    /// Upper bounds in seconds: Prometheus' usual ones.
    private static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
    /// Runs take longer than requests: up to half an hour.
    private static let runBounds = [0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800]
    private static let methods: Set<String> = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    private let gauges = Mutex<[Gauge]>([])
    private let state = Mutex(State())

    public init(_ gauges: [Gauge] = []) { add(gauges) }

    /// Further gauges, of parts that are put together later than what counts.
    public func add(_ more: [Gauge]) { gauges.withLock { $0 += more } }

    /// One answered request. A stream counts until its head is sent.
    /// - Parameters:
    ///   - route: the template, or a fixed word for what is not in the route table.
    ///   - slug: of the problem that was answered.
    ///   - channel: of a webhook.
    func count(method: String, route: String, status: Int, seconds: Double, slug: String?, channel: String?) {
        let key = RequestKey(method: Self.methods.contains(method) ? method : "other", route: route, status: status)
        state.withLock { state in
            var durations = state.requests[key] ?? Durations()
            durations.add(seconds)
            state.requests[key] = durations
            if status == 401, let slug { state.refusals[slug, default: 0] += 1 }
            if let channel { state.webhooks[[channel, status < 300 ? "accepted" : status < 500 ? "refused" : "failed"], default: 0] += 1 }
        }
    }

    /// What the control plane tells: to be its observer.
    public func count(_ observation: Observation) {
        state.withLock { state in
            switch observation {
            case .dropped(let channel, let reason): state.dropped[[channel.rawValue, reason.rawValue], default: 0] += 1
            case .dead(let queue): state.dead[queue.rawValue, default: 0] += 1
            case .quotaRejected(let quota): state.rejections[quota.rawValue, default: 0] += 1
            case .run(let result, let mode, let seconds, let usage):
                state.runs[RunKey(result: result.rawValue, mode: mode.rawValue), default: Durations(Self.runBounds)].add(seconds, Self.runBounds)
                for (direction, count) in [
                    ("input", usage.inputTokens), ("output", usage.outputTokens), ("cache_read", usage.cacheReadTokens), ("cache_write", usage.cacheWriteTokens),
                ] { state.tokens[direction, default: 0] += count }
            }
        }
    }

    /// The text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
    func text() async -> String {
        let now = state.withLock { $0 }
        var text = ""
        func head(_ name: String, _ help: String, _ type: String) { text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n" }
        func line(_ name: String, _ labels: [(String, String)], _ value: Double) {
            let shown = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
            text += "\(name)\(shown.isEmpty ? "" : "{\(shown)}") \(Self.number(value))\n"
        }
        let requests = now.requests.map { (labels: [("method", $0.method), ("route", $0.route), ("status", String($0.status))], durations: $1) }
            .sorted { $0.labels.map(\.1).lexicographicallyPrecedes($1.labels.map(\.1)) }
        head("clawbot_http_requests_total", "Requests answered.", "counter")
        for (labels, durations) in requests { line("clawbot_http_requests_total", labels, Double(durations.count)) }
        head("clawbot_http_request_duration_seconds", "Time until the head of the answer.", "histogram")
        func histogram(_ name: String, _ labels: [(String, String)], _ durations: Durations, _ bounds: [Double]) {
            var below = 0
            for (bound, count) in zip(bounds, durations.buckets) {
                below += count
                line(name + "_bucket", labels + [("le", Self.number(bound))], Double(below))
            }
            line(name + "_bucket", labels + [("le", "+Inf")], Double(durations.count))
            line(name + "_sum", labels, durations.sum)
            line(name + "_count", labels, Double(durations.count))
        }
        for (labels, durations) in requests { histogram("clawbot_http_request_duration_seconds", labels, durations, Self.bounds) }
        head("clawbot_auth_failures_total", "Requests refused with 401.", "counter")
        for (reason, count) in now.refusals.sorted(by: { $0.key < $1.key }) { line("clawbot_auth_failures_total", [("reason", reason)], Double(count)) }
        head("clawbot_webhook_events_total", "Webhook deliveries answered.", "counter")
        for (labels, count) in now.webhooks.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            line("clawbot_webhook_events_total", [("channel", labels[0]), ("result", labels[1])], Double(count))
        }
        head("clawbot_messages_dropped_total", "Inbound messages that nobody will answer.", "counter")
        for (labels, count) in now.dropped.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            line("clawbot_messages_dropped_total", [("channel", labels[0]), ("reason", labels[1])], Double(count))
        }
        head("clawbot_dead_letters_total", "Deliveries that were given up and kept for an operator.", "counter")
        for (queue, count) in now.dead.sorted(by: { $0.key < $1.key }) { line("clawbot_dead_letters_total", [("queue", queue)], Double(count)) }
        let runs = now.runs.map { (labels: [("result", $0.result), ("mode", $0.mode)], durations: $1) }
            .sorted { $0.labels.map(\.1).lexicographicallyPrecedes($1.labels.map(\.1)) }
        head("clawbot_agent_runs_total", "Runs settled.", "counter")
        for (labels, durations) in runs { line("clawbot_agent_runs_total", labels, Double(durations.count)) }
        head("clawbot_agent_run_duration_seconds", "From a run's beginning to its settlement.", "histogram")
        for (labels, durations) in runs { histogram("clawbot_agent_run_duration_seconds", labels, durations, Self.runBounds) }
        head("clawbot_tokens_total", "Tokens of settled runs, as metered.", "counter")
        for (direction, count) in now.tokens.sorted(by: { $0.key < $1.key }) { line("clawbot_tokens_total", [("direction", direction)], Double(count)) }
        head("clawbot_quota_rejections_total", "Times that a quota held something up or refused it.", "counter")
        for (quota, count) in now.rejections.sorted(by: { $0.key < $1.key }) { line("clawbot_quota_rejections_total", [("quota", quota)], Double(count)) }
        for gauge in gauges.withLock({ $0 }) {
            let samples: [Gauge.Sample]
            do { samples = try await gauge.read() } catch { continue }
            head(gauge.name, gauge.help, gauge.kind)
            for sample in samples { line(gauge.name, sample.labels.sorted { $0.key < $1.key }, sample.value) }
        }
        return text
    }

    private static func number(_ value: Double) -> String { value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value) }
    private static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"").replacingOccurrences(of: "\n", with: "\\n")
    }

    /// `GET /metrics`: with the operations token, or without one from this machine only; to everybody else it does not exist.
    /// What came through a proxy on this machine is not from this machine.
    func route(token: Secret?) -> Route {
        Route(.get, "/metrics", "Prometheus text, for who has the operations token.", access: .ownProof, answers: [.bytes("text/plain")], problems: [.notFound]) { call in
            let allowed: Bool
            if let token, !token.isEmpty {
                let shown = call.header(.authorization).flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil }
                allowed = shown.map { Digest.sameSecret(token.reveal(), $0) } ?? false
            } else {
                let isForwarded = call.header(.xForwardedFor) != nil || call.header(.forwarded) != nil
                allowed = !isForwarded && (call.address == "::1" || call.address.hasPrefix("127.") || call.address.hasPrefix("::ffff:127."))
            }
            guard allowed else { throw Problem.notFound }
            return Answer(content: .bytes(Data(await self.text().utf8), type: "text/plain; version=0.0.4; charset=utf-8"))
        }
    }
}

extension HTTPField.Name {
    static let forwarded = HTTPField.Name("Forwarded")!
}
