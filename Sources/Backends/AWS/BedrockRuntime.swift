import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Platform

/// Anthropic's models on Amazon Bedrock: InvokeModel, InvokeModelWithResponseStream and CountTokens of the runtime API
/// (https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html).
public struct BedrockRuntime: CloudModels {
    /// Largest answer that does not stream, in bytes.
    private static let maxAnswerBytes = 32 << 20
    private static let maxErrorBytes = 64 << 10

    private let identity: AWSIdentity
    private let client: HTTPClient
    private let override: AWSEndpoint?
    private let time: any TimeSource

    /// - Parameter client: one that does not follow redirects; its read time-out bounds the service's silence.
    public init(identity: AWSIdentity, client: HTTPClient, time: any TimeSource = SystemTime()) {
        self.identity = identity; self.client = client; self.time = time
        override = AWSEndpoint.override("BEDROCK_RUNTIME", environment: identity.environment)
    }

    public func invoke(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> Data {
        try await whole(send(invocation, "invoke", [("accept", "application/json")], invocation.body))
    }

    public func stream(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> CloudModelStream {
        let headers: [(name: String, value: String)] = [("accept", "application/vnd.amazon.eventstream"), ("x-amzn-bedrock-accept", "application/json")]
        let response = try await send(invocation, "invoke-with-response-stream", headers, invocation.body)
        let body = response.body
        return CloudModelStream { take in
            var decoder = EventStreamDecoder()
            try await Self.chunks(body) { chunk in
                let messages: [EventStreamMessage]
                do { messages = try decoder.feed(chunk.readableBytesView) } catch { throw CloudModelFailure.unreachable }
                for message in messages { if let event = try Self.event(message) { try await take(event) } }
            }
            do { try decoder.end() } catch { throw CloudModelFailure.unreachable }
        }
    }

    public func countTokens(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> Int? {
        let input: Value = .object(["input": .object(["invokeModel": .object(["body": .string(invocation.body.base64EncodedString())])])])
        guard let body = try? JSON.data(input) else { return nil }
        do {
            let answer = try await whole(send(invocation, "count-tokens", [("accept", "application/json")], body))
            return (try? JSON.value(answer))?["inputTokens"]?.int
        } catch {
            // A model for which it does not count, or a partition without the operation.
            if case .refused(let status, _, _) = error, [400, 403, 404].contains(status) { return nil }
            throw error
        }
    }

    // MARK: Requests

    private func send(
        _ invocation: CloudModelInvocation, _ operation: String, _ headers: [(name: String, value: String)], _ body: Data
    ) async throws(CloudModelFailure) -> HTTPClientResponse {
        var region = invocation.region
        if region == nil { region = await identity.region() }
        guard let region else { throw .misconfigured("The provider needs a region: its own, aws.region or AWS_REGION.") }
        let endpoint = override ?? AWSEndpoint(service: "bedrock-runtime", region: region)
        let request = AWSRequest(
            method: "POST", endpoint: endpoint, path: "/model/\(AWSRequest.percentEncoded(invocation.model))/\(operation)",
            headers: headers + [("content-type", "application/json")], body: body)
        let signer = SigV4(service: "bedrock", region: region)
        for attempt in 0..<2 {
            let credentials = try await credentials()
            let response = try await execute(signer.sign(request, credentials, at: time.now()))
            if response.status.code < 300 { return response }
            let error = await Self.error(response)
            guard attempt == 0, error.meansExpiredCredentials else { throw Self.failure(error, response.headers) }
            await identity.credentials.forget(credentials.accessKeyID)
        }
        throw .unreachable
    }

    private func credentials() async throws(CloudModelFailure) -> AWSCredentials {
        do { return try await identity.credentials.get() } catch let error as AWSCredentialError { throw .misconfigured("\(error)") } catch { throw .unreachable }
    }

    private func execute(_ request: AWSRequest) async throws(CloudModelFailure) -> HTTPClientResponse {
        var http = HTTPClientRequest(url: request.url)
        http.method = HTTPMethod(rawValue: request.method)
        for (name, value) in request.headers { http.headers.add(name: name, value: value) }
        http.body = .bytes(ByteBuffer(bytes: request.payload.bytes))
        do { return try await client.execute(http, timeout: .hours(8)) } catch { throw Self.failure(error) }
    }

    // MARK: Answers

    private static func chunks(_ body: HTTPClientResponse.Body, _ take: (ByteBuffer) async throws -> Void) async throws {
        var chunks = body.makeAsyncIterator()
        while true {
            let chunk: ByteBuffer?
            do { chunk = try await chunks.next() } catch { throw failure(error) }
            guard let chunk else { return }
            try await take(chunk)
        }
    }

    private func whole(_ response: HTTPClientResponse) async throws(CloudModelFailure) -> Data {
        var bytes = ByteBuffer()
        do {
            try await Self.chunks(response.body) { chunk in
                guard bytes.readableBytes + chunk.readableBytes <= Self.maxAnswerBytes else { throw CloudModelFailure.unreachable }
                bytes.writeImmutableBuffer(chunk)
            }
        } catch let failure as CloudModelFailure { throw failure } catch { throw .unreachable }
        return Data(bytes.readableBytesView)
    }

    /// The Messages API's event in a frame; nil for frames that say nothing to us.
    /// - Throws: ``CloudModelFailure`` for an exception in mid-stream.
    private static func event(_ message: EventStreamMessage) throws(CloudModelFailure) -> Data? {
        let json = try? JSON.value(message.payload)
        guard message.messageType == "event" else {
            let code = message.headers[":exception-type"] ?? message.headers[":error-code"] ?? ""
            let text = json?["message"]?.string ?? message.headers[":error-message"] ?? ""
            throw failure(AWSError(status: status(code), code: code, message: text), [:])
        }
        guard message.headers[":event-type"] == "chunk", let text = json?["bytes"]?.string else { return nil }
        guard let event = Data(base64Encoded: text) else { throw .unreachable }
        return event
    }

    private static func error(_ response: HTTPClientResponse) async -> AWSError {
        let body = (try? await response.body.collect(upTo: maxErrorBytes)).map { Data($0.readableBytesView) } ?? Data()
        return AWSError(status: Int(response.status.code), headers: response.headers, body: body)
    }

    /// What an exception frame would have had as its status.
    private static func status(_ code: String) -> Int {
        let name = code.lowercased()
        return name.contains("throttling") ? 429 : name.contains("validation") ? 400 : name.contains("timeout") ? 408 : name.contains("unavailable") ? 503 : 500
    }

    private static func failure(_ error: AWSError, _ headers: HTTPHeaders) -> CloudModelFailure {
        let status: Int =
            switch error.code {
            // The model's own failure; its status says 424, as if something of ours had failed.
            case "ModelErrorException", "ModelStreamErrorException": 502
            case "ThrottlingException", "ModelNotReadyException", "ServiceQuotaExceededException": 429
            default: error.status
            }
        // Resource names are not for users (SEC-55).
        let message = error.message.replacing(/arn:[^\s"',)]+/, with: "‹name›")
        return .refused(status: status, message: String(message.prefix(2000)), retryAfter: headers.first(name: "retry-after").flatMap { Int($0) })
    }

    private static func failure(_ error: any Error) -> CloudModelFailure {
        if let error = error as? HTTPClientError {
            if [.readTimeout, .writeTimeout, .deadlineExceeded, .connectTimeout].contains(error) { return .timedOut }
            return error == .tlsHandshakeTimeout ? .notSecure : .unreachable
        }
        if let error = error as? NIOConnectionError {
            return error.connectionErrors.isEmpty && (error.dnsAError != nil || error.dnsAAAAError != nil) ? .nameNotFound : .unreachable
        }
        return String(reflecting: Swift.type(of: error)).contains("NIOSSL") ? .notSecure : .unreachable
    }
}
