import ControlPlane
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Platform

extension API {
    var fileRoutes: [Route] {
        let path = "/api/bots/{botId}/files"
        return [
            Route(
                .get, path, "One level of a bot's files and folders, in byte order.",
                query: .page(.text("prefix", "Empty, or a file key and a slash.", TextRule(bytes: 0...1025, verbatim: true, allowsBlank: true))),
                answers: [.page(Schemas.fileEntry)], resource: ownBot) { call, bot in
                let prefix = call.text("prefix") ?? ""
                let page = try paging.request(call, filters: [prefix])
                let found = try await services.files.list(bot, prefix: prefix, limit: page.limit, cursor: page.cursor)
                return paging.answer(found.items.map(view), found.cursor, page)
            },
            Route(
                .get, path + "/raw", "A file's bytes, whole or one range.",
                query: [Self.keyParameter, .choice("disposition", "How a browser shall take it.", ["attachment", "inline"])],
                answers: [.bytes("*/*", headers: ["ETag", "Content-Disposition"]), .bytes("*/*", status: 206, headers: ["Content-Range"]), .notModified],
                problems: [.rangeNotSatisfiable], resource: ownBot) { call, bot in try await raw(call, bot) },
            Route(
                .put, path + "/raw", "Writes a file whole.", query: [Self.keyParameter], body: .stream(limit: FileService.maximumBytes),
                answers: [.ok(Schemas.storedFile, headers: ["ETag"]), .created(Schemas.storedFile, headers: ["ETag"])], problems: [.preconditionFailed], resource: ownBot) { call, bot in
                let key = fileKey(call)
                _ = try services.files.key(key, of: bot)
                if let encoding = call.header(.contentEncoding), encoding.lowercased() != "identity" {
                    throw Problem(.unsupportedMediaType, "Compressed bodies are not taken.")
                }
                return try await store(
                    call, bot, key, FileBytes.incoming(call.request, limit: FileService.maximumBytes), contentType: FileBytes.mediaType(call.header(.contentType)))
            },
            Route(
                .delete, path, "Deletes a file.", query: [Self.keyParameter], answers: [.noContent], problems: [.preconditionFailed], resource: ownBot) { call, bot in
                try await services.files.delete(bot, fileKey(call), if: try EntityTags.condition(call))
                return .noContent
            },
        ]
    }

    /// Verbatim: a key that differs by a space is another key.
    static let fileKeyRule = TextRule(
        bytes: 1...1024, verbatim: true,
        grammar: (
            "a file key: relative, without empty, . or .. segments, at most 1024 bytes", "^[A-Za-z0-9_-]{1,20}(/[A-Za-z0-9_-]{1,20}){0,3}$",
            { ObjectKey.isWellFormed($0) }
        ))
    static let keyParameter = QueryParameter.text("key", "The file.", fileKeyRule, required: true)

    func fileKey(_ call: Call) -> String { call.text("key") ?? "" }

    private func view(_ entry: FileService.Entry) -> Value {
        switch entry {
        case .folder(let key):
            .object(["key": .string(key), "name": .string(String(key.split(separator: "/").last ?? "")), "isFolder": true])
        case .file(let key, let info):
            .object([
                "key": .string(key), "name": .string(info.key.name), "isFolder": false, "size": .int(info.size), "lastModified": .time(info.lastModified),
                "etag": .string(info.etag),
            ])
        }
    }

    private func raw(_ call: Call, _ bot: Bot) async throws -> Answer {
        try await deliver(call, bot, fileKey(call), inline: call.text("disposition") == "inline")
    }

    func store(_ call: Call, _ bot: Bot, _ key: String, _ body: ByteStream, contentType: String?) async throws -> Answer {
        let stored = try await services.files.put(bot, key, body, contentType: contentType, if: try EntityTags.condition(call))
        return .json(
            .fields([
                "key": .string(key), "size": .int(stored.info.size), "contentType": stored.info.contentType.map(Value.string),
                "etag": .string(stored.info.etag), "lastModified": .time(stored.info.lastModified),
            ]),
            status: stored.created ? 201 : 200, headers: EntityTags.header(stored.info.etag))
    }

    func deliver(_ call: Call, _ bot: Bot, _ key: String, inline wantsInline: Bool) async throws -> Answer {
        let info = try await services.files.head(bot, key)
        let (type, inline) = FileBytes.presentation(of: info, inline: wantsInline)
        var headers = EntityTags.header(info.etag)
        headers[.contentDisposition] = FileBytes.disposition(info.key.name, inline: inline)
        headers[.contentSecurityPolicy] = "sandbox; default-src 'none'"
        headers[.acceptRanges] = "bytes"
        headers[.lastModified] = FileBytes.httpDate(info.lastModified)
        if EntityTags.isKnown(info.etag, to: call) { return Answer(status: 304, headers: headers) }
        let range = try FileBytes.range(call.header(.range), size: info.size)
        guard let content = try await services.files.get(bot, key, range: range) as ObjectContent? else { throw Problem.notFound }
        if let range {
            headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(info.size)"
            return Answer(status: 206, headers: headers, content: .stream(length: range.count, type: type, FileBytes.outgoing(content.body)))
        }
        return Answer(headers: headers, content: .stream(length: content.info.size, type: type, FileBytes.outgoing(content.body)))
    }
}

