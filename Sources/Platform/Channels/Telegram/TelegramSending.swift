import Foundation
import Platform

/// A chat, and the topic in it.
struct TelegramAddress: Sendable {
    var chat: Int
    var thread: Int?
    var isGroup: Bool { chat < 0 }

    init(_ target: ReplyTarget) throws(SendFailure) {
        let parts = target.groupJid.rawValue.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2 || parts.count == 3, parts[0] == "tg", let chat = Int(parts[1]) else { throw .rejected(reason: "\(target.groupJid) is not a Telegram chat.") }
        self.chat = chat
        thread = parts.count == 3 ? Int(parts[2]) : TelegramReplyContext(target.replyContext).threadId
    }
}

extension TelegramAdapter {
    /// `key` is unused: Telegram has no idempotency key.
    public func send(_ chunk: Chunk, to target: ReplyTarget, key: String) async throws(SendFailure) -> String {
        if let file = chunk.file {
            return try await sendFile(OutboundFile(name: file.name, mimeType: "text/markdown", caption: nil, content: file.content), to: target, key: key)
        }
        let address = try TelegramAddress(target)
        var parameters: Document = ["text": .string(chunk.text), "link_preview_options": .object(["is_disabled": true])]
        // Without markup and without anything to escape both modes mean the same.
        let isPlain = chunk.isPlain || chunk.text == chunk.plain && chunk.text.contains(where: { "&<>".contains($0) })
        if !isPlain { parameters["parse_mode"] = "HTML" }
        if let reply = replyParameters(target) { parameters["reply_parameters"] = reply }
        let fixed = parameters
        return try await deliver(address, target) { (place: Document) async throws(TelegramFailure) -> TelegramSent in
            try await self.client.call("sendMessage", fixed.merging(place) { $1 }, token: self.token(target.channel), returning: TelegramSent.self)
        }
    }

    /// An image as a photo, all else (and what Telegram will not take as a photo) as a document.
    public func sendFile(_ file: OutboundFile, to target: ReplyTarget, key: String) async throws(SendFailure) -> String {
        guard file.content.count <= 50_000_000 else { throw .rejected(reason: "Telegram takes files of at most 50 MB.") }
        guard !file.content.isEmpty else { throw .rejected(reason: "Telegram takes no empty files.") }
        let address = try TelegramAddress(target)
        let caption = file.caption.map { Packer(dialect: TelegramDialect(limit: Extent(units: 1024, bytes: Extent.unlimited, entities: 100))).chunks($0) } ?? []
        let inlineCaption = caption.count == 1 && caption[0].file == nil ? caption[0] : nil

        @Sendable func form(_ field: String, _ place: Document) -> MultipartForm {
            var form = MultipartForm()
            for (name, value) in place { form.add(name, Self.formText(value)) }
            if let inlineCaption {
                form.add("caption", inlineCaption.text)
                form.add("parse_mode", "HTML")
            }
            if let reply = replyParameters(target) { form.add("reply_parameters", Self.formText(reply)) }
            form.add(field, file: file.content, named: FileName.shown(file.name), type: field == "photo" ? MediaType.sniff(file.content) : file.mimeType)
            return form
        }
        let isPhoto = Self.isPhoto(file)
        let sent = try await deliver(address, target) { (place: Document) async throws(TelegramFailure) -> TelegramSent in
            if isPhoto {
                do throws(TelegramFailure) { return try await self.client.upload("sendPhoto", form("photo", place), token: self.token(target.channel), returning: TelegramSent.self) } catch {
                    guard TelegramErrors.isPhotoRefused(error) else { throw error }
                }
            }
            return try await self.client.upload("sendDocument", form("document", place), token: self.token(target.channel), returning: TelegramSent.self)
        }
        if inlineCaption == nil, let text = file.caption {
            var rest = target
            rest.isFirstChunk = false
            for chunk in packedCaption(text) { try await sendCaption(chunk, to: rest, key: key) }
        }
        return sent
    }

    private func packedCaption(_ text: String) -> [Chunk] { Packer(dialect: TelegramDialect()).chunks(text) }

    /// The file is out already, and another try would send it twice: formatting gives way, then the words are lost with a log line.
    private func sendCaption(_ chunk: Chunk, to target: ReplyTarget, key: String) async throws(SendFailure) {
        do { _ = try await send(chunk, to: target, key: key) } catch {
            do { _ = try await send(chunk.unformatted, to: target, key: key) } catch {
                logger.warning("The caption of a file could not be sent to Telegram", metadata: ["bot": "\(target.channel.channel.botId)"])
            }
        }
    }

    /// Paces, sends, and copes with what needs no caller: a vanished topic.
    private func deliver(
        _ address: TelegramAddress, _ target: ReplyTarget, _ attempt: @Sendable (Document) async throws(TelegramFailure) -> TelegramSent
    ) async throws(SendFailure) -> String {
        try await waitForTurn(address, target)
        var place: Document = ["chat_id": .int(address.chat)]
        place["message_thread_id"] = address.thread.map { .int($0) }
        do throws(TelegramFailure) {
            do throws(TelegramFailure) { return String(try await attempt(place).messageId) } catch {
                guard address.thread != nil, TelegramErrors.isThreadGone(error) else { throw error }
                place["message_thread_id"] = nil
                return String(try await attempt(place).messageId)
            }
        } catch {
            if TelegramErrors.isNotModified(error) { return "" }
            let failure = TelegramErrors.sendFailure(error)
            if case .retry(let wait?, _) = failure { pace.block(chatKey(address, target), rule: chatRule(address)[0], for: wait) }
            throw failure
        }
    }

