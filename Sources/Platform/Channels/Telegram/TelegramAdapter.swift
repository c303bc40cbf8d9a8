import AsyncHTTPClient
import Foundation
import Logging
import Platform
import Synchronization

/// Telegram through the Bot API: webhook or long polling, HTML out (CHANNELS.md §2). One instance serves all Telegram channels of a node.
public final class TelegramAdapter: ChannelAdapter {
    /// How fast Telegram lets bots send.
    public struct Limits: Sendable {
        /// Bursts pass, then one per second and chat.
        public var chatInterval: Duration = .seconds(1)
        public var chatBurst = 5
        /// 20 per minute and group.
        public var groupInterval: Duration = .seconds(3)
        public var groupBurst = 20
        /// 30 per second and bot.
        public var botInterval: Duration = .milliseconds(33)
        public var botBurst = 30
        /// Longer waits are handed back to the caller as `.retry(after:)`.
        public var patience: Duration = .seconds(5)
        /// How long `getUpdates` blocks at Telegram; our own timeout is 10 s longer.
        public var pollTimeout: Duration = .seconds(50)
        public init() {}
    }

    public let type = ChannelType.telegram
    public let capabilities = ChannelCapabilities(
        guidance: "This chat is Telegram. Write Markdown: bold, italic, lists, links, quotes and fenced code are shown; tables become fixed-width text, so keep them narrow. Long messages are split at 4,096 characters.",
        showsTyping: true, acknowledges: true)

    let client: TelegramClient
    let publicBaseURL: URL
    let time: any TimeSource
    let limits: Limits
    let pace: SendPace
    let logger: Logger
    /// When each channel's poll last succeeded, for the health check.
    let lastPoll = Mutex<[ChannelID: Date]>([:])
    private let packer = Packer(dialect: TelegramDialect())

    /// - Parameters:
    ///   - httpClient: made with ``ChannelHTTP/configuration``, so that it follows no redirect.
    ///   - apiBaseURL: `channels.telegram.apiBaseURL`; methods are at `/bot<token>/<method>`.
    ///   - fileBaseURL: where files are at `/file/bot<token>/<path>`; nil = the same. Files are fetched from nowhere else.
    ///   - publicBaseURL: `server.publicBaseURL`; webhooks are registered below it.
    public init(
        httpClient: HTTPClient, apiBaseURL: URL, fileBaseURL: URL? = nil, publicBaseURL: URL, time: any TimeSource = SystemTime(), limits: Limits = Limits(),
        logger: Logger = Logger(label: "channels.telegram")
    ) {
        client = TelegramClient(http: httpClient, apiBaseURL: apiBaseURL, fileBaseURL: fileBaseURL ?? apiBaseURL)
        self.publicBaseURL = publicBaseURL
        self.time = time
        self.limits = limits
        pace = SendPace(time: time)
        self.logger = logger
    }

    /// The secret as Telegram repeats it in the header of every webhook call. There is no signed time: a replay meets the deduplication.
    public func verify(_ request: WebhookRequest, for channel: ConnectedChannel, at now: Date) throws -> VerifiedEvent {
        guard let secret = channel.credentials["webhookSecret"], !secret.isEmpty else { throw WebhookRefusal.secretMissing }
        guard request.method == "POST", let given = request.headers["x-telegram-bot-api-secret-token"], given.count == 1,
            (request.headers["content-encoding"] ?? []).allSatisfy({ $0.lowercased() == "identity" || $0.isEmpty }),
            Digest.sameSecret(secret.reveal(), given[0])
        else { throw WebhookRefusal.unverified }
        return VerifiedEvent(body: request.body, query: request.query)
    }

    public func parse(_ event: VerifiedEvent, for channel: ConnectedChannel) throws -> ParsedWebhook {
        let answer = WebhookAnswer(body: #"{"ok":true}"#)
        guard let polled = try? TelegramClient.decoder.decode(TelegramPolledUpdate.self, from: event.body) else { throw WebhookRefusal.malformed }
        guard let update = polled.update else { return ParsedWebhook(events: [.ignored(reason: "an update that cannot be read")], answer: answer, provesConnection: true) }
        return ParsedWebhook(events: TelegramInbound(channel: channel.channel).events(update), answer: answer, provesConnection: true)
    }

    public func render(_ markdown: String, for group: Group) -> [Chunk] { packer.chunks(markdown) }

    func token(_ channel: ConnectedChannel) -> Secret { channel.credentials["botToken"] ?? Secret("") }
}
