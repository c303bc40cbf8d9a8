import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOHTTP1
import Platform

/// The one way out of the agent: every call carries the invocation's grant and nothing else (API.md §6.3).
///
/// Calls that fail for want of a connection, or with 5xx or 429, are repeated with growing waits until `deadline`;
/// they are idempotent by their sequence, key or idempotency key. A 401 means that the run is over: ``GatewayError/runEnded``.
public struct GatewayClient: Sendable {
    let address: GatewayAddress
    let grant: Secret
    let http: HTTPClient
    /// No try begins after this instant.
    var deadline: Date
    let time: any TimeSource
    let logger: Logger
    var backoff = Backoff()

    public init(address: GatewayAddress, grant: Secret, http: HTTPClient, deadline: Date, time: any TimeSource = SystemTime(), logger: Logger) {
        self.address = address; self.grant = grant; self.http = http; self.deadline = deadline; self.time = time; self.logger = logger
    }

    /// The client of a process: one connection pool, no redirects, no tries of its own (we count them ourselves).
    static func makeHTTP(on group: any EventLoopGroup) -> HTTPClient {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: .seconds(5), read: .seconds(300)))
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        configuration.connectionPool.idleTimeout = .seconds(50)
        return HTTPClient(eventLoopGroup: group, configuration: configuration)
    }

    struct Answer: Sendable {
        var status: Int
        var headers: HTTPHeaders
        var body: Data
    }

    /// One call with its tries. `path` begins with `/` and lies under `/agent/v1`.
    func call(
        _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: Data? = nil, contentType: String = "application/json",
        attemptTimeout: TimeAmount = .seconds(30), answerLimit: Int = 16 << 20
    ) async throws -> Answer {
        var attempt = 0
        while true {
            try Task.checkCancellation()
            let trouble: String
            var wait: Duration?
            do {
                var request = request(method, path, headers: headers)
                if let body {
                    request.headers.replaceOrAdd(name: "content-type", value: contentType)
                    request.body = .bytes(ByteBuffer(bytes: body))
                }
                let response = try await http.execute(request, timeout: attemptTimeout)
                let status = Int(response.status.code)
                let content = Data(buffer: try await response.body.collect(upTo: answerLimit))
                if status < 400 { return Answer(status: status, headers: response.headers, body: content) }
                guard status >= 500 || status == 429 || status == 408 else { throw GatewayError.refusal(status: status, body: content) }
                trouble = "status \(status)"
                wait = Self.retryAfter(response.headers)
            } catch let error as GatewayError {
                throw error
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                try Task.checkCancellation()
                trouble = String(describing: error)
            }
            let delay = wait.map { max($0, backoff.delay(0)) } ?? backoff.delay(attempt)
            guard time.now() + delay.seconds < deadline else {
                logger.warning("gateway call given up", metadata: ["path": "\(path)", "tries": "\(attempt + 1)", "trouble": "\(trouble)"])
                throw GatewayError.unavailable("The platform could not be reached in time.")
            }
            logger.debug("gateway call is tried again", metadata: ["path": "\(path)", "trouble": "\(trouble)"])
            try await time.sleep(for: delay)
            attempt += 1
        }
    }

    func request(_ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:]) -> HTTPClientRequest {
        var request = HTTPClientRequest(url: address.base + "/agent/v1" + path)
        request.method = method
        request.headers = headers
        request.headers.replaceOrAdd(name: "authorization", value: "Bearer " + grant.reveal())
        // Every HTTP/1.1 request names a host (RFC 9112 §3.2); a socket has none that the client could take it from.
        if address.base.hasPrefix("http+unix:") { request.headers.replaceOrAdd(name: "host", value: "gateway") }
        return request
    }

    /// `retry-after` in seconds (also fractions) or `retry-after-ms`; a date is not honoured.
    static func retryAfter(_ headers: HTTPHeaders) -> Duration? {
        if let text = headers.first(name: "retry-after-ms"), let value = Double(text), value >= 0 { return Duration(seconds: min(value / 1000, 86_400)) }
        if let text = headers.first(name: "retry-after"), let value = Double(text), value >= 0 { return Duration(seconds: min(value, 86_400)) }
        return nil
    }

    /// The same client with another end of its tries: replies may be posted until the grant dies, 60 s after the run's deadline.
    func until(_ deadline: Date) -> GatewayClient {
        var copy = self
        copy.deadline = deadline
        return copy
    }

    static func query(_ fields: [(String, String?)]) -> String {
        let present = fields.compactMap { name, value in value.map { "\(name)=\(GatewayAddress.percentEncoded($0))" } }
        return present.isEmpty ? "" : "?" + present.joined(separator: "&")
    }
}
