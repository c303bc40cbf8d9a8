import Foundation
import NIOCore
import Platform

/// Asks a provider for one token, to see whether address, key and model are right. Says ok or not ok in our own words, never
/// what the endpoint answered.
public struct ProviderProbe: Sendable {
    private let kinds: [Provider.Kind: any ModelProvider]
    private let time: any TimeSource
    public init(kinds: [Provider.Kind: any ModelProvider], time: any TimeSource = SystemTime()) { self.kinds = kinds; self.time = time }

    public func callAsFunction(_ provider: Provider, _ key: Secret?, _ model: String) async -> ProviderService.TestResult {
        let begun = time.now()
        func result(_ ok: Bool, _ detail: String? = nil) -> ProviderService.TestResult {
            .init(ok: ok, latency: Duration(seconds: max(0, time.now().timeIntervalSince(begun))), detail: detail)
        }
        if provider.providerType == .demo { return result(true) }
        guard let endpoint = kinds[provider.providerType] else { return result(false, "This kind of provider is not offered here.") }
        let body: Value = .object([
            "model": .string(model), "max_tokens": 1, "messages": .array([.object(["role": "user", "content": "ping"])]),
        ])
        guard let data = try? JSON.data(body) else { return result(false) }
        do {
            let answer = try await endpoint.send(
                ModelCall(operation: .messages, body: ByteBuffer(bytes: data), model: model, streams: false, provider: provider, key: key))
            try await answer.body { _ in }
            switch answer.status {
            case 200..<300: return result(true)
            case 401, 403: return result(false, "The provider does not accept the key.")
            case 404: return result(false, "The provider does not know this model, or the base URL is not that of a Messages API.")
            case 429, 529: return result(false, "The provider is overloaded or limits this key at the moment.")
            default: return result(false, "The provider answered with status \(answer.status).")
            }
        } catch {
            return result(false, "The provider could not be reached.")
        }
    }
}
