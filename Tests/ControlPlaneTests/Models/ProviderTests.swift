import Foundation
import NIOCore
import Pace
import Platform
import Testing

@testable import ControlPlane

@Suite("Providers", .paced) struct ProviderTests {
    @Test(
        "a base URL is taken in every spelling that people use",
        arguments: [
            "https://api.example.com", "https://api.example.com/", "https://api.example.com/v1", "https://api.example.com/v1/",
            "https://api.example.com/v1/messages",
        ])
    func baseURLs(_ base: String) {
        #expect(AnthropicCompatibleProvider.endpoint(base, .messages) == "https://api.example.com/v1/messages")
        #expect(AnthropicCompatibleProvider.endpoint(base, .countTokens) == "https://api.example.com/v1/messages/count_tokens")
        #expect(AnthropicCompatibleProvider.endpoint("http://h/proxy/anthropic/", .messages) == "http://h/proxy/anthropic/v1/messages")
    }

    @Test("SEC-80: a key that an endpoint echoes is scrubbed, raw, base64 and URL-encoded") func SEC_80_scrub() {
        let key = "sk-ant+/=secret"
        for spelling in [key, Data(key.utf8).base64EncodedString(), key.addingPercentEncoding(withAllowedCharacters: .alphanumerics)!] {
            #expect(!KeyScrubber.scrub("bad key \(spelling)!", of: Secret(key)).contains(spelling))
        }
    }

    @Test("SEC-80: a key echoed in a stream is scrubbed wherever its bytes are split, and nothing else is touched") func SEC_80_stream() {
        let key = "sk-sk-ant/x"
        let text = "a sk-sk-sk-ant/x b sk-sk-ant\\/x c \(Data(key.utf8).base64EncodedString()) d sk-sk-an"
        let mark = KeyScrubber.mark
        for split in 0...text.utf8.count {
            var scrubber = KeyScrubber(Secret(key))!
            var out = scrubber.take(ByteBuffer(bytes: Array(text.utf8.prefix(split))))
            out.writeImmutableBuffer(scrubber.take(ByteBuffer(bytes: Array(text.utf8.dropFirst(split)))))
            out.writeImmutableBuffer(scrubber.end())
            #expect(String(buffer: out) == "a sk-\(mark) b \(mark) c \(mark) d sk-sk-an", "split at \(split)")
        }
    }

    @Test("only listed beta names pass") func betas() {
        #expect(BetaAllowList.filter("interleaved-thinking-2025-05-14, files-api-2025-04-14,oauth-2025-04-20") == ["interleaved-thinking-2025-05-14"])
    }

    @Test("a fresh installation without a key starts with the demo, once") func demoFirst() async throws {
        let records = InMemoryRecordStore(), secrets = InMemorySecretStore()
        for environment in [[:], ["ANTHROPIC_API_KEY": "sk-late"]] {
            try await ProviderBootstrap.ensure(records: records, secrets: secrets, stage: "t", environment: environment)
        }
        let all = try await records.all(Provider.self, RecordQuery(Provider.table, partition: "platform"))
        #expect(all.map(\.providerId) == [Provider.demoID] && all.first?.isDefault == true)
    }

    @Test("a key in the environment makes the default provider, the key in the secret store only") func keyFirst() async throws {
        let records = InMemoryRecordStore(), secrets = InMemorySecretStore()
        try await ProviderBootstrap.ensure(
            records: records, secrets: secrets, stage: "t",
            environment: ["ANTHROPIC_API_KEY": "sk-canary", "ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_MODEL": "my-model"])
        let all = try await records.all(Provider.self, RecordQuery(Provider.table, partition: "platform"))
        let found = all.first { $0.isDefault }
        let provider = try #require(found)
        #expect(all.count == 2 && all.filter(\.isDefault).count == 1)
        #expect(provider.modelIds.first == "my-model" && provider.baseUrl == "http://127.0.0.1:9" && provider.hasApiKey)
        #expect(try await secrets.get(ProviderResolution.secretName(stage: "t", provider.providerId))?.reveal() == "sk-canary")
        #expect(try !JSON.text(all).contains("sk-canary"))
    }

    @Test("a model that was started beside the platform becomes the default in place of the demo; its address follows") func localModel() async throws {
        let records = InMemoryRecordStore(), secrets = InMemorySecretStore()
        for environment in [[:], ["LOCAL_MODEL_URL": "http://127.0.0.1:1"], ["LOCAL_MODEL_URL": "http://127.0.0.1:2"]] {
            try await ProviderBootstrap.ensure(records: records, secrets: secrets, stage: "t", environment: environment)
        }
        let all = try await records.all(Provider.self, RecordQuery(Provider.table, partition: "platform"))
        let local = try #require(all.first { $0.providerId == ProviderBootstrap.localProviderID })
        #expect(all.count == 2 && all.filter(\.isDefault).map(\.providerId) == [local.providerId] && local.baseUrl == "http://127.0.0.1:2")
        // Somebody's own choice stays.
        try await records.update(local.key, [.set("isDefault", false)])
        try await records.update(Provider.key(Provider.demoID), [.set("isDefault", true)])
        try await ProviderBootstrap.ensure(records: records, secrets: secrets, stage: "t", environment: ["LOCAL_MODEL_URL": "http://127.0.0.1:2"])
        let after = try await records.all(Provider.self, RecordQuery(Provider.table, partition: "platform"))
        #expect(after.filter(\.isDefault).map(\.providerId) == [Provider.demoID])
    }

    @Test("files in a request are not estimated as text") func estimate() throws {
        let file = String(repeating: "QUJD", count: 100_000)
        let body = ByteBuffer(
            string: #"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"data":"\#(file)"}}]}]}"#)
        let request = try ModelRequest(body, operation: .messages)
        #expect(request.estimatedInputTokens < 10_000 && request.estimatedInputTokens > 1_000)
        #expect(String(buffer: request.body(body, withModel: "n\"2")).hasPrefix(#"{"model":"n\"2","max_tokens":9"#))
    }
}
