import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform

/// Any endpoint that speaks the Anthropic Messages API under a base URL of its own.
///
/// The agent's headers stay here: the request upstream is built anew from the provider's record and key. Redirects are
/// not followed (SEC-42); what an upstream echoes of the key never reaches the agent (SEC-80).
public struct AnthropicCompatibleProvider: ModelProvider {
    public static let version = "2023-06-01"
    private let client: HTTPClient
    private let readTimeout: TimeAmount
    /// How much of an error body is read.
    private static let maxErrorBytes = 64 * 1024

    /// - Parameter client: one that does not follow redirects and does not decompress: see ``makeClient(on:connectTimeout:readTimeout:)``.
    /// - Parameter readTimeout: as the client's; longest silence of an endpoint, until the head too.
    public init(client: HTTPClient, readTimeout: Duration = .seconds(120)) {
        self.client = client
        self.readTimeout = .milliseconds(Int64(readTimeout.milliseconds))
    }

    /// A client with the settings that this provider needs. The caller shuts it down.
    public static func makeClient(
        on group: any EventLoopGroup, connectTimeout: Duration = .seconds(10), readTimeout: Duration = .seconds(120)
    ) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.timeout = .init(
            connect: .milliseconds(Int64(connectTimeout.milliseconds)), read: .milliseconds(Int64(readTimeout.milliseconds)))
        // Each call holds a connection for as long as its answer streams: more than agents that one node runs, so that none waits here.
        configuration.connectionPool = .init(idleTimeout: .seconds(60), concurrentHTTP1ConnectionsPerHostSoftLimit: 1000)
        configuration.decompression = .disabled
        return HTTPClient(eventLoopGroupProvider: .shared(group), configuration: configuration)
    }

    /// Where requests go: people write base URLs with and without a trailing slash, `/v1`, or even the whole path.
    public static func endpoint(_ baseURL: String, _ operation: ModelCall.Operation) -> String {
        var base = Substring(baseURL)
        func drop(_ suffix: String) { if base.hasSuffix(suffix) { base = base.dropLast(suffix.count) } }
        while base.hasSuffix("/") { base = base.dropLast() }
        drop("/messages")
        drop("/v1")
        while base.hasSuffix("/") { base = base.dropLast() }
        return "\(base)/v1/\(operation.rawValue)"
    }

    public func send(_ call: ModelCall) async throws(ModelFailure) -> ModelResponse {
        var request = HTTPClientRequest(url: try url(call))
        request.method = .POST
        request.headers = try headers(call)
        request.body = .bytes(call.body)
        let response: HTTPClientResponse
        do {
            // The whole answer may take long; silence is bounded by the client's read time-out.
            response = try await client.execute(request, timeout: .hours(8))
        } catch {
            throw Self.failure(error)
        }
        let status = Int(response.status.code)
        guard status < 300 else { return await failed(response, status: status, key: call.key) }
        let headers = passed(response.headers)
        let body = response.body
        return ModelResponse(status: status, headers: headers) { write in
            var chunks = body.makeAsyncIterator()
            while true {
                let chunk: ByteBuffer?
                do { chunk = try await chunks.next() } catch { throw Self.failure(error) }
                guard let chunk else { return }
                try await write(chunk)
            }
        }
    }

    private func url(_ call: ModelCall) throws(ModelFailure) -> String {
        guard let base = call.provider.baseUrl, let url = URL(string: base), let scheme = url.scheme, ["https", "http"].contains(scheme),
            url.host != nil
        else { throw .misconfigured("The provider has no usable base URL.") }
        return Self.endpoint(base, call.operation)
    }

    private func headers(_ call: ModelCall) throws(ModelFailure) -> HTTPHeaders {
        var headers = HTTPHeaders()
        for (name, value) in call.provider.headers where !Self.reserved.contains(name.lowercased()) { headers.replaceOrAdd(name: name, value: value) }
        headers.replaceOrAdd(name: "content-type", value: "application/json")
        headers.replaceOrAdd(name: "accept", value: call.streams ? "text/event-stream" : "application/json")
        headers.replaceOrAdd(name: "accept-encoding", value: "identity")
        headers.replaceOrAdd(name: "user-agent", value: "clawbot")
        if let version = call.version {
            headers.replaceOrAdd(name: "anthropic-version", value: version)
        } else if !headers.contains(name: "anthropic-version") {
            headers.add(name: "anthropic-version", value: Self.version)
        }
        let betas = headers[canonicalForm: "anthropic-beta"].map(String.init) + call.betas
        if !betas.isEmpty { headers.replaceOrAdd(name: "anthropic-beta", value: betas.joined(separator: ",")) }
        if let key = call.key {
            switch call.provider.authType ?? .apiKey {
            case .apiKey: headers.replaceOrAdd(name: "x-api-key", value: key.reveal())
            case .bearer: headers.replaceOrAdd(name: "authorization", value: "Bearer \(key.reveal())")
            }
        } else if call.provider.hasApiKey {
            throw .misconfigured("The provider's key is missing from the secret store.")
        }
        return headers
    }
    /// Set by us or by the transport, never by a provider record.
    private static let reserved: Set<String> = [
        "host", "content-length", "transfer-encoding", "connection", "x-api-key", "authorization", "cookie", "accept-encoding",
    ]

    /// What of the upstream's headers the agent may see.
    private func passed(_ headers: HTTPHeaders) -> [(name: String, value: String)] {
        headers.compactMap { name, value in
            let name = name.lowercased()
            return name == "content-type" || name == "request-id" || name == "retry-after" || name == "retry-after-ms"
                || name.hasPrefix("anthropic-ratelimit-")
                ? (name: name, value: value) : nil
        }
    }

    /// An answer with an error status, in the vendor's shape and without anything of ours in it.
    private func failed(_ response: HTTPClientResponse, status: Int, key: Secret?) async -> ModelResponse {
        var body = ByteBuffer()
        do {
            for try await chunk in response.body {
                body.writeImmutableBuffer(chunk)
                if body.readableBytes > Self.maxErrorBytes { break }
            }
        } catch {
            body.clear()
        }
        let reported = (try? JSON.value(Data(body.readableBytesView)))?["error"]
        let seconds = response.headers.first(name: "retry-after").flatMap { Self.seconds($0) }
        let error: ModelError
        switch status {
        case 401, 403, 407:
            error = ModelError(
                status: 502, message: "The model provider refused the platform's credentials (status \(status)).", code: "upstream-failed")
        case 300..<400:
            error = ModelError(status: 502, message: "The model provider answered with a redirect, which is not followed.", code: "upstream-failed")
        default:
            let text = reported?["message"]?.string.map { Self.scrub(String($0.prefix(2000)), of: key) }
            error = ModelError(
                status: status, type: reported?["type"]?.string.map { String($0.prefix(64)) },
                message: text ?? "The model provider answered with status \(status).", retryAfter: seconds)
        }
        var answer = error.response
        answer.headers += passed(response.headers).filter { $0.name != "content-type" && $0.name != "retry-after" }
        return answer
    }

    /// `Retry-After` in whole seconds; dates are not used by model endpoints.
    private static func seconds(_ text: String) -> Int? { Double(text).map { Int(max(0, min($0, 3600)).rounded(.up)) } }

    /// Removes the key in the spellings in which an upstream could echo it.
    static func scrub(_ text: String, of key: Secret?) -> String {
        guard let plain = key?.reveal(), plain.count >= 4 else { return text }
        let base64 = Data(plain.utf8).base64EncodedString()
        let spellings = [
            plain, base64, String(base64.prefix { $0 != "=" }), plain.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? plain,
        ]
        return spellings.reduce(text) { $0.replacingOccurrences(of: $1, with: "‹redacted›") }
    }

    private static func failure(_ error: any Error) -> ModelFailure {
        if let error = error as? HTTPClientError, [.readTimeout, .writeTimeout, .deadlineExceeded, .connectTimeout].contains(error) {
            return .timedOut
        }
        return .unreachable
    }
}
