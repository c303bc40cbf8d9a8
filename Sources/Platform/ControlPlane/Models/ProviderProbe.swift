import Foundation
import NIOCore
import Platform

/// Asks a provider for a few tokens, to see whether address, key and model are right. Says ok or not ok in our own words, never what
/// the endpoint answered (SEC-45: an address that is not allowed and one where nobody listens look alike).
public struct ProviderProbe: Sendable {
    /// An administrator waits for the answer; a server of one's own may have to load its model first.
    private static let patience = Duration.seconds(60)

    private let kinds: [Provider.Kind: any ModelProvider]
    private let health: ProviderHealth
    private let time: any TimeSource
    public init(kinds: [Provider.Kind: any ModelProvider], health: ProviderHealth = ProviderHealth(), time: any TimeSource = SystemTime()) {
        self.kinds = kinds; self.health = health; self.time = time
    }

    public func callAsFunction(_ provider: Provider, _ key: Secret?, _ model: String) async -> ProviderService.TestResult {
        let begun = time.now()
        func result(_ detail: String?) -> ProviderService.TestResult {
            .init(ok: detail == nil, latency: Duration(seconds: max(0, time.now().timeIntervalSince(begun))), detail: detail)
        }
        if provider.providerType == .demo { return result(nil) }
        guard let endpoint = kinds[provider.providerType] else { return result("This kind of provider is not offered here.") }
        // Sixteen tokens: some endpoints refuse fewer.
        let body: Value = .object([
            "model": .string(model), "max_tokens": 16,
            "messages": .array([.object(["role": "user", "content": "Answer with the word: ready"])]),
        ])
        guard let data = try? JSON.data(body) else { return result("The model's name cannot be sent.") }
        let call = ModelCall(operation: .messages, body: ByteBuffer(bytes: data), model: model, streams: false, provider: provider, key: key)
        let paused = health.refusal(provider, model) != nil
        let detail = await answer(endpoint, call)
        health.report(detail == nil ? .worked : .neither, provider, model)
        guard let detail else { return result(nil) }
        return result(paused ? detail + " After failures in a row, runs use this model only now and then until it works again." : detail)
    }

    /// What is wrong; nil when nothing is.
    private func answer(_ endpoint: any ModelProvider, _ call: ModelCall) async -> String? {
        let time = time
        return await withTaskGroup(of: String?.self) { group in
            group.addTask {
                do {
                    let answer = try await endpoint.send(call)
                    var body = ByteBuffer()
                    try await answer.body { chunk in if body.readableBytes < 1 << 20 { body.writeImmutableBuffer(chunk) } }
                    return Self.problem(answer.status, try? JSON.value(Data(body.readableBytesView)), call.provider)
                } catch let failure as ModelFailure {
                    return Self.problem(failure)
                } catch {
                    return Self.problem(.unreachable)
                }
            }
            group.addTask {
                try? await time.sleep(for: Self.patience)
                return Self.problem(.timedOut)
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    private static func problem(_ failure: ModelFailure) -> String {
        switch failure {
        case .unreachable: "Nothing could be reached under the base URL."
        case .nameNotFound: "The host name in the base URL is not known."
        case .notSecure: "No secure connection could be made: the certificate does not fit the base URL, or the server there does not speak TLS."
        case .timedOut: "There was no answer in time."
        case .misconfigured(let sentence): sentence
        }
    }

    private static func problem(_ status: Int, _ body: Value?, _ provider: Provider) -> String? {
        if (200..<300).contains(status) {
            return body?["type"]?.string == "message" ? nil : "What answers under the base URL is not an API of this type."
        }
        let isBedrock = provider.providerType == .bedrock
        if body?["error"]?["code"]?.string == ModelError.refusedCode {
            return isBedrock ? "The service does not accept the platform's role for this model." : provider.hasApiKey
                ? "The provider does not accept the key, or its account has no credit left." : "The provider wants a key."
        }
        switch status {
        case 400, 422: return "The provider knows the request's form but refuses it; most often the model's name is wrong."
        case 404:
            return isBedrock ? "The service does not know this model in this region." : "The provider does not know this model, or the base URL is not that of its API."
        case 429: return "The provider limits this key at the moment. Try again in a minute."
        case 529, 503: return "The provider is overloaded at the moment."
        case 408, 504: return problem(.timedOut)
        default: return "The provider answered with an error of its own (status \(status))."
        }
    }
}