/// Bytes of tenants on their way in and out (SEC-97): what a browser may show, under which name, and in which pieces.
enum FileBytes {
    private static let images: [String: String] = ["png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "bmp": "image/bmp"]

    /// The content type to send, and whether it may be shown in place.
    static func presentation(of info: ObjectInfo, inline: Bool) -> (type: String, inline: Bool) {
        let stored = info.contentType?.split(separator: ";").first.map { $0.trimmingCharacters(in: .whitespaces).lowercased() }
        let ending = info.key.name.split(separator: ".").last.map { $0.lowercased() } ?? ""
        let guessed = images[ending] ?? (["txt", "md", "log", "csv"].contains(ending) ? "text/plain" : nil)
        let type = stored.flatMap { $0 == "application/octet-stream" ? nil : $0 } ?? guessed ?? "application/octet-stream"
        if type.hasPrefix("image/"), images.values.contains(type) { return (type, inline) }
        if type == "text/plain" || type == "text/markdown" || type == "text/csv" { return ("text/plain; charset=utf-8", inline) }
        let active = ["html", "xml", "svg", "script"].contains { type.contains($0) }
        return (active ? "application/octet-stream" : type, false)
    }

    /// RFC 6266 with RFC 8187 `filename*`, and an ASCII fallback.
    static func disposition(_ name: String, inline: Bool) -> String {
        let plain = String(decoding: name.utf8.map { (0x20..<0x7f).contains($0) && $0 != 0x22 && $0 != 0x5c && $0 != 0x25 ? $0 : 0x5f }, as: UTF8.self)
        let hex = Array("0123456789ABCDEF".utf8)
        let encoded = String(decoding: name.utf8.flatMap { byte -> [UInt8] in
            Characters.isWord(byte) || byte == 0x2e ? [byte] : [0x25, hex[Int(byte >> 4)], hex[Int(byte & 15)]]
        }, as: UTF8.self)
        return "\(inline ? "inline" : "attachment"); filename=\"\(plain)\"; filename*=UTF-8''\(encoded)"
    }

    /// One range of bytes; nil = the whole file, also for what we do not know (several ranges, another unit).
    static func range(_ header: String?, size: Int) throws -> Range<Int>? {
        guard let header, header.hasPrefix("bytes="), !header.contains(",") else { return nil }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false).map { $0.trimmingCharacters(in: .whitespaces) }
        guard parts.count == 2, parts.allSatisfy({ Characters.all($0, Characters.isDigit) && $0.utf8.count <= 15 }) else { return nil }
        switch (Int(parts[0]), Int(parts[1])) {
        case (let from?, let to?):
            guard from <= to else { return nil }
            guard from < size else { throw ManagementError.rangeNotSatisfiable(size: size) }
            return from..<min(to + 1, size)
        case (let from?, nil):
            guard from < size else { throw ManagementError.rangeNotSatisfiable(size: size) }
            return from..<size
        case (nil, let last?):
            guard last > 0, size > 0 else { throw ManagementError.rangeNotSatisfiable(size: size) }
            return max(0, size - last)..<size
        case (nil, nil): return nil
        }
    }

    static func mediaType(_ header: String?) -> String? {
        guard let header, header.utf8.count <= 127, header.contains("/"), header.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7f }) else { return nil }
        return header
    }

    static func incoming(_ request: Request, limit: Int) -> ByteStream {
        // Pulled by the store, one chunk at a time: the client waits while the store writes.
        let source = BodySource(request.body.makeAsyncIterator(), limit: limit)
        return ByteStream(unfolding: { try await source.next() })
    }

    /// A body of exactly so many bytes; with more or fewer the reader gets `refusal` and stores nothing.
    static func incoming(_ request: Request, exactly size: Int, otherwise refusal: Problem) -> ByteStream {
        let source = BodySource(request.body.makeAsyncIterator(), limit: size, exactly: refusal)
        return ByteStream(unfolding: { try await source.next() })
    }

    static func outgoing(_ stream: ByteStream) -> ResponseBody {
        ResponseBody { writer in
            for try await chunk in stream { try await writer.write(ByteBuffer(bytes: chunk)) }
            try await writer.finish(nil)
        }
    }

    static func httpDate(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.timeZone = TimeZone(identifier: "GMT")
        formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        return formatter.string(from: date)
    }
}

/// The chunks of a request body, counted: past the limit the reader gets an error and stores nothing.
private actor BodySource {
    private var iterator: RequestBody.AsyncIterator
    private let limit: Int
    /// The limit is the length: what is said of another one.
    private let exactly: Problem?
    private var count = 0

    init(_ iterator: sending RequestBody.AsyncIterator, limit: Int, exactly: Problem? = nil) {
        self.iterator = iterator; self.limit = limit; self.exactly = exactly
    }

    func next() async throws -> Data? {
        var mine = iterator
        guard let chunk = try await mine.next(isolation: self) else {
            if let exactly, count != limit { throw exactly }
            return nil
        }
        iterator = mine
        count += chunk.readableBytes
        guard count <= limit else { throw exactly ?? ObjectStoreError.tooLarge(limit: limit) as any Error }
        return Data(buffer: chunk)
    }
}

extension Data {
    fileprivate init(buffer: ByteBuffer) { self.init(buffer.readableBytesView) }
}
