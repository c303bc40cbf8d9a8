import Foundation
import NIOCore
import Platform
import Synchronization

/// `POST /agent/v1/model/v1/…`: the only way of an agent to a model. The endpoint and its key are the gateway's affair; tokens are
/// reserved before the call, counted from the stream itself and cut where the reservation ends (SEC-83, SEC-85, SEC-107).
extension AgentGateway {
    /// Largest request, in bytes.
    public static let maxModelRequestBytes = 32 << 20

    /// Makes a model call for the run.
    /// - Parameters:
    ///   - version: the agent's `anthropic-version`.
    ///   - beta: the agent's `anthropic-beta`; only allow-listed names are passed on.
    /// - Returns: the answer's head; its body streams, and ends with an error event when the run, a quota or the endpoint ends it.
    /// - Throws: ``ModelError``
    public func model(_ run: AuthorizedRun, _ operation: ModelCall.Operation, body: ByteBuffer, version: String?, beta: String?) async throws
        -> ModelResponse
    {
        let request = try ModelRequest(body, operation: operation)
        let endpoint: ProviderResolution.Endpoint
        do {
            endpoint = try await providers.endpoint(run.run.providerId)
        } catch let error as ModelError {
            throw error
        } catch {
            logger.error("resolving a provider failed", metadata: ["invocationId": "\(run.run.invocationId)", "cause": "\(error)"])
            throw ModelError(
                status: 503, message: "The platform cannot look up the model provider at the moment.", code: "unavailable", retryAfter: 2)
        }
        let provider = endpoint.provider
        let (model, callBody) = try choose(request, body, provider, run)
        let call = ModelCall(
            operation: operation, body: callBody, model: model, streams: request.streams,
            version: version.flatMap { Self.versions.contains($0) ? $0 : nil }, betas: BetaAllowList.filter(beta),
            provider: provider, key: endpoint.key)

        if let pause = health.refusal(provider, model) {
            throw ModelError(
                status: 503, message: "The model provider failed several times in a row; it is tried again shortly.", code: "unavailable",
                retryAfter: max(1, Int(pause.seconds.rounded(.up))))
        }
        guard await load.enter(provider, time: time) else {
            health.report(.neither, provider, model)
            throw ModelError(status: 429, message: "The model provider is at its limit of concurrent requests.", code: "rate-limited", retryAfter: 2)
        }
        if operation == .countTokens {
            defer {
                load.leave(provider.providerId)
                health.report(.neither, provider, model)
            }
            return try await counted(call, endpoint.kind)
        }
        let open: OpenModelCall
        do {
            let wanted = request.estimatedInputTokens + request.maxTokens
            let (ticket, amount) = try await run.live.meter.reserve(wanted, minimum: request.estimatedInputTokens + 1)
            open = OpenModelCall(run: run, gateway: self, ticket: ticket, amount: amount, request: request, provider: provider, model: model)
        } catch {
            load.leave(provider.providerId)
            health.report(.neither, provider, model)
            throw Self.refusal(error)
        }
        do {
            return try await open.answer(try await send(call, endpoint.kind, run))
        } catch {
            await open.settle(TokenUsage(), .neither)
            throw error
        }
    }

    /// The run's model, or the provider's fallback: when the agent asks for that, when the model has failed the run three times in a row, or
    /// when it is known to be down.
    private func choose(_ request: ModelRequest, _ body: ByteBuffer, _ provider: Provider, _ run: AuthorizedRun) throws(ModelError) -> (
        String, ByteBuffer
    ) {
        let fallback = provider.fallbackModelId.flatMap { provider.modelIds.contains($0) ? $0 : nil }
        guard provider.modelIds.contains(request.model), request.model == run.run.model || request.model == fallback else {
            throw ModelError(status: 403, message: "The model \(request.model.prefix(200)) is not one that this run may use.", code: "forbidden")
        }
        if let fallback, fallback != request.model, run.live.overloadPersists || isDown(provider, request.model) { return (fallback, request.body(body, withModel: fallback)) }
        return (request.model, body)
    }

    private func isDown(_ provider: Provider, _ model: String) -> Bool {
        switch health.state(provider, model) {
        case .closed: false
        case .open(let until, _), .probing(let until, _): time.now() < until
        }
    }

    private func send(_ call: ModelCall, _ kind: any ModelProvider, _ run: AuthorizedRun) async throws -> ModelResponse {
        do {
            return try await kind.send(call).scrubbed(of: call.key)
        } catch {
            if case .misconfigured = error {} else {
                noteOutcome(.failed, of: call.model, in: run, isOverload: true)
                health.report(.failed, call.provider, call.model)
            }
            logger.warning(
                "a model call failed",
                metadata: [
                    "invocationId": "\(run.run.invocationId)", "providerId": "\(call.provider.providerId)", "cause": "\(error)",
                ])
            throw Self.refusal(error)
        }
    }

