import Foundation
import Platform

/// What every messaging channel does; one folder and one type per vendor. Rules: CHANNELS.md §1.
///
/// Adapters hold no tenant state: everything they need comes with the ``ConnectedChannel``. Vendor JSON never leaves the folder.
public protocol ChannelAdapter: Sendable {
    var type: ChannelType { get }
    var capabilities: ChannelCapabilities { get }
    /// Checks credentials and config with the vendor. Throws ``ChannelSetupError``.
    func connect(_ draft: ChannelDraft) async throws -> VendorAccount
    /// Registers webhook and commands at the vendor; repeatable.
    func register(_ channel: ConnectedChannel) async throws
    /// Best effort: removes what `register` made.
    func disconnect(_ channel: ConnectedChannel) async
    func check(_ channel: ConnectedChannel) async -> ChannelCheck
    /// Pure. Only a verified request can be parsed. Throws ``WebhookRefusal``.
    func verify(_ request: WebhookRequest, for channel: ConnectedChannel, at now: Date) throws -> VerifiedEvent
    /// Pure: what happened, and what to answer the vendor at once.
    func parse(_ event: VerifiedEvent, for channel: ConnectedChannel) throws -> ParsedWebhook
    /// Socket or poll loop; ends by cancellation or by an error that needs the owner. Only under the type's lease.
    /// `state` is what the last call of `saveState` left (offset, session); `sink` throws when it could not persist:
    /// then the batch is not acknowledged.
    func run(_ channel: ConnectedChannel, state: Value?, saveState: @escaping @Sendable (Value) async -> Void, into sink: any InboundSink) async throws
    /// Pure and deterministic: a retry recomputes the same chunks.
    func render(_ markdown: String, for group: Group) -> [Chunk]
    func send(_ chunk: Chunk, to target: ReplyTarget, key: String) async throws(SendFailure) -> String
    func sendFile(_ file: OutboundFile, to target: ReplyTarget, key: String) async throws(SendFailure) -> String
    /// Typing, acknowledgement reaction; never throws, never delays a reply.
    func setActivity(_ activity: Activity, target: ReplyTarget) async
    /// Throws ``AttachmentFailure``; never reads more than `limit` bytes.
    func fetch(_ attachment: Attachment, for channel: ConnectedChannel, limit: Int) async throws -> FetchedFile
    /// What to send in place of a chunk that was `.tooLong`: the same text in pieces of at most 60 %.
    func resplit(_ chunk: Chunk) -> [Chunk]
}

extension ChannelAdapter {
    public func resplit(_ chunk: Chunk) -> [Chunk] {
        guard chunk.file == nil else { return [chunk] }
        return PlainText.pieces(chunk.plain, limit: max(1, chunk.plain.utf16.count * 6 / 10)).map { Chunk(text: $0, plain: $0).unformatted }
    }
}

/// Why a channel's socket or poll loop ended for good; the channel becomes `error` until its owner acts.
public struct ChannelRunError: Error, Sendable, Equatable {
    /// A sentence for the owner.
    public var sentence: String
    public init(_ sentence: String) { self.sentence = sentence }
}

/// Why an attachment was not fetched.
public enum AttachmentFailure: Error, Sendable, Equatable {
    case tooLarge(limit: Int)
    /// The vendor no longer has it, or will not give it.
    case gone(String)
    /// Where it lies is not where this vendor keeps files.
    case refused(String)
    /// May be tried again.
    case unreachable(String)

    /// For the user and the agent.
    public var sentence: String {
        switch self {
        case .tooLarge(let limit): "The file is larger than \(limit >> 20) MB."
        case .gone(let sentence), .refused(let sentence), .unreachable(let sentence): sentence
        }
    }
}

/// A channel record together with its opened credentials.
public struct ConnectedChannel: Sendable {
    public var channel: Channel
    public var credentials: [String: Secret]
    public init(channel: Channel, credentials: [String: Secret]) { self.channel = channel; self.credentials = credentials }
}

public struct ChannelDraft: Sendable {
    public var botId: BotID
    public var credentials: [String: Secret]
    public var config: [String: Value]
    /// Base URL of the platform; webhooks need https on a port that the vendor allows.
    public var publicBaseURL: URL
    public init(botId: BotID, credentials: [String: Secret], config: [String: Value], publicBaseURL: URL) {
        self.botId = botId; self.credentials = credentials; self.config = config; self.publicBaseURL = publicBaseURL
    }
}

