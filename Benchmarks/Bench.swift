import ArgumentParser
import Foundation

/// Measures the release build from outside: the real binary, real sockets, real sandbox, a model and a vendor that cost no time.
@main
struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clawbot-bench", abstract: "Figures of the budgets in ARCHITECTURE.md §8, taken from a running `clawbot serve`.")

    @Option(help: "The binary to measure.") var binary: String
    @Option(help: "Only scenarios whose name contains this.") var only: String?
    @Flag(help: "Smaller numbers, for a first look.") var quick = false

    func run() async throws {
        let stage = try await Stage(binary: URL(fileURLWithPath: binary).path, quick: quick)
        let scenarios: [(name: String, run: () async throws -> Void)] = [
            ("start", { try await startup(stage) }),
            ("webhook", { try await webhooks(stage) }),
            ("latency", { try await latency(stage) }),
            ("agent", { try await agents(stage) }),
            ("scale", { try await scale(stage) }),
        ]
        print("ClawBot figures — \(binary), \(ProcessInfo.processInfo.activeProcessorCount) processors\(quick ? ", quick" : "")\n")
        do {
            for scenario in scenarios where only.map({ scenario.name.contains($0) }) ?? true { try await scenario.run() }
        } catch {
            await stage.close()
            throw error
        }
        await stage.close()
    }
}

/// One line of a result with its budget, if it has one.
func report(_ what: String, _ value: String, budget: String? = nil, holds: Bool? = nil) {
    let mark = holds.map { $0 ? "ok  " : "OVER" } ?? "    "
    print("  \(mark) \(what.padding(toLength: 58, withPad: " ", startingAt: 0)) \(value)\(budget.map { "   (budget \($0))" } ?? "")")
}

/// Durations of many operations, in milliseconds.
struct Sample: Sendable {
    var milliseconds: [Double] = []
    mutating func add(_ duration: Duration) { milliseconds.append(Self.milliseconds(duration)) }
    static func milliseconds(_ duration: Duration) -> Double { duration / .milliseconds(1) }
    /// The smallest value that at least this share of all does not exceed.
    func percentile(_ share: Double) -> Double {
        guard !milliseconds.isEmpty else { return .nan }
        return milliseconds.sorted()[max(0, Int((Double(milliseconds.count) * share).rounded(.up)) - 1)]
    }
    var median: Double { percentile(0.5) }
    var summary: String { "p50 \(Self.text(median)), p90 \(Self.text(percentile(0.9))), p99 \(Self.text(percentile(0.99))) ms, n \(milliseconds.count)" }
    static func text(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : "%.1f", value) }
}
