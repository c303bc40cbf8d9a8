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
    private let connection: ModelConnection

    /// - Parameter client: one that does not follow redirects and does not decompress: see ``makeClient(on:connectTimeout:readTimeout:)``.
    public init(client: HTTPClient) { connection = .direct(client) }
    /// Each request goes to an address that `egress` has vetted for it.
    public init(egress: EgressGuard, client: EgressClient) { connection = .guarded(egress, client) }

    /// A client with the settings that model endpoints need. The caller shuts it down.
    /// - Parameter readTimeout: longest silence of an endpoint, until the head of its answer too.
    public static func makeClient(
        on group: any EventLoopGroup, connectTimeout: Duration = .seconds(10), readTimeout: Duration = .seconds(120)
    ) -> HTTPClient {
        ModelHTTP.makeClient(on: group, connectTimeout: connectTimeout, readTimeout: readTimeout)
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
        var request = HTTPClientRequest(url: Self.endpoint(try ModelHTTP.baseURL(call.provider), call.operation))
        request.method = .POST
        request.headers = try headers(call)
        request.body = .bytes(call.body)
        let response = try await connection.execute(request)
        let status = Int(response.status.code)
        guard status < 300 else { return await failed(response, status: status, key: call.key) }
        let body = response.body
        return ModelResponse(status: status, headers: passed(response.headers)) { write in try await ModelHTTP.chunks(body, write) }
    }

    private func headers(_ call: ModelCall) throws(ModelFailure) -> HTTPHeaders {
        var headers = try ModelHTTP.headers(call)
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
        }
        return headers
    }

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
        let reported = await ModelHTTP.errorBody(response)?["error"]
        let text = reported?["message"]?.string.map { KeyScrubber.scrub(String($0.prefix(2000)), of: key) }
        let error = ModelHTTP.refusal(status: status) ?? ModelError(
            status: status, type: reported?["type"]?.string.map { String($0.prefix(64)) },
            message: text ?? "The model provider answered with status \(status).", retryAfter: ModelHTTP.retryAfter(response.headers))
        var answer = error.response
        answer.headers += passed(response.headers).filter { $0.name != "content-type" && $0.name != "retry-after" }
        return answer
    }
}