/// What `connect` learned.
public struct VendorAccount: Sendable {
    public var accountId: String
    /// `@name` mentions are matched against it.
    public var accountName: String
    public var mode: Channel.Mode
    public var status: Channel.Status
    /// Credentials to store: those given, completed by our own (webhook secret).
    public var credentials: [String: Secret]
    /// Config with defaults filled in.
    public var config: [String: Value]
    /// For the owner, step by step.
    public var setupInstructions: [String]
    public init(accountId: String, accountName: String, mode: Channel.Mode, status: Channel.Status = .connected, credentials: [String: Secret], config: [String: Value], setupInstructions: [String]) {
        self.accountId = accountId; self.accountName = accountName; self.mode = mode; self.status = status
        self.credentials = credentials; self.config = config; self.setupInstructions = setupInstructions
    }
}

public enum ChannelSetupError: Error, Sendable {
    /// Field path (`credentials.botToken`) and a sentence.
    case invalid(field: String, message: String)
    /// The vendor refused the credentials; our own sentence, never the vendor's body.
    case rejected(String)
    /// Not possible in this deployment (no https base URL).
    case unsupported(String)
    case unreachable(String)
}

public struct ChannelCheck: Sendable {
    public enum Result: Sendable, Equatable { case healthy, refused, unknown }
    public var result: Result
    /// A sentence for the owner, also a mere warning.
    public var detail: String?
    public init(_ result: Result, detail: String? = nil) { self.result = result; self.detail = detail }
}

/// Raw request: signatures are computed on exactly these bytes.
public struct WebhookRequest: Sendable {
    public var method: String
    /// Lower-case names; a repeated header keeps all its values.
    public var headers: [String: [String]]
    public var query: [String: String]
    public var body: Data
    public init(method: String, headers: [String: [String]], query: [String: String], body: Data) {
        self.method = method; self.headers = headers; self.query = query; self.body = body
    }
}

public enum WebhookRefusal: Error, Sendable {
    /// Wrong, absent, stale or unconfigured proof: one 401 for all.
    case unverified
    /// The secret is missing on our side: 401 too, and the channel turns to `error`.
    case secretMissing
    /// Verified, but not to be understood: 400.
    case malformed
}

/// A request whose origin is proved. Only an adapter's `verify` makes one.
public struct VerifiedEvent: Sendable {
    public let body: Data
    public let query: [String: String]
    package init(body: Data, query: [String: String]) { self.body = body; self.query = query }
}

public struct ParsedWebhook: Sendable {
    public var events: [InboundEvent]
    public var answer: WebhookAnswer
    /// A handshake: the channel becomes `connected`.
    public var provesConnection: Bool
    public init(events: [InboundEvent], answer: WebhookAnswer, provesConnection: Bool = false) {
        self.events = events; self.answer = answer; self.provesConnection = provesConnection
    }
}

public struct WebhookAnswer: Sendable, Equatable {
    public var contentType: String
    public var body: String
    public init(contentType: String = "application/json", body: String) { self.contentType = contentType; self.body = body }
}

/// What happened at the vendor, in our words.
public enum InboundEvent: Sendable {
    case message(InboundMessage)
    case edited(GroupJID, MessageID, text: String)
    case deleted(GroupJID, MessageID)
    case membership(GroupJID, Membership)
    case ignored(reason: String)

    public enum Membership: Sendable, Equatable { case joined, left, blocked, migrated(to: GroupJID) }
}

/// A message as the channel reported it; `text` is what the person wrote, the bot's own mention removed.
public struct InboundMessage: Sendable {
    public var messageId: MessageID
    public var groupJid: GroupJID
    public var chatName: String
    public var senderId: String
    public var senderName: String
    public var text: String
    public var isGroup: Bool
    public var isFromSelf: Bool
    /// Another bot, a webhook, a service or system account.
    public var isFromBot: Bool
    public var mentionsBot: Bool
    public var repliesToBot: Bool
    /// A command for another bot: never runs, whatever else holds.
    public var isForAnotherBot: Bool
    public var attachments: [Attachment]
    public var quoted: Quote?
    public var albumId: String?
    public var replyContext: Value?
    public var timestamp: Date
    public init(messageId: MessageID, groupJid: GroupJID, chatName: String, senderId: String, senderName: String, text: String, isGroup: Bool, timestamp: Date) {
        self.messageId = messageId; self.groupJid = groupJid; self.chatName = chatName; self.senderId = senderId; self.senderName = senderName
        self.text = text; self.isGroup = isGroup; self.timestamp = timestamp
        isFromSelf = false; isFromBot = false; mentionsBot = false; repliesToBot = false; isForAnotherBot = false
        attachments = []
    }
}

