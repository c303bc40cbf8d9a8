import Foundation
import Platform

/// The answers of API.md §3, as schemas.
enum Schemas {
    static let problem: Value = [
        "type": "object", "required": .array(["type", "title", "status", "detail"]),
        "properties": [
            "type": ["type": "string", "enum": .array(Problem.Slug.allCases.map { .string("urn:clawbot:problem:\($0.rawValue)") })],
            "title": ["type": "string"], "status": ["type": "integer"], "detail": ["type": "string"],
            "errors": [
                "type": "array",
                "items": [
                    "type": "object", "required": .array(["field", "message"]), "properties": ["field": ["type": "string"], "message": ["type": "string"]],
                ],
            ],
        ],
    ]

    static let modelError = Schema.named("ModelError", .object([("type", .text), ("error", .object([("type", .text), ("message", .text)]))]))

    static let config = Schema.object(
        [
            ("version", .text), ("authMode", .choice(["oidc", "cognito"])), ("issuer", .text), ("region", .text), ("channelTypes", .list(.text)),
            ("features", .map(.boolean)), ("limits", .map(.integer)),
        ], optional: [("cognito", .anything)])

    // MARK: Sign-in

    static let tokenPair = Schema.named("TokenPair", .object([
        ("accessToken", .text), ("tokenType", .text), ("expiresIn", .integer), ("refreshToken", .text), ("refreshExpiresIn", .integer), ("userId", .text),
    ]))
    /// A token pair, or a challenge that comes first.
    static let loginAnswer = Schema.named("LoginAnswer", .object([("expiresIn", .integer)], optional: [
        ("accessToken", .text), ("tokenType", .text), ("refreshToken", .text), ("refreshExpiresIn", .integer), ("userId", .text),
        ("challengeName", .text), ("challengeToken", .text),
    ]))

    // MARK: Account

    static let quota = Schema.named("Quota", .object(["maxBots", "maxGroupsPerBot", "maxTasksPerBot", "maxConcurrentAgents", "maxMonthlyTokens"].map { ($0, .integer) }))
    static let user = Schema.named("User", .object(
        [
            ("userId", .text), ("email", .text), ("displayName", .text), ("plan", .choice(Plan.allCases.map(\.rawValue))),
            ("status", .choice(["active", "suspended", "deleted"])), ("quota", quota),
            ("usage", .object([("month", .text), ("tokens", .integer), ("invocations", .integer)])), ("botCount", .integer), ("isAdmin", .boolean), ("createdAt", .time),
        ], optional: [("lastLogin", .time)]))
    static let usage = Schema.named("Usage", .object([
        ("month", .text), ("tokens", .integer), ("inputTokens", .integer), ("outputTokens", .integer), ("cacheReadTokens", .integer), ("cacheWriteTokens", .integer),
        ("invocations", .integer), ("maxMonthlyTokens", .integer),
        ("bots", .list(.object([("botId", .text), ("name", .text), ("tokens", .integer), ("invocations", .integer)]))),
        ("models", .list(.object([("model", .text), ("tokens", .integer)]))),
        ("days", .list(.object([("date", .text), ("tokens", .integer), ("invocations", .integer)]))),
    ]))
    private static let providerFields: [(String, Schema)] = [
        ("providerId", .text), ("providerName", .text),
        ("providerType", .choice(["anthropic-compatible-api", "bedrock", "openai-compatible-api", "demo"])), ("modelIds", .list(.text)), ("isDefault", .boolean),
    ]
    static let publicProvider = Schema.named("ProviderPublic", .object(providerFields))
    static let provider = Schema.named("Provider", .object(
        providerFields + [("hasApiKey", .boolean), ("createdAt", .time), ("updatedAt", .time)],
        optional: [
            ("baseUrl", .text), ("region", .text), ("authType", .choice(["api-key", "bearer"])), ("headers", .map(.text)), ("fallbackModelId", .text),
            ("maxConcurrency", .integer),
        ]))
    static let providerTest = Schema.object([("ok", .boolean), ("latencyMs", .integer), ("checkedAt", .time)], optional: [("detail", .text)])

    // MARK: Bots

