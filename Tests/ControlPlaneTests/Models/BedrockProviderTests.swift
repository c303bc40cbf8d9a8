import Foundation
import NIOCore
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite("Models of a cloud's own service", .paced) struct BedrockProviderTests {
    private final class Scripted: CloudModels {
        let seen = Mutex<[CloudModelInvocation]>([])
        let failure: CloudModelFailure?
        let breaks: CloudModelFailure?
        let tokens: Int?
        init(failure: CloudModelFailure? = nil, breaks: CloudModelFailure? = nil, tokens: Int? = 5) { self.failure = failure; self.breaks = breaks; self.tokens = tokens }
        private func take(_ invocation: CloudModelInvocation) throws(CloudModelFailure) {
            seen.withLock { $0.append(invocation) }
            if let failure { throw failure }
        }
        func invoke(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> Data {
            try take(invocation)
            return Data(#"{"type":"message","content":[],"usage":{}}"#.utf8)
        }
        func stream(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> CloudModelStream {
            try take(invocation)
            return CloudModelStream { [breaks] take in
                try await take(Data(#"{"type":"message_start","message":{}}"#.utf8))
                if let breaks { throw breaks }
                try await take(Data(#"{"type":"message_stop"}"#.utf8))
            }
        }
        func countTokens(_ invocation: CloudModelInvocation) async throws(CloudModelFailure) -> Int? {
            try take(invocation)
            return tokens
        }
    }
    private func call(_ operation: ModelCall.Operation = .messages, streams: Bool = true, betas: [String] = []) -> ModelCall {
        var provider = Provider(providerId: ProviderID("b"), name: "B", type: .bedrock, modelIds: ["us.anthropic.x:0"], at: Date())
        provider.region = "eu-west-1"
        let body = #"{"model":"us.anthropic.x:0","max_tokens":9000,"stream":\#(streams),"messages":[{"role":"user","content":"hi"}]}"#
        return ModelCall(
            operation: operation, body: ByteBuffer(string: body), model: "us.anthropic.x:0", streams: streams, betas: betas, provider: provider, key: nil)
    }

    @Test("the model and the form of the body are named as the service wants them") func body() async throws {
        let models = Scripted()
        let answer = try await BedrockProvider(models: models).send(call(betas: ["context-1m-2025-08-07"]))
        #expect(try await answer.text() == "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n")
        let seen = try #require(models.seen.withLock { $0.first })
        #expect(seen.model == "us.anthropic.x:0" && seen.region == "eu-west-1")
        #expect(
            String(decoding: seen.body, as: UTF8.self)
                == #"{"anthropic_beta":["context-1m-2025-08-07"],"anthropic_version":"bedrock-2023-05-31","max_tokens":9000,"messages":[{"content":"hi","role":"user"}]}"#)
    }

    @Test("whole answers pass; tokens are counted by the service, else estimated") func whole() async throws {
        #expect(try await BedrockProvider(models: Scripted()).send(call(streams: false)).text().contains(#""type":"message""#))
        #expect(try await BedrockProvider(models: Scripted()).send(call(.countTokens)).text() == #"{"input_tokens":5}"#)
        let estimated = try await BedrockProvider(models: Scripted(tokens: nil)).send(call(.countTokens)).text()
        #expect(estimated != #"{"input_tokens":5}"# && estimated.hasPrefix(#"{"input_tokens":"#))
    }

    @Test("errors are told in the words in which engines look for a cure") func errors() async throws {
        func error(_ status: Int, _ message: String) async throws -> (Int, String) {
            let answer = try await BedrockProvider(models: Scripted(failure: .refused(status: status, message: message, retryAfter: nil))).send(call())
            return (answer.status, try await answer.text())
        }
        #expect(try await error(400, "Input is too long for requested model.").1.contains("prompt is too long"))
        #expect(try await error(400, "The maximum tokens you requested exceeds the model limit of 4096.").1.contains("max_tokens: 9000 > 4096"))
        #expect(try await error(429, "Too many requests").0 == 429)
        let refused = try await error(403, "User: x is not authorized")
        #expect(refused.0 == 502 && refused.1.contains(ModelError.refusedCode) && !refused.1.contains("User"))
        await #expect(throws: ModelFailure.misconfigured("no keys")) {
            try await BedrockProvider(models: Scripted(failure: .misconfigured("no keys"))).send(call())
        }
    }

    @Test("an exception in mid-stream ends it as an error, a broken one as a failure") func midStream() async throws {
        let throttled = try await BedrockProvider(models: Scripted(breaks: .refused(status: 429, message: "slow", retryAfter: nil))).send(call())
        #expect(try await throttled.text().contains("rate_limit_error"))
        let broken = try await BedrockProvider(models: Scripted(breaks: .unreachable)).send(call())
        await #expect(throws: ModelFailure.unreachable) { try await broken.text() }
    }

    @Test("a body that the service would not take is refused before it is sent") func tooLarge() async throws {
        let models = Scripted()
        var call = call()
        call.body = ByteBuffer(string: #"{"model":"m","max_tokens":5,"messages":"\#(String(repeating: "x", count: BedrockProvider.maxBodyBytes))"}"#)
        #expect(try await BedrockProvider(models: models).send(call).status == 413)
        #expect(models.seen.withLock { $0.isEmpty })
    }
}