    /// What a run remembers of its own model: after three failures in a row it is given the fallback.
    fileprivate func noteOutcome(_ outcome: ProviderHealth.Outcome, of model: String, in run: AuthorizedRun, isOverload: Bool) {
        guard model == run.run.model else { return }
        if outcome == .worked { run.live.overloaded(false) } else if outcome == .failed || isOverload { run.live.overloaded(true) }
    }

    private func counted(_ call: ModelCall, _ kind: any ModelProvider) async throws -> ModelResponse {
        do { return try await kind.send(call).scrubbed(of: call.key) } catch { throw Self.refusal(error) }
    }

    static func refusal(_ failure: ModelFailure) -> ModelError {
        switch failure {
        case .unreachable:
            ModelError(status: 502, message: "The model provider could not be reached, or broke the connection.", code: "upstream-failed")
        case .nameNotFound: ModelError(status: 502, message: "The model provider's host name is not known.", code: "upstream-failed")
        case .notSecure: ModelError(status: 502, message: "No secure connection to the model provider could be made.", code: "upstream-failed")
        case .timedOut: ModelError(status: 504, message: "The model provider did not answer in time.", code: "upstream-timeout")
        // No further try cures a record.
        case .misconfigured(let sentence): ModelError(status: 502, message: sentence, code: "invalid-state")
        }
    }
    static func refusal(_ refusal: RunMeter.Refusal) -> ModelError {
        switch refusal {
        case .quota(let date):
            ModelError(status: 403, message: "The token quota of this month is used up. It resets on \(Timestamp.day(date)).", code: "quota-exceeded")
        case .run(let limit):
            ModelError(status: 403, message: "This run has used its limit of \(limit) tokens.", code: "run-tokens-exceeded")
        case .busy:
            ModelError(status: 429, message: "Other model calls of this run hold the tokens that are left.", code: "rate-limited", retryAfter: 1)
        case .unavailable:
            ModelError(status: 503, message: "The platform cannot check the token quota at the moment.", code: "unavailable", retryAfter: 2)
        }
    }

    /// Versions of the Messages API whose streams the meter can read (https://platform.claude.com/docs/en/api/versioning); another
    /// one that an agent names is replaced by the provider's default.
    private static let versions: Set<String> = ["2023-06-01", "2026-10-21"]
}

/// One model call between its reservation and its booking. Booked once, also when nobody ever reads the answer.
private final class OpenModelCall: Sendable {
    private let run: AuthorizedRun
    private let gateway: AgentGateway
    private let ticket: RunMeter.Ticket
    private let amount: Int
    private let request: ModelRequest
    private let provider: Provider
    private let model: String
    private let started: Date
    private let settled = Mutex(false)

    init(
        run: AuthorizedRun, gateway: AgentGateway, ticket: RunMeter.Ticket, amount: Int, request: ModelRequest, provider: Provider, model: String
    ) {
        self.run = run; self.gateway = gateway; self.ticket = ticket; self.amount = amount; self.request = request
        self.provider = provider; self.model = model
        started = gateway.time.now()
    }

    deinit {
        // The answer was dropped unread. The meter outlives this; nothing waits for the booking.
        guard take(.neither) else { return }
        let (meter, ticket) = (run.live.meter, ticket)
        Task { await meter.settle(ticket, ticket.usage) }
    }

    private func take(_ outcome: ProviderHealth.Outcome) -> Bool {
        let first = settled.withLock { settled in
            defer { settled = true }
            return !settled
        }
        if first {
            gateway.load.leave(provider.providerId)
            gateway.health.report(outcome, provider, model)
        }
        return first
    }

    /// - Parameter isOverload: for the run, though not for the endpoint's health, that was a failure.
    func settle(_ usage: TokenUsage, _ outcome: ProviderHealth.Outcome, isOverload: Bool = false) async {
        guard take(outcome) else { return }
        gateway.noteOutcome(outcome, of: model, in: run, isOverload: isOverload)
        let now = gateway.time.now(), name = outcome == .worked ? model : model + " (failed)"
        run.live.note(TraceStep(.model, name: name, at: started, durationMs: TraceStep.milliseconds(started, now)))
        await run.live.meter.settle(ticket, usage)
        await gateway.touch(run)
    }

