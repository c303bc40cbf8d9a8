import Channels
import Foundation
import Logging
import Platform

/// Brings a message's files from the vendor into the object store before its run; bounded, and idempotent by index.
struct AttachmentFetcher: Sendable {
    /// Of one file, and of all files of a message (CHANNELS.md §1.7).
    static let fileLimit = 20 << 20
    static let messageLimit = 50 << 20
    let records: any RecordStore
    let objects: any ObjectStore
    let channels: ChannelRegistry
    let directory: Directory
    let logger: Logger

    /// The message with its files fetched; what could not be had says why.
    func fetch(_ message: Message, bot: Bot) async throws -> Message {
        guard message.attachments.contains(where: { $0.objectKey == nil && $0.skipped == nil && $0.providerRef != nil }),
            let adapter = channels[message.channelType], let channel = try await directory.channel(bot.botId, message.channelType)
        else { return message }
        var message = message
        var total = message.attachments.compactMap { $0.objectKey == nil ? nil : $0.size }.reduce(0, +)
        var names = Set(message.attachments.compactMap { $0.objectKey == nil ? nil : $0.fileName })
        for index in message.attachments.indices where message.attachments[index].objectKey == nil && message.attachments[index].skipped == nil {
            let limit = min(Self.fileLimit, Self.messageLimit - total)
            var file = message.attachments[index]
            if let size = file.size, size > limit {
                file.skipped = "larger than the \(limit >> 20) MiB that are fetched"
            } else {
                do {
                    let fetched = try await adapter.fetch(file, for: channel, limit: limit)
                    file.fileName = unique(FileName.shown(fetched.fileName ?? file.fileName), in: &names)
                    file.mimeType = fetched.mimeType
                    file.size = fetched.content.count
                    let layout = ObjectLayout(userId: bot.userId, botId: bot.botId)
                    let key = try ObjectKey(
                        checking: layout.attachments(message.groupJid, message.messageId) + "\(file.index)-\(FileName.keySafe(file.fileName))")
                    try await objects.put(key, fetched.content, contentType: fetched.mimeType)
                    file.objectKey = key
                    total += fetched.content.count
                } catch is CancellationError { throw CancellationError() } catch let error as ObjectStoreError {
                    if case .unavailable = error { throw error }
                    file.skipped = "larger than the \(limit >> 20) MiB that are fetched"
                } catch {
                    logger.notice("attachment not fetched", metadata: ["bot": "\(bot.botId)", "error": "\(error)"])
                    file.skipped = "could not be fetched from the messaging service"
                }
            }
            message.attachments[index] = file
        }
        let value = Value.array(try message.attachments.map { .object(try DocumentCoder.encode($0)) })
        try await records.update(message.key, [.set("attachments", value)])
        return message
    }

    private func unique(_ name: String, in taken: inout Set<String>) -> String {
        var candidate = name, number = 2
        let dot = name.lastIndex(of: ".") ?? name.endIndex
        while !taken.insert(candidate).inserted {
            candidate = "\(name[..<dot]) (\(number))\(name[dot...])"
            number += 1
        }
        return candidate
    }
}
