import Foundation
import NIOCore
import Pace
import Platform
import Synchronization
import Testing

@testable import ControlPlane

@Suite("Model calls through the gateway", .paced) struct ModelCallsTests {
    private func call(_ world: GatewayWorld, _ token: String, _ body: ByteBuffer? = nil) async throws -> ModelResponse {
        try await world.gateway.model(try await world.run(token, .model), .messages, body: body ?? world.request(), version: nil, beta: nil)
    }
    private func refusal(_ body: () async throws -> Void) async -> ModelError? {
        do { try await body() } catch { return error as? ModelError }
        return nil
    }

    @Test("SEC-85: tokens are counted from the stream, cache reads apart") func SEC_85_counted() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        world.provider.respond { _ in
            ScriptedProvider.stream { write in
                try await write(ScriptedProvider.start(input: 120, cacheRead: 900))
                // Split in the middle of a line.
                let end = ScriptedProvider.end(output: 42)
                try await write(end.getSlice(at: 0, length: 9)!)
                try await write(end.getSlice(at: 9, length: end.readableBytes - 9)!)
                try await write(ScriptedProvider.stop)
            }
        }
        _ = try await call(world, token).text()
        let usage = await world.gateway.usage(of: id)
        #expect(usage?.inputTokens == 120 && usage?.outputTokens == 42 && usage?.cacheReadTokens == 900 && usage?.counted == 162)
    }

    @Test("SEC-85: a stream that is cut is booked by what passed, and ends with an error event") func SEC_85_cut() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        world.provider.respond { _ in
            ScriptedProvider.stream { write in
                try await write(ScriptedProvider.start(input: 100))
                for _ in 0..<10 { try await write(ScriptedProvider.text(String(repeating: "x", count: 40))) }
                throw ModelFailure.unreachable
            }
        }
        let text = try await call(world, token).text()
        #expect(text.contains("event: error") && text.contains("upstream-failed"))
        let usage = try #require(await world.gateway.usage(of: id))
        #expect(usage.inputTokens == 100)
        #expect((90...110).contains(usage.outputTokens), "\(usage.outputTokens)")
    }

    @Test("SEC-85: an endpoint that ends its stream without a word is an error, not an answer") func SEC_85_silentEnd() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        world.provider.respond { _ in ScriptedProvider.stream { try await $0(ScriptedProvider.start(input: 1)) } }
        #expect(try await call(world, token).text().contains("event: error"))
    }

    @Test("SEC-107: tokens used up in mid-stream cut it with the reason and the date of the reset") func SEC_107_midStream() async throws {
        let world = try await GatewayWorld(tokens: 300)
        let (token, id) = try await world.start()
        world.provider.respond { _ in
            ScriptedProvider.stream { write in
                try await write(ScriptedProvider.start(input: 100))
                for _ in 0..<1000 { try await write(ScriptedProvider.text(String(repeating: "x", count: 40))) }
                Issue.record("the stream was not cut")
            }
        }
        let text = try await call(world, token, world.request(maxTokens: 100_000)).text()
        #expect(text.hasSuffix("\n\n") && text.contains("quota-exceeded") && text.contains("2025-11-01"))
        let usage = try #require(await world.gateway.usage(of: id))
        #expect((290...330).contains(usage.counted), "\(usage.counted)")
        let next = await refusal { _ = try await call(world, token) }
        #expect(next?.status == 403 && next?.code == "quota-exceeded")
        #expect(world.provider.calls.withLock { $0.count } == 1)
    }

    @Test("the run's own token limit holds in the same way") func runLimit() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start { $0.run?.maxRunTokens = 10_000 }
        world.provider.respond { _ in ScriptedProvider.stream(["x"], input: 9000, output: 990) }
        _ = try await call(world, token).text()
        let next = await refusal { _ = try await call(world, token) }
        #expect(next?.status == 403 && next?.code == "run-tokens-exceeded")
    }

    @Test("SEC-107: calls of one run at once can not exceed together") func SEC_107_concurrent() async throws {
        let world = try await GatewayWorld(tokens: 5_000)
        let meter = RunMeter(userId: world.userId, slot: "s", maxRunTokens: nil, usage: TokenUsage(), quota: world.quota)
        let amounts = await withTaskGroup(of: Int.self) { group in
            for _ in 0..<50 { group.addTask { (try? await meter.reserve(1000, minimum: 1000))?.amount ?? 0 } }
            return await group.reduce(0, +)
        }
        #expect(amounts == 5_000)
        #expect(await world.quota.left == 0)
    }

    @Test("the ledger is asked in blocks, not for every call") func blocks() async throws {
        let world = try await GatewayWorld(granted: 50_000)
        let (token, _) = try await world.start()
        for _ in 0..<20 { _ = try await call(world, token).text() }
        #expect(await world.quota.topUps.isEmpty)
        _ = try await call(world, token, world.request(maxTokens: 60_000)).text()
        #expect(await world.quota.topUps == [RunMeter.block])
    }

    @Test("SEC-73: the end of the run cuts an open stream, also while the endpoint is silent") func SEC_73_cutsStreams() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        world.provider.respond { _ in
            ScriptedProvider.stream { write in
                try await write(ScriptedProvider.start(input: 7))
                try await Task.sleep(for: .seconds(3600))
            }
        }
        let response = try await call(world, token)
        let (chunks, continuation) = AsyncStream<String>.makeStream()
        let reading = Task {
            try await response.body { continuation.yield(String(buffer: $0)) }
            continuation.finish()
        }
        var iterator = chunks.makeAsyncIterator()
        _ = await iterator.next()
        let usage = await world.gateway.end(id)
        #expect(await iterator.next()?.contains("unauthenticated") == true)
        try await reading.value
        #expect(usage?.inputTokens == 7)
    }

    @Test("an answer that nobody reads gives its reservation back") func unread() async throws {
        let world = try await GatewayWorld(tokens: 2_000)
        let (token, _) = try await world.start()
        _ = try await call(world, token, world.request(maxTokens: 1_900))
        // It is given back by a task of its own: try again until then, as agents do.
        let deadline = ContinuousClock.now + .seconds(20)
        var answered = false
        while !answered, ContinuousClock.now < deadline {
            do { _ = try await call(world, token, world.request(maxTokens: 1_900)).text(); answered = true } catch let error as ModelError {
                #expect(error.status == 429)
                world.time.advance(by: .seconds(1))
                await Task.yield()
            }
        }
        #expect(answered)
    }

    @Test("SEC-83: only the run's model and the fallback are served, each with the provider's key") func SEC_83_models() async throws {
        let world = try await GatewayWorld()
        try await world.change(Provider.key(ProviderID("p1")), .set("hasApiKey", true), .set("modelIds", .array(["m-1", "m-2", "m-3"])))
        try await world.secrets.put(ProviderResolution.secretName(stage: "test", ProviderID("p1")), Secret("sk-canary"))
        let (token, _) = try await world.start()
        for model in ["m-3", "gpt", "M-1"] {
            let refused = await refusal { _ = try await call(world, token, world.request(model: model)) }
            #expect(refused?.status == 403, "\(model)")
        }
        _ = try await call(world, token, world.request(model: "m-2")).text()
        #expect(world.provider.calls.withLock { $0.map(\.model) } == ["m-2"])
        #expect(world.provider.calls.withLock { $0.first?.key?.reveal() } == "sk-canary")
    }

    @Test(
        "two names for one field are refused, so that the endpoint sees the model that was checked",
        arguments: [
            #"{"model":"m-1","max_tokens":5,"model":"m-3","messages":[]}"#, #"{"mod\u0065l":"m-3","model":"m-1","max_tokens":5}"#,
            #"{"model":"m-1","max_tokens":5"#, #"[1]"#, #"{"model":"m-1"}"#, #"{"model":"m-1","max_tokens":5} x"#,
        ])
    func strictTopLevel(_ body: String) async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        #expect(await refusal { _ = try await call(world, token, ByteBuffer(string: body)) }?.status == 400)
        #expect(world.provider.calls.withLock { $0.isEmpty })
    }

    @Test("a model that is overloaded three times in a row is replaced by the fallback") func fallback() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        world.provider.respond { call in
            call.model == "m-1" ? ModelError(status: 529, message: "Overloaded", retryAfter: 3).response : ScriptedProvider.stream(["ok"])
        }
        for _ in 0..<3 { #expect(try await call(world, token).status == 529) }
        let answer = try await call(world, token)
        #expect(answer.status == 200)
        let last = try #require(world.provider.calls.withLock { $0.last })
        #expect(last.model == "m-2")
        #expect(String(buffer: last.body) == String(buffer: world.request(model: "m-2")))
        _ = try await answer.text()
    }

    @Test("a provider at its limit of concurrent calls lets the next wait shortly, then answers 429 with a time to wait")
    func concurrencyLimit() async throws {
        let world = try await GatewayWorld()
        try await world.change(Provider.key(ProviderID("p1")), .set("maxConcurrency", 1))
        let (token, _) = try await world.start()
        let open = try await call(world, token)
        async let refused = refusal { _ = try await call(world, token) }
        await until { world.time.sleepers == 1 }
        world.time.advance(by: ProviderLoad.patience)
        let error = await refused
        #expect(error?.status == 429 && error?.retryAfter != nil)
        async let next = call(world, token)
        await until { world.time.sleepers == 1 }
        _ = try await open.text()
        _ = try await next.text()
        #expect(world.provider.calls.withLock { $0.count } == 2)
    }

    private func until(_ condition: () -> Bool) async {
        let deadline = ContinuousClock.now + .seconds(20)
        while !condition(), ContinuousClock.now < deadline { await Task.yield() }
        #expect(condition())
    }

    @Test("an endpoint that fails five times in a row is left alone, then tried by one call, which decides") func circuit() async throws {
        let world = try await GatewayWorld()
        try await world.change(Provider.key(ProviderID("p1")), .remove("fallbackModelId"))
        let (token, _) = try await world.start()
        world.provider.respond { _ throws(ModelFailure) in throw .unreachable }
        for _ in 0..<ProviderHealth.threshold { #expect(await refusal { _ = try await call(world, token) }?.status == 502) }
        let paused = await refusal { _ = try await call(world, token) }
        #expect(paused?.status == 503 && paused?.code == "unavailable" && paused?.retryAfter == 10)
        #expect(world.provider.calls.withLock { $0.count } == ProviderHealth.threshold)
        #expect(world.gateway.health.open.map(\.model) == ["m-1"])
        world.time.advance(by: ProviderHealth.pause)
        #expect(await refusal { _ = try await call(world, token) }?.status == 502)
        // The failed probe doubles the pause.
        #expect(await refusal { _ = try await call(world, token) }?.retryAfter == 20)
        world.time.advance(by: .seconds(20))
        world.provider.respond { _ in ScriptedProvider.stream(["ok"]) }
        let probe = try await call(world, token)
        #expect(await refusal { _ = try await call(world, token) }?.status == 503)
        _ = try await probe.text()
        _ = try await call(world, token).text()
        #expect(world.gateway.health.open.isEmpty)
    }

    @Test("overload, a refused key and a bad request do not open the circuit; a changed record closes it") func circuitCounts() async throws {
        let world = try await GatewayWorld()
        try await world.change(Provider.key(ProviderID("p1")), .remove("fallbackModelId"))
        let (token, _) = try await world.start()
        let refused = ModelError(status: 502, message: "no", code: ModelError.refusedCode)
        for error in [ModelError(status: 529, message: "x"), ModelError(status: 429, message: "x"), ModelError(status: 400, message: "x"), refused] {
            world.provider.respond { _ in error.response }
            for _ in 0..<8 { #expect(try await call(world, token).status == error.status) }
        }
        world.provider.respond { _ in ScriptedProvider.stream { try await $0(ScriptedProvider.start(input: 1)); throw ModelFailure.unreachable } }
        for _ in 0..<ProviderHealth.threshold { _ = try await call(world, token).text() }
        #expect(await refusal { _ = try await call(world, token) }?.status == 503)
        try await world.change(Provider.key(ProviderID("p1")), .set("updatedAt", .string(Timestamp.text(world.time.now() + 1))))
        world.provider.respond { _ in ScriptedProvider.stream(["ok"]) }
        #expect(try await call(world, token).text().contains("message_stop"))
    }

    @Test("a model that is known to be down is replaced by the fallback at once") func fallbackWhenDown() async throws {
        let world = try await GatewayWorld()
        let (first, _) = try await world.start()
        world.provider.respond { call throws(ModelFailure) in
            if call.model == "m-1" { throw .timedOut }
            return ScriptedProvider.stream(["ok"])
        }
        for _ in 0..<3 { #expect(await refusal { _ = try await call(world, first) }?.status == 504) }
        _ = try await call(world, first).text()
        let (second, _) = try await world.start()
        for _ in 0..<2 { _ = await refusal { _ = try await call(world, second) } }
        let (third, _) = try await world.start()
        _ = try await call(world, third).text()
        #expect(world.provider.calls.withLock { $0.last?.model } == "m-2")
    }

    @Test("SEC-80: a key that an endpoint echoes in its stream does not reach the agent") func SEC_80_echo() async throws {
        let world = try await GatewayWorld()
        try await world.change(Provider.key(ProviderID("p1")), .set("hasApiKey", true))
        try await world.secrets.put(ProviderResolution.secretName(stage: "test", ProviderID("p1")), Secret("sk-canary-1234"))
        let (token, _) = try await world.start()
        world.provider.respond { _ in ScriptedProvider.stream(["your key is sk-canary-1234!"]) }
        let text = try await call(world, token).text()
        #expect(!text.contains("sk-canary") && text.contains("message_stop"))
    }

    @Test("an answer that does not stream is counted too") func whole() async throws {
        let world = try await GatewayWorld()
        let (token, id) = try await world.start()
        world.provider.respond { _ in
            ModelResponse(status: 200, json: ByteBuffer(string: #"{"type":"message","content":[],"usage":{"input_tokens":11,"output_tokens":22}}"#))
        }
        _ = try await call(world, token, world.request(stream: false)).text()
        #expect(await world.gateway.usage(of: id)?.counted == 33)
    }

    @Test("usage is checkpointed into the record") func checkpoint() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        _ = try await call(world, token).text()
        world.time.advance(by: .seconds(31))
        _ = try await world.run(token, .model)
        #expect(try await world.storedRun()?.usage.counted == 15)
    }

    @Test("a broken stream of a slow reader holds no more than one chunk") func backpressure() async throws {
        let world = try await GatewayWorld()
        let (token, _) = try await world.start()
        let sent = Mutex(0)
        world.provider.respond { _ in
            ScriptedProvider.stream { write in
                try await write(ScriptedProvider.start(input: 1))
                for _ in 0..<100 { try await write(ScriptedProvider.text("x")); sent.withLock { $0 += 1 } }
                try await write(ScriptedProvider.stop)
            }
        }
        var read = 0
        try await call(world, token).body { _ in
            #expect(sent.withLock { $0 } <= read + 1)
            read += 1
        }
        #expect(read == 102)
    }
}