    /// The upstream's answer with metering around its body.
    func answer(_ upstream: ModelResponse) async throws -> ModelResponse {
        guard upstream.status < 300 else {
            let isOverload = [429, 529].contains(upstream.status)
            // An error of the endpoint; not one of our key (which is no passing thing) nor of the request.
            let hasFailed = upstream.status >= 500 && upstream.status != 529 && !upstream.isRefusedKey
            await settle(TokenUsage(), hasFailed ? .failed : .neither, isOverload: isOverload)
            return upstream
        }
        let streams = upstream.headers.contains { $0.name == "content-type" && $0.value.contains("event-stream") }
        if streams {
            return ModelResponse(status: upstream.status, headers: upstream.headers) { write in try await self.pass(upstream, write) }
        }
        // A whole answer is read before it is passed on, so that a broken one is an error with a status.
        var whole = ByteBuffer()
        let usage = Mutex(StreamUsage(streams: false))
        do {
            try await pull(upstream) { chunk in
                guard whole.readableBytes + chunk.readableBytes <= AgentGateway.maxModelRequestBytes else { throw ModelFailure.unreachable }
                whole.writeImmutableBuffer(chunk)
                usage.withLock { $0.take(chunk) }
                return false
            }
        } catch let failure as ModelFailure {
            await settle(usage.withLock { $0.booked(estimatedInput: request.estimatedInputTokens) }, .failed)
            throw AgentGateway.refusal(failure)
        }
        let booked = usage.withLock { usage in
            usage.end()
            return usage.booked(estimatedInput: request.estimatedInputTokens)
        }
        await settle(booked, .worked)
        let (head, body) = (upstream.headers, whole)
        return ModelResponse(status: upstream.status, headers: head) { try await $0(body) }
    }

    /// Passes the stream on, chunk by chunk at the reader's pace.
    private func pass(_ upstream: ModelResponse, _ write: ModelResponse.Writer) async throws {
        var usage = StreamUsage(streams: true)
        var allowed = amount, knowsInput = false
        do {
            try await pull(upstream) { chunk in
                usage.take(chunk)
                ticket.usage = usage.booked(estimatedInput: request.estimatedInputTokens)
                let used = ticket.usage.counted
                if usage.hasInput, !knowsInput {
                    // The true input is known now: reserve for that and the longest answer.
                    knowsInput = true
                    let input = ticket.usage.inputTokens + ticket.usage.cacheWriteTokens
                    allowed = try await run.live.meter.resize(ticket, to: input + request.maxTokens, minimum: used + 1)
                } else if used > allowed {
                    allowed = try await run.live.meter.resize(ticket, to: used + 4096, minimum: used)
                }
                try await write(chunk)
                return usage.finished
            }
            if !usage.finished, usage.errorType == nil { throw ModelFailure.unreachable }
        } catch {
            usage.end()
            await settle(usage.booked(estimatedInput: request.estimatedInputTokens), error is ModelFailure ? .failed : .neither)
            if let event = Self.event(error) {
                try await write(event)
                return
            }
            throw error
        }
        let isOverload = ["overloaded_error", "rate_limit_error"].contains(usage.errorType)
        await settle(
            usage.booked(estimatedInput: request.estimatedInputTokens),
            usage.errorType == nil ? .worked : usage.errorType == "api_error" ? .failed : .neither, isOverload: isOverload)
    }

    /// How a stream that has begun is told why it ends.
    private static func event(_ error: any Error) -> ByteBuffer? {
        switch error {
        case let refusal as RunMeter.Refusal: AgentGateway.refusal(refusal).event
        case let failure as ModelFailure: AgentGateway.refusal(failure).event
        case GatewayError.unauthenticated:
            ModelError(status: 401, message: "This run has ended; its grant is no longer valid.", code: "unauthenticated").event
        default: nil
        }
    }

    /// How long an endpoint may keep its stream open after its last word: a connection that is read to its end serves the next call too.
    private static let tail = Duration.seconds(1)

    /// Runs the upstream's body beside its reader; the end of the run cuts both at once, also while the upstream is silent.
    /// - Parameter take: whether nothing is to come after this chunk.
    private func pull(_ upstream: ModelResponse, _ take: (ByteBuffer) async throws -> Bool) async throws {
        let chunks = Handoff<ByteBuffer>()
        let registration = run.live.end.onFire { chunks.end(GatewayError.unauthenticated) }
        defer { run.live.end.forget(registration) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    try await upstream.body { try await chunks.send($0) }
                    chunks.end()
                } catch {
                    chunks.end(error)
                }
            }
            defer { group.cancelAll() }
            var isOver = false
            while let chunk = try await chunks.next() {
                guard try await take(chunk), !isOver else { continue }
                isOver = true
                group.addTask {
                    try await Task.sleep(for: Self.tail)
                    chunks.end()
                }
            }
        }
    }
}