    private static let named: Schema = .object([("name", .text), ("description", .text)])
    static let tools = Schema.object([("mcpTools", .list(named)), ("skills", .list(named))])
    static let bot = Schema.named("Bot", .object(
        [
            ("botId", .text), ("userId", .text), ("name", .text), ("triggerPattern", .text), ("engine", .choice(["native", "claude-code"])),
            ("status", .choice(["created", "active", "paused"])), ("timezone", .text), ("duringRun", .choice(["queue", "steer"])), ("memoryOpenToGroups", .boolean),
            ("containerConfig", .object([("maxTurns", .integer), ("timeoutSeconds", .integer)], optional: [("maxRunTokens", .integer)])),
            ("toolWhitelist", .object([
                ("mcpToolsEnabled", .boolean), ("skillsEnabled", .boolean), ("allowedMcpTools", .list(.text)), ("allowedSkills", .list(.text)),
            ])),
            ("egress", .object([("default", .choice(["allow", "deny"])), ("allow", .list(.text)), ("deny", .list(.text))])),
            ("skills", .list(.text)), ("mcpServers", .list(.text)),
            ("channels", .list(.object([("channelType", .text), ("status", .text), ("healthStatus", .text)]))), ("createdAt", .time), ("updatedAt", .time),
        ], optional: [("description", .text), ("systemPrompt", .text), ("providerId", .text), ("modelId", .text)]))
    static let denial = Schema.named("Denial", .object([("id", .text), ("timestamp", .time), ("kind", .choice(["egress", "tool", "skill"])), ("target", .text)],
        optional: [("groupJid", .text), ("invocationId", .text), ("origin", .choice(["main", "sub-agent", "direct"]))]))
    static let failure = Schema.named("Failure", .object([("id", .text), ("timestamp", .time), ("code", .text)],
        optional: [("groupJid", .text), ("messageId", .text), ("taskId", .text), ("invocationId", .text)]))
    static let channel = Schema.named("Channel", .object(
        [
            ("botId", .text), ("channelType", .choice(ChannelType.allCases.map(\.rawValue))), ("channelId", .text),
            ("status", .choice(["connected", "disconnected", "error", "pending_webhook"])), ("connectionMode", .choice(["webhook", "polling", "websocket", "builtin"])),
            ("healthStatus", .choice(["healthy", "unhealthy", "unknown"])), ("consecutiveFailures", .integer), ("config", .anything), ("hasCredentials", .boolean),
            ("createdAt", .time), ("updatedAt", .time),
        ], optional: [("lastHealthCheck", .time), ("webhookUrl", .text), ("statusDetail", .text), ("accountName", .text)]))
    static let connectedChannel = Schema.joined(channel, .object([], optional: [("setupInstructions", .list(.text)), ("verifyToken", .text)]))
    static let channelTest = Schema.object([("ok", .boolean), ("checkedAt", .time)], optional: [("detail", .text)])

    // MARK: Conversations

    static let group = Schema.named("Group", .object([
        ("botId", .text), ("groupJid", .text), ("name", .text), ("channelType", .text), ("isGroup", .boolean), ("requiresTrigger", .boolean), ("lastMessageAt", .time),
        ("sessionStatus", .choice(["active", "idle", "terminated"])), ("createdAt", .time),
    ]))
    static let message = Schema.named("Message", .object(
        [
            ("botId", .text), ("groupJid", .text), ("messageId", .text), ("timestamp", .time), ("sender", .text), ("senderName", .text), ("content", .text),
            ("isFromMe", .boolean), ("isBotMessage", .boolean), ("channelType", .text),
            ("state", .choice(["context", "queued", "running", "answered", "failed", "stopped", "sent"])),
        ],
        optional: [
            ("attachments", .list(.object([("type", .text), ("key", .text), ("fileName", .text), ("mimeType", .text), ("size", .integer)]))), ("invocationId", .text),
            ("editedAt", .time), ("failure", .choice(FailureCode.allCases.map(\.rawValue))),
        ]))
    static let tracedMessage = Schema.joined(message, .object([
        ("trace", .list(.object(
            [("step", .choice(["ingest", "queue", "dispatch", "model", "tool", "delivery"])), ("at", .time)], optional: [("name", .text), ("durationMs", .integer)]))),
    ]))
    static let chatAccepted = Schema.object([("messageId", .text), ("groupJid", .text), ("conversationId", .text), ("timestamp", .time)])
    static let task = Schema.named("Task", .object(
        [
            ("botId", .text), ("taskId", .text), ("groupJid", .text), ("prompt", .text), ("scheduleType", .choice(["cron", "interval", "once"])),
            ("scheduleValue", .text), ("timezone", .text), ("contextMode", .choice(["group", "isolated"])), ("status", .choice(["active", "paused", "completed"])),
            ("createdAt", .time), ("updatedAt", .time),
        ], optional: [("nextRun", .time), ("lastRun", .time), ("lastStatus", .choice(["success", "error", "skipped"])), ("lastResult", .text)]))

