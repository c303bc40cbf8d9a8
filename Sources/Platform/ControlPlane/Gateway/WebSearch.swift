import AsyncHTTPClient
import Foundation
import NIOCore
import Platform
import Synchronization

/// The platform's web search, for agents whose model provider has none: an endpoint or a command of the operator's (`tools.search.*`).
///
/// The endpoint is asked `GET {baseURL}?q=…&format=json&count=…`, with the key as `X-Subscription-Token` and as bearer token. Two shapes of
/// answers are read: `{results: [{title, url, content}]}` (SearXNG, https://docs.searxng.org/dev/search_api.html) and
/// `{web: {results: [{title, url, description}]}}` (Brave, https://api-dashboard.search.brave.com/documentation). A command gets the query in
/// `CLAWBOT_QUERY` and prints one of them.
public struct WebSearch: Sendable {
    public struct Result: Codable, Sendable, Hashable {
        public var title: String
        public var url: String
        public var snippet: String
    }
    enum Failure: Error { case unusable(String) }

    static let mostResults = 20
    private static let time: TimeAmount = .seconds(15)
    private static let mostBytes = 2 << 20

    private let tool: PlatformConfiguration.ExternalTool
    private let http: HTTPClient
    public init(_ tool: PlatformConfiguration.ExternalTool, http: HTTPClient) { self.tool = tool; self.http = http }

    func results(_ query: String) async throws -> [Result] {
        let answer =
            switch tool {
            case .endpoint(let baseURL, let key): try await ask(baseURL, key, query)
            case .command(let command): try await Self.run(command, query)
            }
        guard let value = try? JSON.value(answer), let list = value["results"]?.array ?? value["web"]?["results"]?.array else {
            throw Failure.unusable("the answer has no list of results")
        }
        return list.prefix(Self.mostResults).compactMap { entry in
            guard let url = entry["url"]?.string, url.hasPrefix("http://") || url.hasPrefix("https://"), url.utf8.count <= 2000 else { return nil }
            let snippet = entry["content"]?.string ?? entry["description"]?.string ?? entry["snippet"]?.string ?? ""
            return Result(title: String((entry["title"]?.string ?? url).prefix(300)), url: url, snippet: String(snippet.replacing(/<[^>]{0,100}>/, with: "").prefix(1000)))
        }
    }

    private func ask(_ baseURL: String, _ key: Secret?, _ query: String) async throws -> Data {
        guard var parts = URLComponents(string: baseURL) else { throw Failure.unusable("the base URL is none") }
        parts.queryItems = (parts.queryItems ?? []) + [
            URLQueryItem(name: "q", value: query), URLQueryItem(name: "format", value: "json"), URLQueryItem(name: "count", value: String(Self.mostResults)),
        ]
        // A plus is a space for form decoders, and URLComponents leaves it.
        parts.percentEncodedQuery = parts.percentEncodedQuery?.replacingOccurrences(of: "+", with: "%2B")
        guard let url = parts.string else { throw Failure.unusable("the base URL is none") }
        var request = HTTPClientRequest(url: url)
        request.headers = ["accept": "application/json"]
        if let key {
            request.headers.add(name: "x-subscription-token", value: key.reveal())
            request.headers.add(name: "authorization", value: "Bearer \(key.reveal())")
        }
        let response = try await http.execute(request, timeout: Self.time)
        let body = try await response.body.collect(upTo: Self.mostBytes)
        guard response.status == .ok else { throw Failure.unusable("status \(response.status.code)") }
        return Data(body.readableBytesView)
    }

    /// Runs the command on a thread of its own. When it takes too long, or nobody waits for it any more, it is told to end and not waited for.
    private static func run(_ command: String, _ query: String) async throws -> Data {
        let running = RunningCommand(command, query)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                running.answer(to: continuation)
                Thread.detachNewThread { running.run(most: mostBytes) }
                DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(time.nanoseconds))) {
                    running.end(Failure.unusable("the command takes too long"))
                }
            }
        } onCancel: {
            running.end(CancellationError())
        }
    }

    /// A command whose output somebody waits for until it is there, or somebody ends it.
    private final class RunningCommand: Sendable {
        private struct State {
            var process: Process?
            var waiter: CheckedContinuation<Data, any Error>?
            var end: (any Error)?
        }
        private let command: String
        private let query: String
        private let state = Mutex(State())
        init(_ command: String, _ query: String) { self.command = command; self.query = query }

        func answer(to continuation: CheckedContinuation<Data, any Error>) {
            let end = state.withLock { state in
                if state.end == nil { state.waiter = continuation }
                return state.end
            }
            if let end { continuation.resume(throwing: end) }
        }

        func run(most: Int) {
            let output = Pipe()
            do {
                let isWanted = try state.withLock { state in
                    guard state.end == nil else { return false }
                    let process = Process()
                    process.executableURL = URL(fileURLWithPath: "/bin/sh")
                    process.arguments = ["-c", command]
                    process.environment = ProcessInfo.processInfo.environment.filter { ["PATH", "HOME", "LANG"].contains($0.key) }
                        .merging(["CLAWBOT_QUERY": query]) { $1 }
                    process.standardOutput = output
                    process.standardInput = FileHandle.nullDevice
                    try process.run()
                    state.process = process
                    return true
                }
                guard isWanted else { return }
                let data = try output.fileHandleForReading.read(upToCount: most) ?? Data()
                settle(.success(data))
            } catch {
                settle(.failure(error))
            }
        }

        func end(_ reason: any Error) {
            state.withLock { state in
                if state.end == nil { state.end = reason }
                if let process = state.process, process.isRunning, state.waiter != nil { process.terminate() }
            }
            settle(.failure(reason))
        }

        private func settle(_ result: Swift.Result<Data, any Error>) {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(with: result)
        }
    }
}

extension AgentGateway {
    /// `POST /search`: `{query, allowedDomains?, blockedDomains?}`; 404 where the platform has no search.
    public func search(_ run: AuthorizedRun, body: Data) async throws -> [WebSearch.Result] {
        guard let engine = hooks.search else { throw GatewayError.notFound }
        var fields = try StrictJSONObject(body)
        let query = fields.text("query", required: true, limit: 2...400)
        func domains(_ name: String) throws -> [String] {
            guard let value = fields.value(name) else { return [] }
            guard let list = value.array, list.count <= 50, list.allSatisfy({ $0.string.map { (1...253).contains($0.utf8.count) } ?? false }) else {
                throw GatewayError.invalid(name, "\(name) must be a list of at most 50 domains.")
            }
            return list.compactMap { $0.string?.lowercased() }
        }
        let (allowed, blocked) = (try domains("allowedDomains"), try domains("blockedDomains"))
        guard fields.problems.isEmpty, let query else { throw GatewayError.invalid(fields.problems) }
        if let unknown = fields.remaining.first { throw GatewayError.invalid(unknown, "This field is not known.") }
        let found: [WebSearch.Result]
        do {
            found = try await engine.results(query)
        } catch {
            try Task.checkCancellation()
            logger.warning("a web search failed", metadata: ["invocationId": "\(run.run.invocationId)", "cause": "\(error)"])
            throw GatewayError.unavailable
        }
        return found.filter { result in
            let host = URL(string: result.url)?.host()?.lowercased() ?? ""
            func isUnder(_ domain: String) -> Bool { host == domain || host.hasSuffix("." + domain) }
            return (allowed.isEmpty || allowed.contains(where: isUnder)) && !blocked.contains(where: isUnder)
        }
    }
}
