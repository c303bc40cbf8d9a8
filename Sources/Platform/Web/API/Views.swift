import ControlPlane
import Foundation
import Platform

/// The shapes of API.md §3.1, made from records: what is not named here is not shown.
enum Views {
    static func user(_ user: User, now: Date) throws -> Value {
        let month = Timestamp.month(now)
        let current = user.usageMonth == month
        return .fields([
            "userId": .string(user.userId.rawValue), "email": .string(user.email), "displayName": .string(user.displayName),
            "plan": .string(user.plan.rawValue), "status": .string(user.status.rawValue), "quota": try Value(encoding: user.quota),
            "usage": .object([
                "month": .string(month), "tokens": .int(current ? user.usageTokens : 0), "invocations": .int(current ? user.usageInvocations : 0),
            ]),
            "botCount": .int(user.botCount), "isAdmin": .bool(user.isAdmin), "createdAt": .time(user.createdAt), "lastLogin": user.lastLogin.map(Value.time),
        ])
    }

    static func bot(_ bot: Bot, channels: [Channel], mcpServers: [MCPServerID] = [], skills: [SkillID] = []) throws -> Value {
        .fields([
            "botId": .string(bot.botId.rawValue), "userId": .string(bot.userId.rawValue), "name": .string(bot.name),
            "description": bot.description.map(Value.string), "systemPrompt": bot.systemPrompt.map(Value.string),
            "triggerPattern": .string(bot.triggerPattern), "providerId": bot.providerId.map { .string($0.rawValue) },
            "modelId": bot.modelId.map(Value.string), "engine": .string(bot.engine.rawValue), "status": .string(bot.status.rawValue),
            "timezone": .string(bot.timezone), "duringRun": .string(bot.duringRun.rawValue), "memoryOpenToGroups": .bool(bot.memoryOpenToGroups),
            "containerConfig": try Value(encoding: bot.containerConfig), "toolWhitelist": try Value(encoding: bot.toolWhitelist),
            "egress": try Value(encoding: bot.egress), "skills": .array(skills.map { .string($0.rawValue) }), "mcpServers": .array(mcpServers.map { .string($0.rawValue) }),
            "channels": .array(channels.map {
                .object([
                    "channelType": .string($0.channelType.rawValue), "status": .string($0.status.rawValue), "healthStatus": .string($0.healthStatus.rawValue),
                ])
            }),
            "createdAt": .time(bot.createdAt), "updatedAt": .time(bot.updatedAt),
        ])
    }

    static func channel(_ channel: Channel, webhookURL: String?) -> Value {
        .fields([
            "botId": .string(channel.botId.rawValue), "channelType": .string(channel.channelType.rawValue),
            "channelId": .string(channel.channelId.rawValue), "status": .string(channel.status.rawValue),
            "connectionMode": .string(channel.connectionMode.rawValue), "healthStatus": .string(channel.healthStatus.rawValue),
            "consecutiveFailures": .int(channel.consecutiveFailures),
            "lastHealthCheck": channel.lastHealthCheck.timeIntervalSince1970 > 0 ? .time(channel.lastHealthCheck) : nil,
            "statusDetail": channel.statusDetail.map(Value.string), "accountName": channel.accountName.isEmpty ? nil : .string(channel.accountName),
            "webhookUrl": webhookURL.map(Value.string), "config": .object(channel.config), "hasCredentials": .bool(channel.credentialSecretName != nil),
            "createdAt": .time(channel.createdAt), "updatedAt": .time(channel.updatedAt),
        ])
    }

    static func group(_ group: Group, _ activity: GroupService.Activity) -> Value {
        .object([
            "botId": .string(group.botId.rawValue), "groupJid": .string(group.groupJid.rawValue), "name": .string(group.name),
            "channelType": .string(group.channelType.rawValue), "isGroup": .bool(group.isGroup), "requiresTrigger": .bool(group.requiresTrigger),
            "lastMessageAt": .time(group.lastMessageAt), "sessionStatus": .string(activity.rawValue), "createdAt": .time(group.createdAt),
        ])
    }