/// Takes events durably; throws when that failed, so that the vendor repeats them.
public protocol InboundSink: Sendable {
    func accept(_ event: InboundEvent, from channel: ConnectedChannel) async throws
}

/// One piece of a reply, ready for the vendor.
public struct Chunk: Sendable, Hashable {
    /// In the channel's dialect.
    public var text: String
    /// The same without any markup, for `.badFormat`.
    public var plain: String
    /// A file instead of text: name and bytes of an over-long reply (`reply.md`).
    public var file: InlineFile?
    /// `text` is to be sent without the dialect's markup mode.
    public var isPlain = false
    public struct InlineFile: Sendable, Hashable {
        public var name: String
        public var content: Data
        public init(name: String, content: Data) { self.name = name; self.content = content }
    }
    public init(text: String, plain: String, file: InlineFile? = nil) { self.text = text; self.plain = plain; self.file = file }

    /// The chunk for a second try after `.badFormat`.
    public var unformatted: Chunk {
        var chunk = Chunk(text: plain, plain: plain, file: file)
        chunk.isPlain = true
        return chunk
    }
}

public struct ReplyTarget: Sendable {
    public var channel: ConnectedChannel
    public var groupJid: GroupJID
    public var isGroup: Bool
    /// The channel's own; what ingest stored with the message.
    public var replyContext: Value?
    /// First chunk of a reply: may quote what it answers.
    public var isFirstChunk: Bool
    public init(channel: ConnectedChannel, groupJid: GroupJID, isGroup: Bool, replyContext: Value?, isFirstChunk: Bool) {
        self.channel = channel; self.groupJid = groupJid; self.isGroup = isGroup; self.replyContext = replyContext; self.isFirstChunk = isFirstChunk
    }
}

public struct OutboundFile: Sendable {
    public var name: String
    public var mimeType: String
    public var size: Int
    public var caption: String?
    public var content: Data
    public init(name: String, mimeType: String, caption: String?, content: Data) {
        self.name = name; self.mimeType = mimeType; self.caption = caption; self.content = content
        size = content.count
    }
}

public struct FetchedFile: Sendable {
    public var content: Data
    public var mimeType: String
    public var fileName: String?
    public init(content: Data, mimeType: String, fileName: String?) { self.content = content; self.mimeType = mimeType; self.fileName = fileName }
}

public enum Activity: Sendable, Equatable { case typing, uploading, received, finished }

/// Why the vendor did not take something, and so what to do (CHANNELS.md §1.6).
public enum SendFailure: Error, Sendable, Equatable {
    /// Wait as told (nil = back off), then the same again. `maybeDelivered`: the request was written and no answer came.
    case retry(after: Duration?, maybeDelivered: Bool)
    case badFormat
    case tooLong
    case replyTargetGone
    case conversationGone(reason: String)
    /// The conversation has a new id; retry there.
    case moved(to: GroupJID)
    case channelBroken(reason: String)
    case rejected(reason: String)
}

public struct ChannelCapabilities: Sendable {
    /// How to write for this channel: goes into the agent's system prompt.
    public var guidance: String
    public var showsTyping: Bool
    /// How long one typing call lasts.
    public var typingInterval: Duration
    public var acknowledges: Bool
    public var maxFileBytes: Int
    public init(guidance: String, showsTyping: Bool, typingInterval: Duration = .seconds(4), acknowledges: Bool = false, maxFileBytes: Int = 25 << 20) {
        self.guidance = guidance; self.showsTyping = showsTyping; self.typingInterval = typingInterval
        self.acknowledges = acknowledges; self.maxFileBytes = maxFileBytes
    }
}

/// The channels that this deployment can connect.
public struct ChannelRegistry: Sendable {
    private let adapters: [ChannelType: any ChannelAdapter]
    public init(_ adapters: [any ChannelAdapter]) { self.adapters = Dictionary(uniqueKeysWithValues: adapters.map { ($0.type, $0) }) }
    public subscript(type: ChannelType) -> (any ChannelAdapter)? { adapters[type] }
    public var types: [ChannelType] { ChannelType.allCases.filter { adapters[$0] != nil } }
}
