import ControlPlane
import Foundation
import Platform

extension API {
    var adminProviderRoutes: [Route] {
        let path = "/api/admin/providers"
        return [
            Route(.get, path, "Model providers with their settings, by name.", access: .admin, query: .page(), answers: [.page(Schemas.provider)]) { call in
                let page = try paging.request(call)
                let found = paging.slice(try await services.providers.list(), page) { "\($0.providerName)\u{0}\($0.providerId.rawValue)" }
                return paging.answer(found.items.map(Views.provider), found.next, page)
            },
            Route(
                .post, path, "Adds a provider; its key is kept encrypted and never shown.", access: .admin, body: .json(Shapes.newProvider), idempotent: true,
                answers: [.created(Schemas.provider)], problems: [.alreadyExists]
            ) { call in
                let provider = try await services.providers.create(call.body, apiKey: call.body["apiKey"]?.string.map { Secret($0) }, by: call.by)
                return .created(Views.provider(provider), at: "\(path)/\(provider.providerId.rawValue)")
            },
            Route(.get, path + "/{providerId}", "A provider.", access: .admin, answers: [.ok(Schemas.provider)], resource: someProvider) { _, provider in .json(Views.provider(provider)) },
            Route(
                .post, path + "/{providerId}/test", "Sends one small request; a failure is ok: false.", access: .admin, buckets: [.provider], body: .json(Shapes.providerTest),
                answers: [.ok(Schemas.providerTest)], resource: someProvider) { call, provider in
                let result = try await services.providers.test(provider, model: call.body["modelId"]?.string)
                return .json(.fields([
                    "ok": .bool(result.ok), "latencyMs": .int(result.latency.milliseconds), "checkedAt": .time(services.time.now()),
                    "detail": result.detail.map(Value.string),
                ]))
            },
            Route(.delete, path + "/{providerId}", "Removes a provider that no bot uses.", access: .admin, answers: [.noContent], problems: [.inUse], resource: someProvider) { call, provider in
                try await services.providers.delete(provider, by: call.by)
                return .noContent
            },
        ]
            + Route.merge(
                path + "/{providerId}", "Changes a provider; apiKey: null removes the key.", access: .admin, body: .json(Shapes.providerChanges),
                answers: [.ok(Schemas.provider)], problems: [.inUse, .alreadyExists], resource: someProvider) { call, provider in
                let key: Secret?? = call.body["apiKey"].map { $0.string.map { Secret($0) } }
                return .json(Views.provider(try await services.providers.update(provider, call.body, apiKey: key, by: call.by)))
            }
    }

    private func someProvider(_ call: Call) async throws -> Provider {
        let id = call.parameter("providerId")
        guard id.utf8.count <= 64 else { throw Problem.notFound }
        return try await services.providers.get(ProviderID(id))
    }
}