    static func message(_ message: Message) -> Value {
        // Keys are relative to the bot's root: the first two segments of an object key are user and bot.
        let files = message.attachments.compactMap { file -> Value? in
            guard let key = file.objectKey?.text.split(separator: "/", maxSplits: 2).last else { return nil }
            return .fields([
                "type": .string(file.type.rawValue), "key": .string(String(key)), "fileName": .string(file.fileName),
                "mimeType": .string(file.mimeType), "size": .int(file.size ?? 0),
            ])
        }
        return .fields([
            "botId": .string(message.botId.rawValue), "groupJid": .string(message.groupJid.rawValue), "messageId": .string(message.messageId.rawValue),
            "timestamp": .time(message.timestamp), "sender": .string(message.sender), "senderName": .string(message.senderName),
            "content": .string(message.content), "isFromMe": .bool(message.isFromMe), "isBotMessage": .bool(message.isBotMessage),
            "channelType": .string(message.channelType.rawValue), "attachments": files.isEmpty ? nil : .array(files),
            "invocationId": message.invocationId.map { .string($0.rawValue) }, "editedAt": message.editedAt.map(Value.time),
            "state": .string(message.state.rawValue), "failure": message.failure.map { .string($0.rawValue) },
        ])
    }

    static func task(_ task: ScheduledTask) -> Value {
        .fields([
            "botId": .string(task.botId.rawValue), "taskId": .string(task.taskId.rawValue), "groupJid": .string(task.groupJid.rawValue),
            "prompt": .string(task.prompt), "scheduleType": .string(task.scheduleType.rawValue), "scheduleValue": .string(task.scheduleValue),
            "timezone": .string(task.timezone), "contextMode": .string(task.contextMode.rawValue), "status": .string(task.status.rawValue),
            "nextRun": task.nextRun.map(Value.time), "lastRun": task.lastRun.map(Value.time), "lastStatus": task.lastStatus.map { .string($0.rawValue) },
            "lastResult": task.lastResult.map { .string(String($0.prefix(500))) }, "createdAt": .time(task.createdAt), "updatedAt": .time(task.updatedAt),
        ])
    }

    static func publicProvider(_ provider: Provider) -> [String: Value?] {
        [
            "providerId": .string(provider.providerId.rawValue), "providerName": .string(provider.providerName),
            "providerType": .string(provider.providerType.rawValue), "modelIds": .array(provider.modelIds.map(Value.string)),
            "isDefault": .bool(provider.isDefault),
        ]
    }

    static func provider(_ provider: Provider) -> Value {
        var fields = publicProvider(provider)
        fields["baseUrl"] = provider.baseUrl.map(Value.string)
        fields["region"] = provider.region.map(Value.string)
        fields["authType"] = provider.authType.map { .string($0.rawValue) }
        fields["headers"] = provider.headers.isEmpty ? nil : .object(provider.headers.mapValues(Value.string))
        fields["fallbackModelId"] = provider.fallbackModelId.map(Value.string)
        fields["maxConcurrency"] = provider.maxConcurrency.map(Value.int)
        fields["hasApiKey"] = .bool(provider.hasApiKey)
        fields["createdAt"] = .time(provider.createdAt)
        fields["updatedAt"] = .time(provider.updatedAt)
        return .fields(fields)
    }

    static func proxyRule(_ rule: ProxyRule) -> Value {
        .fields([
            "id": .string(rule.ruleId), "name": .string(rule.name), "prefix": .string(rule.prefix), "target": .string(rule.target),
            "authType": .string(rule.authType.rawValue), "headerName": rule.headerName.map(Value.string), "hasValue": .bool(rule.hasValue),
            "createdAt": .time(rule.createdAt), "updatedAt": .time(rule.updatedAt),
        ])
    }

    static func auditEntry(_ entry: AuditEntry) -> Value {
        .fields([
            "id": .string(entry.id), "timestamp": .time(entry.timestamp), "actorId": .string(entry.actorId), "action": .string(entry.action),
            "target": entry.target.map(Value.string), "requestId": entry.requestId.map(Value.string),
        ])
    }

    static func deadLetter(_ letter: DeadLetter) -> Value {
        .fields([
            "id": .string(letter.id), "queue": .string(letter.queue.rawValue), "kind": .string(letter.kind),
            "userId": letter.userId.map { .string($0.rawValue) }, "botId": letter.botId.map { .string($0.rawValue) },
            "groupJid": letter.groupJid.map { .string($0.rawValue) }, "reason": .string(letter.reason), "receiveCount": .int(letter.receiveCount),
            "firstSeenAt": .time(letter.firstSeenAt), "deadAt": .time(letter.deadAt),
        ])
    }
}
