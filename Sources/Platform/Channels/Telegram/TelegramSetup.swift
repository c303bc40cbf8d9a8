import Foundation
import Platform

extension TelegramAdapter {
    static let allowedUpdates = Value.array(["message", "edited_message", "my_chat_member"])
    /// Telegram calls webhooks on these ports only.
    private static let webhookPorts: Set<Int> = [443, 80, 88, 8443]
    private static let commands: [(name: String, description: String)] = [
        ("new", "Start a new session"), ("help", "What this bot can do"), ("status", "Model, quota and what runs now"), ("stop", "Stop the running answer"),
        ("compact", "Shorten the session's history"),
    ]

    /// Takes exactly `botToken`; the webhook secret is made here anew each time.
    public func connect(_ draft: ChannelDraft) async throws -> VendorAccount {
        for key in draft.credentials.keys.sorted() where key != "botToken" {
            throw ChannelSetupError.invalid(field: "credentials.\(key)", message: "Telegram has no such credential.")
        }
        guard let token = draft.credentials["botToken"], !token.isEmpty else {
            throw ChannelSetupError.invalid(field: "credentials.botToken", message: "The bot token is missing. @BotFather shows it.")
        }
        guard TelegramClient.isWellFormed(token) else {
            throw ChannelSetupError.invalid(field: "credentials.botToken", message: "This is not a bot token. It looks like 123456789:AAF… and is shown by @BotFather.")
        }
        var config = try SharedChannelConfig.checked(draft.config, own: ["connectionMode": (.oneOf(["webhook", "polling"]), nil), "rich": (.bool, .bool(false))])
        let canUseWebhook = Self.takesWebhooks(draft.publicBaseURL)
        let mode: Channel.Mode
        switch config["connectionMode"]?.string {
        case "webhook":
            guard canUseWebhook else {
                throw ChannelSetupError.unsupported("Telegram calls webhooks over https on port 443, 80, 88 or 8443 only; the public base URL is not such an address. Use polling.")
            }
            mode = .webhook
        case "polling": mode = .polling
        default: mode = canUseWebhook ? .webhook : .polling
        }
        config["connectionMode"] = draft.config["connectionMode"].flatMap { $0 == .null ? nil : $0 }

        let me: TelegramUser
        do { me = try await client.call("getMe", token: token, returning: TelegramUser.self) } catch { throw Self.setupError(error) }
        guard me.isBot == true, let username = me.username, !username.isEmpty else { throw ChannelSetupError.rejected("The token does not belong to a bot.") }
        return VendorAccount(
            accountId: String(me.id), accountName: username, mode: mode,
            credentials: ["botToken": token, "webhookSecret": Secret(Digest.randomToken())], config: config,
            setupInstructions: Self.instructions(username: username, readsAll: me.canReadAllGroupMessages == true, joinsGroups: me.canJoinGroups != false))
    }

    public func register(_ channel: ConnectedChannel) async throws {
        do {
            switch channel.channel.connectionMode {
            case .webhook: try await setWebhook(channel)
            default: _ = try await client.call("deleteWebhook", ["drop_pending_updates": false], token: token(channel), returning: Bool.self)
            }
        } catch { throw Self.setupError(error) }
        // The menu is a convenience; without it the channel works all the same.
        for scope in ["all_private_chats", "all_group_chats"] {
            let list: [Value] = Self.commands.map { .object(["command": .string($0.name), "description": .string($0.description)]) }
            do throws(TelegramFailure) {
                _ = try await client.call("setMyCommands", ["commands": .array(list), "scope": .object(["type": .string(scope)])], token: token(channel), returning: Bool.self)
            } catch {
                logger.notice("Telegram did not take the command menu", metadata: ["bot": "\(channel.channel.botId)"])
            }
        }
    }

    public func disconnect(_ channel: ConnectedChannel) async {
        _ = try? await client.call("deleteWebhook", ["drop_pending_updates": false], token: token(channel), returning: Bool.self)
        for scope in ["all_private_chats", "all_group_chats"] {
            _ = try? await client.call("deleteMyCommands", ["scope": .object(["type": .string(scope)])], token: token(channel), returning: Bool.self)
        }
        lastPoll.withLock { $0[channel.channel.channelId] = nil }
    }