    // MARK: Memory and files

    static let memory = Schema.named("Memory", .object([("content", .text), ("size", .integer)], optional: [("updatedAt", .time)]))
    static let fileEntry = Schema.named("FileEntry", .object([("key", .text), ("name", .text), ("isFolder", .boolean)],
        optional: [("size", .integer), ("lastModified", .time), ("etag", .text)]))
    private static let versionFields: [(String, Schema)] = [("versionId", .text), ("size", .integer), ("createdAt", .time), ("by", .choice(["owner", "agent"]))]
    static let memoryVersion = Schema.named("MemoryVersion", .object(versionFields, optional: [("invocationId", .text)]))
    static let memoryVersionContent = Schema.joined(memoryVersion, .object([("content", .text)]))
    static let preview = Schema.named("FilePreview", .object(
        [
            ("key", .text), ("size", .integer), ("contentType", .text), ("lastModified", .time), ("etag", .text),
            ("previewKind", .choice(["text", "markdown", "html", "image", "binary"])), ("truncated", .boolean),
        ], optional: [("content", .text)]))
    static let uploadLink = Schema.object([("url", .text), ("method", .choice(["PUT"])), ("headers", .map(.text)), ("expiresAt", .time), ("expiresIn", .integer)])
    static let downloadLink = Schema.object([("url", .text), ("expiresAt", .time), ("expiresIn", .integer)])
    static let proxyRule = Schema.named("ProxyRule", .object(
        [
            ("id", .text), ("name", .text), ("prefix", .text), ("target", .text), ("authType", .choice(ProxyRule.Authentication.allCases.map(\.rawValue))),
            ("hasValue", .boolean), ("createdAt", .time), ("updatedAt", .time),
        ], optional: [("headerName", .text)]))
    static let storedFile = Schema.named("StoredFile", .object([("key", .text), ("size", .integer), ("etag", .text), ("lastModified", .time)], optional: [("contentType", .text)]))

    // MARK: Administration and operations

    static let createdUser = Schema.joined(user, .object([], optional: [("temporaryPassword", .text)]))
    static let temporaryPassword = Schema.object([], optional: [("temporaryPassword", .text)])
    static let plans = Schema.named("Plans", .object(Plan.allCases.map { ($0.rawValue, quota) }))
    static let userUsage = Schema.object([("userId", .text), ("email", .text), ("tokens", .integer), ("invocations", .integer)])
    static let auditEntry = Schema.named("AuditEntry", .object([("id", .text), ("timestamp", .time), ("actorId", .text), ("action", .text)],
        optional: [("target", .text), ("requestId", .text)]))
    static let deadLetter = Schema.named("DeadLetter", .object(
        [("id", .text), ("queue", .choice(["inbound", "replies"])), ("kind", .text), ("reason", .text), ("receiveCount", .integer), ("firstSeenAt", .time), ("deadAt", .time)],
        optional: [("userId", .text), ("botId", .text), ("groupJid", .text)]))
    static let id = Schema.object([("id", .text)])
    static let ready = Schema.object([
        ("status", .choice(["ready", "degraded", "not_ready"])),
        ("checks", .list(.object([("name", .text), ("status", .choice(["ok", "degraded", "down"])), ("critical", .boolean), ("latencyMs", .integer)]))),
    ])
}
