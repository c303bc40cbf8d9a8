import AsyncHTTPClient
import Foundation
import NIOCore
import Platform

/// What every scenario stands on: the fakes, and servers of the measured binary with a directory of their own.
struct Stage: Sendable {
    let binary: String
    let quick: Bool
    let http: HTTPClient
    let model: FakeModel
    let vendor: FakeVendor

    init(binary: String, quick: Bool) async throws {
        self.binary = binary
        self.quick = quick
        var settings = HTTPClient.Configuration()
        settings.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 128
        http = HTTPClient(eventLoopGroup: .singletonMultiThreadedEventLoopGroup, configuration: settings)
        model = try await FakeModel.start()
        vendor = try await FakeVendor.start()
    }

    func close() async {
        await model.stop()
        await vendor.stop()
        try? await http.shutdown()
    }

    /// Starts a server, hands it over, and ends it.
    func withServer<Result>(_ environment: [String: String] = [:], _ body: (Subject) async throws -> Result) async throws -> Result {
        let subject = try await Subject.start(self, environment)
        do {
            let result = try await body(subject)
            subject.stop()
            return result
        } catch {
            subject.stop()
            throw error
        }
    }
}

/// One running `clawbot serve`.
final class Subject: Sendable {
    static let password = "violet-harbour-tango-81"
    let stage: Stage
    let base: String
    let port: Int
    let process: Process
    let directory: URL
    let startup: Duration

    private init(_ stage: Stage, _ port: Int, _ process: Process, _ directory: URL, _ startup: Duration) {
        self.stage = stage; self.port = port; self.process = process; self.directory = directory; self.startup = startup
        base = "http://127.0.0.1:\(port)"
    }

    static func start(_ stage: Stage, _ environment: [String: String], directory known: URL? = nil) async throws -> Subject {
        let port = try freePort()
        let directory = known ?? FileManager.default.temporaryDirectory.appendingPathComponent("clawbot-bench-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: stage.binary)
        process.arguments = ["serve"]
        var all = [
            "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "CLAWBOT_SERVER_PORT": String(port),
            "CLAWBOT_DATA_DIRECTORY": directory.path, "CLAWBOT_LOG_LEVEL": "error", "ADMIN_EMAIL": "admin@example.test", "ADMIN_PASSWORD": password,
            "CLAWBOT_SERVER_PUBLIC_BASE_URL": "https://bench.example.test", "CLAWBOT_CHANNELS_TELEGRAM_API_BASE_URL": stage.vendor.base,
            "ANTHROPIC_API_KEY": "sk-bench", "ANTHROPIC_BASE_URL": stage.model.base, "CLAWBOT_COMPUTE_MAX_TASKS": "64",
        ]
        for bucket in ["API", "CHAT", "PROVIDER_CALLS", "LOGIN", "UNAUTHENTICATED", "WEBHOOK", "GATEWAY"] {
            all["CLAWBOT_LIMITS_\(bucket)_PER_MINUTE"] = "10000000"
        }
        process.environment = all.merging(environment) { $1 }
        let log = directory.appendingPathComponent("serve.log")
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        let handle = try FileHandle(forWritingTo: log)
        process.standardOutput = handle
        process.standardError = handle
        let clock = ContinuousClock()
        let begun = clock.now
        try process.run()
        while !connects(port) {
            guard process.isRunning, clock.now - begun < .seconds(30) else {
                throw Failure("the server did not start: \((try? String(contentsOf: log, encoding: .utf8)) ?? "")")
            }
            usleep(500)
        }
        return Subject(stage, port, process, directory, clock.now - begun)
    }

    func stop(keep: Bool = false) {
        process.terminate()
        process.waitUntilExit()
        if !keep { try? FileManager.default.removeItem(at: directory) }
    }

    /// A field of /proc/PID/status or smaps_rollup, in MiB.
    static func memory(_ pid: Int32, _ file: String, _ field: String) -> Double? {
        guard let text = try? String(contentsOfFile: "/proc/\(pid)/\(file)", encoding: .utf8),
            let line = text.split(separator: "\n").first(where: { $0.hasPrefix(field + ":") }),
            let kilobytes = line.split(whereSeparator: { !$0.isNumber }).first.flatMap({ Double($0) })
        else { return nil }
        return kilobytes / 1024
    }

    /// Processor time used so far, in milliseconds.
    func processorTime() -> Double { Self.processorTime(process.processIdentifier) }
    static func processorTime(_ pid: Int32) -> Double {
        let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")) ?? []
        return tasks.reduce(0) { sum, task in
            let text = (try? String(contentsOfFile: "/proc/\(pid)/task/\(task)/schedstat", encoding: .utf8)) ?? ""
            return sum + (text.split(separator: " ").first.flatMap { Double($0) } ?? 0) / 1e6
        }
    }

    /// The last line about a started agent in the server's log: when its launch began (milliseconds since 1970) and how long it took to answer.
    func lastAgentStart() -> (launched: Double, took: Double)? {
        guard let log = try? Data(contentsOf: directory.appendingPathComponent("serve.log")),
            let line = log.split(separator: 0x0a).last(where: { $0.range(of: Data("agent started".utf8)) != nil }),
            let fields = try? JSON.value(Data(line)), let took = fields["ms"]?.string.flatMap({ Double($0) }),
            let ended = fields["ts"]?.string.flatMap({ Timestamp.date($0) })
        else { return nil }
        return (ended.timeIntervalSince1970 * 1000 - took, took)
    }

    /// Processes below the server whose command line ends in `agent`.
    func agents() -> [Int32] {
        var parents: [Int32: Int32] = [:]
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let pid = Int32(entry), let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
                let rest = stat.split(separator: ")").last, let parent = Int32(rest.split(separator: " ")[1])
            else { continue }
            parents[pid] = parent
        }
        return parents.keys.filter { pid in
            var up = pid
            for _ in 0..<6 {
                guard let parent = parents[up] else { return false }
                if parent == process.processIdentifier {
                    let words = (try? String(contentsOfFile: "/proc/\(pid)/cmdline", encoding: .utf8))?.split(separator: "\0") ?? []
                    return words.count == 2 && words[1] == "agent"
                }
                up = parent
            }
            return false
        }
    }
}

struct Failure: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }
}

func openSocket(_ port: Int, _ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Int32) -> (result: Int32, fd: Int32) {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = inet_addr("127.0.0.1")
    let result = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { use(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    return (result, fd)
}

private func connects(_ port: Int) -> Bool {
    let (result, fd) = openSocket(port) { connect($0, $1, $2) }
    close(fd)
    return result == 0
}

private func freePort() throws -> Int {
    let (result, fd) = openSocket(0) { bind($0, $1, $2) }
    defer { close(fd) }
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let named = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(fd, $0, &length) }
    }
    guard result == 0, named == 0 else { throw Failure("no free port") }
    return Int(in_port_t(bigEndian: address.sin_port))
}
