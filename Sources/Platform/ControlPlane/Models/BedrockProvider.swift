import Foundation
import NIOCore
import Platform

/// Anthropic's models on a cloud's own service: the Messages API's bodies with the model beside them instead of in them. How the
/// service is reached, and as whom, is the backend's affair.
public struct BedrockProvider: ModelProvider {
    /// Names the form of the body (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html).
    static let version = "bedrock-2023-05-31"
    /// Largest body that the service takes, in bytes.
    static let maxBodyBytes = 25_000_000
    private let models: any CloudModels

    public init(models: any CloudModels) { self.models = models }

    public func send(_ call: ModelCall) async throws(ModelFailure) -> ModelResponse {
        let invocation: CloudModelInvocation, outline: ModelRequest
        do {
            outline = try ModelRequest(call.body, operation: call.operation)
            invocation = CloudModelInvocation(model: call.model, region: call.provider.region, body: try Self.body(call))
        } catch { return error.response }
        do throws(CloudModelFailure) {
            if call.operation == .countTokens {
                let tokens = try await models.countTokens(invocation) ?? outline.estimatedInputTokens
                return ModelResponse(status: 200, json: ByteBuffer(string: "{\"input_tokens\":\(tokens)}"))
            }
            guard call.streams else { return ModelResponse(status: 200, json: ByteBuffer(bytes: try await models.invoke(invocation))) }
            let stream = try await models.stream(invocation)
            let asked = outline.maxTokens
            return ModelResponse(status: 200, headers: [("content-type", "text/event-stream; charset=utf-8")]) { write in
                do {
                    try await stream.events { event in
                        guard let type = (try? JSON.value(event))?["type"]?.string else { throw ModelFailure.unreachable }
                        var buffer = ByteBuffer(string: "event: \(type)\ndata: ")
                        buffer.writeBytes(event)
                        buffer.writeStaticString("\n\n")
                        try await write(buffer)
                    }
                } catch let failure as CloudModelFailure {
                    switch Self.problem(failure, asked: asked) {
                    case .answer(let error): try await write(error.event)
                    case .failure(let failure): throw failure
                    }
                }
            }
        } catch {
            switch Self.problem(error, asked: outline.maxTokens) {
            case .answer(let error): return error.response
            case .failure(let failure): throw failure
            }
        }
    }

    private static func body(_ call: ModelCall) throws(ModelError) -> Data {
        guard var fields = (try? JSON.value(Data(call.body.readableBytesView)))?.object else {
            throw ModelError(status: 400, message: "The request body is not valid JSON.")
        }
        fields["model"] = nil
        fields["stream"] = nil
        fields["anthropic_version"] = .string(version)
        if !call.betas.isEmpty { fields["anthropic_beta"] = .array(call.betas.map(Value.string)) }
        guard let body = try? JSON.data(.object(fields)) else { throw ModelError(status: 400, message: "The request body cannot be written as JSON.") }
        guard body.count <= maxBodyBytes else { throw ModelError(status: 413, message: "The request is larger than \(maxBodyBytes) bytes.") }
        return body
    }

    private enum Problem { case answer(ModelError), failure(ModelFailure) }

    private static func problem(_ failure: CloudModelFailure, asked: Int) -> Problem {
        switch failure {
        case .unreachable: return .failure(.unreachable)
        case .nameNotFound: return .failure(.nameNotFound)
        case .notSecure: return .failure(.notSecure)
        case .timedOut: return .failure(.timedOut)
        case .misconfigured(let sentence): return .failure(.misconfigured(sentence))
        case .refused(let status, let message, let retryAfter):
            if let refusal = ModelHTTP.refusal(status: status) { return .answer(refusal) }
            let lower = message.lowercased()
            if status == 400 {
                // The service's words for what engines can cure.
                if lower.contains("input is too long") { return .answer(ModelError(status: 400, message: "prompt is too long: \(message)")) }
                if lower.contains("maximum tokens"), let most = lower.firstMatch(of: /limit of (\d+)/).flatMap({ Int($0.1) }) {
                    return .answer(ModelError(status: 400, message: "max_tokens: \(asked) > \(most), which is the most that this model writes"))
                }
            }
            return .answer(
                ModelError(
                    status: status == 408 ? 504 : status, message: message.isEmpty ? "The model service answered with status \(status)." : message,
                    retryAfter: retryAfter))
        }
    }
}
