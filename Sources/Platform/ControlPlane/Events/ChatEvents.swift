import Foundation
import Platform

/// The entries that web chat conversations get (API.md §4). Other channels have no readers of events, so none are written.
enum ChatEvents {
    static func watches(_ group: GroupJID) -> Bool { group.rawValue.hasPrefix("web:") }

    static func message(_ message: Message) throws -> EventLog.Entry {
        EventLog.Entry("message", message.groupJid, .object(try MessageView(message).document))
    }

    static func status(_ group: GroupJID, _ state: String, _ invocation: InvocationID?, at now: Date) -> EventLog.Entry {
        var data: Document = ["groupJid": .string(group.rawValue), "state": .string(state), "timestamp": .string(Timestamp.text(now))]
        if let invocation { data["invocationId"] = .string(invocation.rawValue) }
        return EventLog.Entry("status", group, .object(data))
    }

    static func error(_ group: GroupJID, _ code: FailureCode, _ invocation: InvocationID?) -> EventLog.Entry {
        var data: Document = ["groupJid": .string(group.rawValue), "code": .string(code.rawValue), "detail": .string(code.sentence), "retryable": .bool(code != .quotaExceeded)]
        if let invocation { data["invocationId"] = .string(invocation.rawValue) }
        return EventLog.Entry("error", group, .object(data))
    }
}

/// A message as the API shows it (`Message` of API.md §3.1): what is the platform's own stays inside.
public struct MessageView: Sendable {
    public let document: Document

    public init(_ message: Message) throws {
        var view = try message.document()
        for name in ["isGroup", "quoted", "replyContext", "albumId", "isCommand", "trace", "edits"] { view[name] = nil }
        let files = message.attachments.compactMap { file -> Value? in
            guard let key = file.objectKey else { return nil }
            // Keys are shown relative to the bot's root: the first two segments are user and bot.
            let relative = key.text.split(separator: "/", maxSplits: 2).last.map(String.init) ?? key.text
            return .object([
                "type": .string(file.type.rawValue), "key": .string(relative), "fileName": .string(file.fileName),
                "mimeType": .string(file.mimeType), "size": .int(file.size ?? 0),
            ])
        }
        view["attachments"] = files.isEmpty ? nil : .array(files)
        document = view
    }
}
