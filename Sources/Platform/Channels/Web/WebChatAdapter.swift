import Foundation
import Platform

/// The owner's chat in the console and the terminal (CHANNELS.md §8). There is no vendor: messages come in over the API, and Delivery
/// stores an answer together with its event in one write, so nothing here sends anything.
public struct WebChatAdapter: ChannelAdapter {
    public init() {}
    public let type = ChannelType.web
    public let capabilities = ChannelCapabilities(
        guidance: "Write CommonMark with GitHub tables; it is shown formatted, with code highlighting. No raw HTML.", showsTyping: true)

    public func connect(_ draft: ChannelDraft) async throws -> VendorAccount {
        if let field = draft.credentials.keys.sorted().first {
            throw ChannelSetupError.invalid(field: "credentials.\(field)", message: "Web chat has no credentials.")
        }
        let config = try SharedChannelConfig.checked(draft.config, own: [:])
        return VendorAccount(
            accountId: draft.botId.rawValue, accountName: "", mode: .builtin, credentials: [:], config: config,
            setupInstructions: ["Nothing to set up: open the bot in the console, or run `clawbot chat`."])
    }
    public func register(_ channel: ConnectedChannel) async throws {}
    public func disconnect(_ channel: ConnectedChannel) async {}
    public func check(_ channel: ConnectedChannel) async -> ChannelCheck { ChannelCheck(.healthy) }
    /// Web chat has no webhook: nothing is ever proved here.
    public func verify(_ request: WebhookRequest, for channel: ConnectedChannel, at now: Date) throws -> VerifiedEvent { throw WebhookRefusal.unverified }
    public func parse(_ event: VerifiedEvent, for channel: ConnectedChannel) throws -> ParsedWebhook { throw WebhookRefusal.malformed }
    /// Nothing to listen to; waits until it is cancelled.
    public func run(
        _ channel: ConnectedChannel, state: Value?, saveState: @escaping @Sendable (Value) async -> Void, into sink: any InboundSink
    ) async throws {
        let (stream, _) = AsyncStream.makeStream(of: Never.self)
        for await _ in stream {}
        try Task.checkCancellation()
    }
    /// One chunk, unchanged: the console renders it without raw HTML, and there is no crowd to ping.
    public func render(_ markdown: String, for group: Group) -> [Chunk] {
        Sanitizer.isVisible(markdown) ? [Chunk(text: markdown, plain: markdown)] : []
    }
    public func send(_ chunk: Chunk, to target: ReplyTarget, key: String) async throws(SendFailure) -> String { key }
    public func sendFile(_ file: OutboundFile, to target: ReplyTarget, key: String) async throws(SendFailure) -> String { key }
    public func setActivity(_ activity: Activity, target: ReplyTarget) async {}
    public func fetch(_ attachment: Attachment, for channel: ConnectedChannel, limit: Int) async throws -> FetchedFile {
        throw AttachmentFailure.gone("Files of web chat are in the bot's own storage.")
    }
}