    public func check(_ channel: ConnectedChannel) async -> ChannelCheck {
        do throws(TelegramFailure) {
            let me = try await client.call("getMe", token: token(channel), returning: TelegramUser.self)
            var notes = [String]()
            if channel.channel.connectionMode == .webhook {
                let info = try await client.call("getWebhookInfo", token: token(channel), returning: TelegramWebhookInfo.self)
                if info.url != webhookURL(channel) {
                    try await setWebhook(channel)
                    notes.append("The webhook was not ours any more and has been registered again.")
                } else if let last = info.lastErrorDate, time.now().timeIntervalSince1970 - Double(last) < 600 {
                    notes.append("Telegram could not reach the webhook: \(TelegramErrors.shown(info.lastErrorMessage ?? "no reason given")).")
                }
            } else if let last = lastPoll.withLock({ $0[channel.channel.channelId] }), time.now().timeIntervalSince(last) > 180 {
                return ChannelCheck(.unknown, detail: "No messages could be fetched for more than three minutes.")
            }
            if me.canReadAllGroupMessages == false {
                notes.append("In groups the bot only sees mentions, replies and commands. For trigger words: @BotFather, /setprivacy, Disable, then add the bot to the group again.")
            }
            return ChannelCheck(.healthy, detail: notes.isEmpty ? nil : notes.joined(separator: " "))
        } catch {
            switch error {
            case .refused(401, _, _, _), .refused(403, _, _, _), .refused(404, _, _, _):
                return ChannelCheck(.refused, detail: "Telegram does not accept the bot token. Get a new one from @BotFather and save it here.")
            case .refused(let code, let description, _, _) where code == 400:
                return ChannelCheck(.refused, detail: "Telegram refused the webhook: \(TelegramErrors.shown(description)).")
            case .refused(let code, _, _, _): return ChannelCheck(.unknown, detail: "Telegram answered with status \(code).")
            case .transport, .unreadable: return ChannelCheck(.unknown, detail: "Telegram could not be reached.")
            }
        }
    }

    func setWebhook(_ channel: ConnectedChannel) async throws(TelegramFailure) {
        let parameters: Document = [
            "url": .string(webhookURL(channel)), "secret_token": .string((channel.credentials["webhookSecret"] ?? Secret("")).reveal()),
            "allowed_updates": Self.allowedUpdates, "max_connections": 40, "drop_pending_updates": false,
        ]
        _ = try await client.call("setWebhook", parameters, token: token(channel), returning: Bool.self)
    }

    func webhookURL(_ channel: ConnectedChannel) -> String {
        var base = publicBaseURL.absoluteString
        while base.hasSuffix("/") { base.removeLast() }
        return "\(base)/webhook/telegram/\(channel.channel.botId.rawValue)"
    }

    static func takesWebhooks(_ base: URL) -> Bool { base.scheme?.lowercased() == "https" && webhookPorts.contains(base.port ?? 443) }

    private static func setupError(_ error: any Error) -> ChannelSetupError {
        guard let failure = error as? TelegramFailure else { return .unreachable("Telegram could not be reached.") }
        switch failure {
        case .refused(401, _, _, _), .refused(404, _, _, _), .refused(403, _, _, _):
            return .rejected("Telegram does not accept this bot token. Copy it again from @BotFather.")
        case .refused(400, let description, _, _): return .rejected("Telegram refused the registration: \(TelegramErrors.shown(description)).")
        case .refused(429, _, let wait, _): return .unreachable("Telegram asks to wait \(Int(wait ?? 1)) s before the next try.")
        case .refused(let code, _, _, _): return .unreachable("Telegram answered with status \(code).")
        case .transport, .unreadable: return .unreachable("Telegram could not be reached.")
        }
    }

    private static func instructions(username: String, readsAll: Bool, joinsGroups: Bool) -> [String] {
        var steps = ["Private chat: open https://t.me/\(username) and press Start."]
        steps.append(
            joinsGroups
                ? "Groups: add @\(username) to the group, then write \"@\(username) …\" or reply to one of its messages."
                : "Groups: first allow them in @BotFather with /setjoingroups, then add @\(username).")
        if !readsAll {
            steps.append("For trigger words or group context: @BotFather, /setprivacy, choose the bot, Disable; then remove the bot from the group and add it again.")
        }
        return steps
    }
}

