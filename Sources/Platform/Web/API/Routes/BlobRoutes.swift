import ControlPlane
import Foundation
import HTTPTypes
import Platform

extension API {
    /// Links to files, and the door that they lead to where the object store has none of its own.
    var blobRoutes: [Route] {
        let path = "/api/bots/{botId}/files"
        return [
            Route(
                .get, path + "/content", "What a file looks like: its kind and, of text, the first 1 MiB.", query: [Self.keyParameter], answers: [.ok(Schemas.preview)],
                resource: ownBot) { call, bot in try await preview(call, bot) },
            Route(
                .post, path + "/upload-url", "A link that takes one file of exactly this size and type, without an access token.", body: .json(Shapes.uploadLink),
                answers: [.ok(Schemas.uploadLink)], problems: [.payloadTooLarge], resource: ownBot) { call, bot in try await uploadLink(call, bot) },
            Route(
                .get, path + "/download-url", "A link that gives one file, without an access token.",
                query: [Self.keyParameter, .choice("disposition", "How a browser shall take it.", ["attachment", "inline"])], answers: [.ok(Schemas.downloadLink)],
                resource: ownBot) { call, bot in try await downloadLink(call, bot) },
            Route(
                .get, "/blob/{token}", "A file's bytes, by a link.", access: .ownProof,
                answers: [.bytes("*/*", headers: ["ETag", "Content-Disposition"]), .bytes("*/*", status: 206, headers: ["Content-Range"]), .notModified],
                problems: [.forbidden, .rangeNotSatisfiable], resource: { call in try await linked(call, .read) },
                handle: { call, found in
                    var answer = try await deliver(call, found.bot, found.link.key, inline: found.link.inline ?? false)
                    answer.headers[.cacheControl] = "private, no-store"
                    return answer
                }),
            Route(
                .put, "/blob/{token}", "Writes a file, by a link.", access: .ownProof, body: .stream(limit: FileService.maximumBytes),
                answers: [.ok(Schemas.storedFile, headers: ["ETag"]), .created(Schemas.storedFile, headers: ["ETag"])], problems: [.forbidden, .preconditionFailed],
                resource: { call in try await linked(call, .write) }, handle: { call, found in try await take(call, found.bot, found.link) }),
        ]
    }

    private struct Linked: Sendable { var bot: Bot; var link: BlobLinks.Link }

    /// The link alone decides; whose browser it is does not matter. Its owner must still be one.
    private func linked(_ call: Call, _ verb: BlobLinks.Link.Verb) async throws -> Linked {
        let link = try links.open(call.parameter("token"), for: verb, at: services.time.now())
        guard try await services.records.get(User.self, User.key(link.user))?.status == .active else { throw BlobLinks.refused }
        return Linked(bot: try await services.bots.get(link.user, link.bot), link: link)
    }

    private func take(_ call: Call, _ bot: Bot, _ link: BlobLinks.Link) async throws -> Answer {
        let size = link.size ?? 0
        if let declared = call.header(.contentLength), Int(declared) != size { throw BlobLinks.refused }
        if let type = link.contentType, FileBytes.mediaType(call.header(.contentType))?.lowercased() != type.lowercased() { throw BlobLinks.refused }
        return try await store(call, bot, link.key, FileBytes.incoming(call.request, exactly: size, otherwise: BlobLinks.refused), contentType: link.contentType)
    }

    private func preview(_ call: Call, _ bot: Bot) async throws -> Answer {
        let key = fileKey(call)
        let found = try await services.files.preview(bot, key)
        return .json(
            .fields([
                "key": .string(key), "size": .int(found.info.size), "contentType": .string(FileBytes.presentation(of: found.info, inline: false).type),
                "lastModified": .time(found.info.lastModified), "etag": .string(found.info.etag), "previewKind": .string(found.kind.rawValue),
                "content": found.text.map(Value.string), "truncated": .bool(found.isTruncated),
            ]), headers: EntityTags.header(found.info.etag))
    }

    private func uploadLink(_ call: Call, _ bot: Bot) async throws -> Answer {
        let key = call.body["key"]?.string ?? "", size = call.body["size"]?.int ?? 0
        let full = try services.files.key(key, of: bot, field: "key")
        guard size <= FileService.maximumBytes else { throw Problem.tooLarge(FileService.maximumBytes) }
        let type = call.body["contentType"]?.string ?? "application/octet-stream"
        let expiry = services.time.now() + BlobLinks.lifetime.seconds
        let url: String
        if let signed = try await services.files.signedURL(full, method: .put(contentType: type, size: size), expiresIn: BlobLinks.lifetime) {
            url = signed.absoluteString
        } else {
            url = try links.url(BlobLinks.Link(user: bot.userId, bot: bot.botId, key: key, verb: .write, contentType: type, size: size, expiresAt: expiry))
        }
        return .json(.object([
            "url": .string(url), "method": "PUT", "headers": ["Content-Type": .string(type)], "expiresAt": .time(expiry),
            "expiresIn": .int(Int(BlobLinks.lifetime.seconds)),
        ]))
    }

    private func downloadLink(_ call: Call, _ bot: Bot) async throws -> Answer {
        let key = fileKey(call)
        // A link to nothing would only say so later.
        let info = try await services.files.head(bot, key)
        let inline = call.text("disposition") == "inline"
        let shown = FileBytes.presentation(of: info, inline: inline)
        let expiry = services.time.now() + BlobLinks.lifetime.seconds
        let method = SignedMethod.get(contentType: shown.type, disposition: FileBytes.disposition(info.key.name, inline: shown.inline))
        let url: String
        if let signed = try await services.files.signedURL(info.key, method: method, expiresIn: BlobLinks.lifetime) {
            url = signed.absoluteString
        } else {
            url = try links.url(BlobLinks.Link(user: bot.userId, bot: bot.botId, key: key, verb: .read, inline: inline, expiresAt: expiry))
        }
        return .json(.object(["url": .string(url), "expiresAt": .time(expiry), "expiresIn": .int(Int(BlobLinks.lifetime.seconds))]))
    }
}
