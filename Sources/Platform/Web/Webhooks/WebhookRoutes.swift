import Channels
import Foundation
import HTTPTypes
import Platform

extension API {
    /// Vendors' events (API.md §5): raw bytes and all header values to the ingest, which verifies before anything else looks at them.
    var webhookRoutes: [Route] {
        let path = "/webhook/{type}/{botId}"
        return [
            Route(
                .post, path, "A vendor's event, proved by its signature.", access: .ownProof, buckets: [.webhook], query: .any, body: .raw(limit: 1 << 20),
                answers: [.bytes("*/*")], problems: [.badSignature]
            ) { call in try await webhook(call) },
            Route(
                .get, path, "A vendor's handshake.", access: .ownProof, buckets: [.webhook], query: .any, answers: [.bytes("*/*")], problems: [.badSignature]
            ) { call in try await webhook(call) },
        ]
    }

    private func webhook(_ call: Call) async throws -> Answer {
        guard let type = ChannelType(rawValue: call.parameter("type")), ULID.isWellFormed(call.botId.rawValue) else { throw Problem.notFound }
        var headers: [String: [String]] = [:]
        for field in call.request.headers { headers[field.name.canonicalName, default: []].append(field.value) }
        let request = WebhookRequest(
            method: call.request.method.rawValue, headers: headers, query: call.query.compactMapValues(\.first), body: call.rawBody)
        do {
            let answer = try await services.webhooks.accept(type, call.botId, request)
            return Answer(content: .bytes(Data(answer.body.utf8), type: answer.contentType))
        } catch let error as WebhookDoorError {
            switch error {
            case .notFound: throw Problem.notFound
            // Wrong, absent, stale and unconfigured proofs share one answer (SEC-25).
            case .unverified: throw Problem(.badSignature, "The request is not signed as this channel demands.")
            case .malformed: throw Problem(.malformedJSON, "The event is not to be understood.")
            case .unavailable(let cause):
                logger.warning("a webhook was not taken", metadata: ["request": .string(call.requestId), "cause": .string(cause)])
                throw Problem.unavailable()
            }
        }
    }
}