    private func chatKey(_ address: TelegramAddress, _ target: ReplyTarget) -> String { "\(target.channel.channel.accountId)/\(address.chat)" }
    private func chatRule(_ address: TelegramAddress) -> [PaceRule] {
        let chat = PaceRule(interval: limits.chatInterval.seconds, burst: limits.chatBurst)
        return address.isGroup ? [chat, PaceRule(interval: limits.groupInterval.seconds, burst: limits.groupBurst)] : [chat]
    }

    private func waitForTurn(_ address: TelegramAddress, _ target: ReplyTarget) async throws(SendFailure) {
        let key = chatKey(address, target)
        var buckets = chatRule(address).enumerated().map { (key: $0.offset == 0 ? key : key + "/minute", rule: $0.element) }
        buckets.append((key: target.channel.channel.accountId, rule: PaceRule(interval: limits.botInterval.seconds, burst: limits.botBurst)))
        let wait: Duration?
        do { wait = try await pace.wait(buckets, patience: limits.patience) } catch { throw .retry(after: nil, maybeDelivered: false) }
        if let wait { throw .retry(after: wait, maybeDelivered: false) }
    }

    /// In groups the first chunk shows what it answers; a vanished original is no obstacle.
    private func replyParameters(_ target: ReplyTarget) -> Value? {
        guard target.isGroup, target.isFirstChunk, let id = TelegramReplyContext(target.replyContext).messageId else { return nil }
        return .object(["message_id": .int(id), "allow_sending_without_reply": true])
    }

    /// Telegram scales photos of JPEG, PNG and WebP up to 10 MB and 10,000 pixels of width and height together.
    static func isPhoto(_ file: OutboundFile) -> Bool {
        guard file.content.count <= 10_000_000, ["image/jpeg", "image/png", "image/webp"].contains(MediaType.sniff(file.content)),
            let size = ImageSize.read(file.content), size.width > 0, size.height > 0
        else { return false }
        // Beyond a ratio of 20 Telegram refuses as well.
        return size.width + size.height <= 10_000 && max(size.width, size.height) <= 20 * min(size.width, size.height)
    }

    private static func formText(_ value: Value) -> String {
        switch value {
        case .string(let text): text
        case .int(let number): String(number)
        default: (try? JSON.data(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
    }

    public func setActivity(_ activity: Activity, target: ReplyTarget) async {
        guard let address = try? TelegramAddress(target) else { return }
        switch activity {
        case .typing, .uploading:
            var parameters: Document = ["chat_id": .int(address.chat), "action": activity == .typing ? "typing" : "upload_document"]
            parameters["message_thread_id"] = address.thread.map { .int($0) }
            _ = try? await client.call("sendChatAction", parameters, token: token(target.channel), returning: Bool.self, timeout: .seconds(5))
        case .received, .finished:
            guard let id = TelegramReplyContext(target.replyContext).messageId else { return }
            let reaction: [Value] = activity == .received ? [.object(["type": "emoji", "emoji": "👀"])] : []
            let parameters: Document = ["chat_id": .int(address.chat), "message_id": .int(id), "reaction": .array(reaction)]
            _ = try? await client.call("setMessageReaction", parameters, token: token(target.channel), returning: Bool.self, timeout: .seconds(5))
        }
    }

    public func fetch(_ attachment: Attachment, for channel: ConnectedChannel, limit: Int) async throws -> FetchedFile {
        guard let id = attachment.providerRef else { throw AttachmentFailure.gone("The message names no file.") }
        if let size = attachment.size, size > limit { throw AttachmentFailure.tooLarge(limit: limit) }
        let file: TelegramFile
        do throws(TelegramFailure) { file = try await client.call("getFile", ["file_id": .string(id)], token: token(channel), returning: TelegramFile.self) } catch {
            switch error {
            case .refused(400, let description, _, _) where description.lowercased().contains("file is too big"): throw AttachmentFailure.tooLarge(limit: min(limit, 20 << 20))
            case .refused(let code, _, _, _) where code == 429 || code >= 500: throw AttachmentFailure.unreachable("Telegram could not deliver the file at the moment.")
            case .refused: throw AttachmentFailure.gone("Telegram no longer has the file.")
            case .transport, .unreadable: throw AttachmentFailure.unreachable("The file could not be fetched from Telegram.")
            }
        }
        if let size = file.fileSize, size > limit { throw AttachmentFailure.tooLarge(limit: limit) }
        guard let path = file.filePath else { throw AttachmentFailure.gone("Telegram no longer has the file.") }
        let content = try await client.download(path, token: token(channel), limit: limit)
        return FetchedFile(content: content, mimeType: MediaType.resolve(content, hint: attachment.mimeType), fileName: attachment.fileName)
    }
}
