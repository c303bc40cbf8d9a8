import ControlPlane
import Foundation
import Platform

extension API {
    var proxyRuleRoutes: [Route] {
        let path = "/api/proxy-rules"
        return [
            Route(.get, path, "Your proxy rules, by prefix; values are never shown.", query: .page(), answers: [.page(Schemas.proxyRule)]) { call in
                let page = try paging.request(call)
                let found = paging.slice(try await services.proxyRules.list(try call.user), page) { $0.prefix }
                return paging.answer(found.items.map(Views.proxyRule), found.next, page)
            },
            Route(
                .post, path, "Adds a rule: agents call its prefix, the gateway adds the value.", body: .json(Shapes.newProxyRule), idempotent: true,
                answers: [.created(Schemas.proxyRule)], problems: [.quotaExceeded, .alreadyExists]
            ) { call in
                let rule = try await services.proxyRules.create(try call.user, call.body, value: Secret(call.body["value"]?.string ?? ""), by: call.by)
                return .created(Views.proxyRule(rule), at: "\(path)/\(rule.ruleId)")
            },
            Route(.delete, path + "/{id}", "Removes a rule and its value.", answers: [.noContent], resource: ownRule) { call, rule in
                try await services.proxyRules.delete(rule, by: call.by)
                return .noContent
            },
        ]
            + Route.merge(
                path + "/{id}", "Changes a rule; a new target or header needs the value again.", body: .json(Shapes.proxyRuleChanges), answers: [.ok(Schemas.proxyRule)],
                problems: [.alreadyExists, .invalidState], resource: ownRule) { call, rule in
                .json(Views.proxyRule(try await services.proxyRules.update(rule, call.body, value: call.body["value"]?.string.map { Secret($0) }, by: call.by)))
            }
    }

    private func ownRule(_ call: Call) async throws -> ProxyRule { try await services.proxyRules.get(try call.user, call.parameter("id")) }
}
