import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import Platform
import Synchronization

/// Any endpoint that speaks OpenAI's chat completions: OpenAI itself, DeepSeek, Qwen, Kimi, GLM, and servers of one's own such as Ollama,
/// llama.cpp and vLLM. Requests and answers are translated both ways, so that agents speak the Messages API only.
public struct OpenAICompatibleProvider: ModelProvider {
    /// Largest answer that does not stream, in bytes.
    private static let maxAnswerBytes = 32 << 20
    private let connection: ModelConnection
    private let learned = LearnedDialects()

    /// - Parameter client: as ``AnthropicCompatibleProvider/makeClient(on:connectTimeout:readTimeout:)`` makes it.
    public init(client: HTTPClient) { connection = .direct(client) }
    /// Each request goes to an address that `egress` has vetted for it.
    public init(egress: EgressGuard, client: EgressClient) { connection = .guarded(egress, client) }

    public func send(_ call: ModelCall) async throws(ModelFailure) -> ModelResponse {
        do {
            let outline = try ModelRequest(call.body, operation: call.operation)
            if call.operation == .countTokens {
                // There is no such call there: counted roughly, as for the gateway's own reservation.
                return ModelResponse(status: 200, json: ByteBuffer(string: "{\"input_tokens\":\(outline.estimatedInputTokens)}"))
            }
            guard let request = try? JSON.value(Data(call.body.readableBytesView)) else {
                throw ModelError(status: 400, message: "The request body is not valid JSON.")
            }
            return try await answer(call, request, outline)
        } catch let error as ModelError {
            return error.response
        } catch let failure as ModelFailure {
            throw failure
        } catch {
            throw .unreachable
        }
    }

    private func answer(_ call: ModelCall, _ request: Value, _ outline: ModelRequest) async throws -> ModelResponse {
        let base = try ModelHTTP.baseURL(call.provider)
        // Each correction takes one thing away that the endpoint named, so this ends; what it takes is remembered.
        for _ in 0..<4 {
            let dialect = learned.of(call.provider, call.model) ?? ChatDialect(baseURL: base, model: call.model)
            let chat = try ChatRequest(request, model: call.model, streams: call.streams, dialect: dialect)
            var http = HTTPClientRequest(url: ChatDialect.endpoint(base))
            http.method = .POST
            http.headers = try headers(call)
            http.body = .bytes(ByteBuffer(bytes: try JSON.data(chat.body)))
            let response = try await connection.execute(http)
            let status = Int(response.status.code)
            if status < 300 { return try await succeeded(response, call, outline) }
            let body = await ModelHTTP.errorBody(response)
            let error = CompletionError.read(
                body, status: status, asked: outline.maxTokens, key: call.key, retryAfter: ModelHTTP.retryAfter(response.headers))
            guard status == 400 || status == 422, let corrected = dialect.corrected(by: error.message) else { return error.response }
            learned.remember(corrected, of: call.provider, call.model)
        }
        throw ModelFailure.misconfigured("The model provider refuses the form of our requests.")
    }

    private func headers(_ call: ModelCall) throws(ModelFailure) -> HTTPHeaders {
        var headers = try ModelHTTP.headers(call)
        if let key = call.key {
            switch call.provider.authType ?? .bearer {
            case .bearer: headers.replaceOrAdd(name: "authorization", value: "Bearer \(key.reveal())")
            // Azure and gateways modelled on it.
            case .apiKey: headers.replaceOrAdd(name: "api-key", value: key.reveal())
            }
        }
        return headers
    }

    private func succeeded(_ response: HTTPClientResponse, _ call: ModelCall, _ outline: ModelRequest) async throws -> ModelResponse {
        let type = response.headers.first(name: "content-type")?.lowercased() ?? ""
        let id = response.headers.first(name: "x-request-id").map { [(name: "request-id", value: $0)] } ?? []
        guard call.streams, !type.contains("application/json") else {
            let message = try await whole(response, call, outline)
            let body = ByteBuffer(bytes: try JSON.data(message))
            guard call.streams else { return ModelResponse(status: 200, headers: id, json: body) }
            return ModelResponse(status: 200, headers: Self.streamHeaders + id) { write in
                for event in MessageEvents.events(of: message) { try await write(event) }
            }
        }
        let body = response.body
        let translator = ChatStreamTranslator(
            model: call.model, asked: outline.maxTokens, key: call.key, estimatedInput: outline.estimatedInputTokens)
        return ModelResponse(status: 200, headers: Self.streamHeaders + id) { write in
            var reader = ChatStreamReader(), translator = translator
            try await ModelHTTP.chunks(body) { chunk in
                for item in try reader.feed(chunk) { for event in translator.take(item) { try await write(event) } }
            }
            for item in try reader.end() { for event in translator.take(item) { try await write(event) } }
            for event in try translator.end() { try await write(event) }
        }
    }
    private static let streamHeaders = [(name: "content-type", value: "text/event-stream; charset=utf-8")]

    private func whole(_ response: HTTPClientResponse, _ call: ModelCall, _ outline: ModelRequest) async throws -> Value {
        var bytes = ByteBuffer()
        try await ModelHTTP.chunks(response.body) { chunk in
            guard bytes.readableBytes + chunk.readableBytes <= Self.maxAnswerBytes else { throw ModelFailure.unreachable }
            bytes.writeImmutableBuffer(chunk)
        }
        guard let answer = try? JSON.value(Data(bytes.readableBytesView)) else {
            throw ModelError(status: 502, message: "The model provider's answer could not be read.", code: "upstream-failed")
        }
        return try ChatAnswer.message(
            answer, model: call.model, asked: outline.maxTokens, key: call.key, estimatedInput: outline.estimatedInputTokens)
    }
}

/// What endpoints were found not to take, for as long as their record stays as it is. Bounded: forgetting costs one refused request.
private final class LearnedDialects: Sendable {
    private struct Key: Hashable { var provider: ProviderID; var updatedAt: Date; var model: String }
    private static let most = 500
    private let known = Mutex<[Key: ChatDialect]>([:])

    func of(_ provider: Provider, _ model: String) -> ChatDialect? {
        known.withLock { $0[Key(provider: provider.providerId, updatedAt: provider.updatedAt, model: model)] }
    }
    func remember(_ dialect: ChatDialect, of provider: Provider, _ model: String) {
        known.withLock { known in
            if known.count >= Self.most { known.removeAll() }
            known[Key(provider: provider.providerId, updatedAt: provider.updatedAt, model: model)] = dialect
        }
    }
}
