import Foundation
import Platform

extension API {
    private enum QueueName: String, CaseIterable { case inbound, replies }

    var deadLetterRoutes: [Route] {
        let path = "/api/admin/dead-letters"
        return [
            Route(
                .get, path, "Messages that could not be handled, newest first; no text.", access: .admin,
                query: .page(.choice("queue", "Only these.", QueueName.self)), answers: [.page(Schemas.deadLetter)]
            ) { call in
                let queue = call.choice("queue", QueueName.self)
                let page = try paging.request(call, filters: [queue?.rawValue])
                let found = try await services.deadLetters.list(
                    limit: page.limit, cursor: page.cursor, queue: queue.flatMap { DeadLetter.Queue(rawValue: $0.rawValue) })
                return paging.answer(found.items.map(Views.deadLetter), found.cursor, page)
            },
            Route(
                .post, path + "/{id}/redrive", "Sends one again; it is still answered at most once.", access: .admin, body: .json(Shapes.empty), answers: [.accepted(Schemas.id)]
            ) { call in
                let id = call.parameter("id")
                guard try await services.deadLetters.redrive(id, by: call.by) else { throw Problem.notFound }
                return .json(.object(["id": .string(id)]), status: 202)
            },
            Route(.delete, path + "/{id}", "Forgets one.", access: .admin, answers: [.noContent]) { call in
                guard try await services.deadLetters.delete(call.parameter("id"), by: call.by) else { throw Problem.notFound }
                return .noContent
            },
        ]
    }
}
