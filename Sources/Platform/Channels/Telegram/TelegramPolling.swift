import Foundation
import Platform

extension TelegramAdapter {
    /// Long polling. Asking with a higher offset is the acknowledgement, so the offset moves only when the sink has taken the whole batch.
    public func run(
        _ channel: ConnectedChannel, state: Value?, saveState: @escaping @Sendable (Value) async -> Void, into sink: any InboundSink
    ) async throws {
        guard channel.channel.connectionMode == .polling else { return }
        let inbound = TelegramInbound(channel: channel.channel)
        var offset = state?["offset"]?.int
        var backoff = Backoff()
        var conflicts = 0
        var hasRemovedWebhook = false
        while true {
            try Task.checkCancellation()
            let batch: [TelegramPolledUpdate]
            do throws(TelegramFailure) {
                batch = try await poll(channel, offset)
            } catch {
                try Task.checkCancellation()
                switch error {
                case .refused(401, _, _, _), .refused(403, _, _, _), .refused(404, _, _, _):
                    throw ChannelRunError("Telegram does not accept the bot token. Get a new one from @BotFather and save it here.")
                case .refused(409, let description, _, _):
                    if description.lowercased().contains("webhook"), !hasRemovedWebhook {
                        hasRemovedWebhook = true
                        _ = try? await client.call("deleteWebhook", ["drop_pending_updates": false], token: token(channel), returning: Bool.self)
                        continue
                    }
                    conflicts += 1
                    if conflicts >= 3 { throw ChannelRunError("Another program fetches this bot's messages with the same token. Stop it, or make a new token with @BotFather.") }
                    try await time.sleep(for: .seconds(30))
                case .refused(429, _, let wait, _): try await time.sleep(for: Duration(seconds: min(max(wait ?? 1, 0.1), 3600)))
                default: try await time.sleep(for: backoff.next())
                }
                continue
            }
            conflicts = 0
            hasRemovedWebhook = false
            lastPoll.withLock { $0[channel.channel.channelId] = time.now() }
            guard !batch.isEmpty else {
                backoff.reset()
                continue
            }
            do {
                for polled in batch {
                    guard let update = polled.update else {
                        logger.warning("A Telegram update cannot be read and is skipped", metadata: ["bot": "\(channel.channel.botId)", "update": "\(polled.updateId)"])
                        continue
                    }
                    for event in inbound.events(update) { try await sink.accept(event, from: channel) }
                }
            } catch {
                try Task.checkCancellation()
                // Not stored: the same batch comes again. What was stored of it is recognised.
                logger.warning("Telegram updates could not be stored and are fetched again", metadata: ["bot": "\(channel.channel.botId)"])
                try await time.sleep(for: backoff.next())
                continue
            }
            backoff.reset()
            offset = (batch.map(\.updateId).max() ?? 0) + 1
            await saveState(.object(["offset": .int(offset ?? 0)]))
        }
    }

    private func poll(_ channel: ConnectedChannel, _ offset: Int?) async throws(TelegramFailure) -> [TelegramPolledUpdate] {
        var parameters: Document = ["timeout": .int(Int(limits.pollTimeout.seconds)), "limit": 100, "allowed_updates": Self.allowedUpdates]
        parameters["offset"] = offset.map { .int($0) }
        return try await client.call("getUpdates", parameters, token: token(channel), returning: [TelegramPolledUpdate].self, timeout: limits.pollTimeout + .seconds(10))
    }
}
