import ControlPlane
import Foundation
import Platform

extension API {
    var memoryRoutes: [Route] {
        memory("/api/shared-memory") { call in .shared(try call.user) }
            + memory("/api/bots/{botId}/memory") { call in
                let bot = try await ownBot(call)
                return .bot(bot.userId, bot.botId)
            }
            + memory("/api/bots/{botId}/groups/{groupJid}/memory") { call in
                let group = try await ownGroup(call)
                return .group(try call.user, group.session)
            }
    }

    private func memory(_ path: String, _ place: @escaping @Sendable (Call) async throws -> MemoryService.Place) -> [Route] {
        [
            Route(
                .get, path, "The memory, with its ETag; never written reads as empty.", answers: [.ok(Schemas.memory, headers: ["ETag"]), .notModified], resource: place) { call, place in
                let content = try await services.memory.read(place)
                if EntityTags.isKnown(content.etag, to: call) { return Answer(status: 304, headers: EntityTags.header(content.etag)) }
                return view(content)
            },
            Route(
                .put, path, "Replaces the memory.", body: .json(Shapes.memory, limit: 512 << 10), answers: [.ok(Schemas.memory, headers: ["ETag"])],
                problems: [.preconditionFailed], resource: place) { call, place in
                view(try await services.memory.write(place, call.body["content"]?.string ?? "", expecting: EntityTags.expectation(call)))
            },
            Route(
                .get, path + "/versions", "Its last 50 contents, newest first.", query: .page(), answers: [.page(Schemas.memoryVersion)], resource: place) { call, place in
                let page = try paging.request(call)
                // Ids rise with time, so a page goes on below the last one.
                let all = try await services.memory.history.versions(place).drop { version in page.cursor.map { version.id >= $0 } ?? false }
                let items = all.prefix(page.limit)
                return paging.answer(items.map { .fields(fields($0)) }, items.count < all.count ? items.last?.id : nil, page)
            },
            Route(
                .get, path + "/versions/{versionId}", "An earlier content; writing it again reverts to it.", answers: [.ok(Schemas.memoryVersionContent)],
                resource: { call in try await services.memory.history.version(try await place(call), call.parameter("versionId")) },
                handle: { _, found in
                    var shown = fields(found.version)
                    shown["content"] = .string(found.text)
                    return .json(.fields(shown))
                }),
        ]
    }

    private func fields(_ version: MemoryHistory.Version) -> [String: Value?] {
        var shown: [String: Value?] = ["versionId": .string(version.id), "size": .int(version.size), "createdAt": .time(version.createdAt)]
        switch version.author {
        case .owner: shown["by"] = "owner"
        case .agent(let invocation):
            shown["by"] = "agent"
            shown["invocationId"] = invocation.map { .string($0.rawValue) }
        }
        return shown
    }

    private func view(_ content: MemoryService.Content) -> Answer {
        .json(
            .fields(["content": .string(content.text), "size": .int(content.text.utf8.count), "updatedAt": content.updatedAt.map(Value.time)]),
            headers: EntityTags.header(content.etag))
    }
}
