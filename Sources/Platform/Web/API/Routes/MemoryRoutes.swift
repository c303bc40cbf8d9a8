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
        ]
    }

    private func view(_ content: MemoryService.Content) -> Answer {
        .json(
            .fields(["content": .string(content.text), "size": .int(content.text.utf8.count), "updatedAt": content.updatedAt.map(Value.time)]),
            headers: EntityTags.header(content.etag))
    }
}
