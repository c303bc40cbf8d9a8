import Foundation
import Platform

/// The bodies of API.md §3, as shapes.
enum Shapes {
    typealias Field = Shape.Field

    private static func botFields(merging: Bool) -> [Field] {
        func optional(_ name: String, _ shape: Shape) -> Field { Field(name, shape, nullable: merging) }
        let pattern = TextRule.grammar("a tool name such as mcp__slug__tool, optionally ending in *", pattern: "^mcp__[a-z0-9-]{1,20}__[A-Za-z0-9_-]{0,40}[*]?$") { text in
            guard text.utf8.count <= 128, text.hasPrefix("mcp__"), let mark = text.dropFirst(5).range(of: "__") else { return false }
            let stem = text.hasSuffix("*") ? text.dropLast() : text[...]
            return mark.lowerBound > text.index(text.startIndex, offsetBy: 5) && Characters.all(stem, Characters.isWord)
        }
        let skill = TextRule.grammar("lower-case letters, digits, _ or -", pattern: "^[a-z0-9][a-z0-9_-]{0,63}$") { text in
            text.utf8.count <= 64 && Characters.all(text) { Characters.isLower($0) || Characters.isDigit($0) || $0 == 0x5f || $0 == 0x2d }
                && text.utf8.first.map { $0 != 0x5f && $0 != 0x2d } ?? false
        }
        let host = TextRule.grammar("a host name, optionally *.host and host:port", pattern: "^([*][.])?[a-z0-9-]{1,30}([.][a-z0-9-]{1,30}){0,3}$") { text in
            var rest = text[...]
            if let colon = rest.lastIndex(of: ":") {
                let port = rest[rest.index(after: colon)...]
                guard (1...5).contains(port.utf8.count), Characters.all(port, Characters.isDigit), let number = Int(port), (1...65535).contains(number) else { return false }
                rest = rest[..<colon]
            }
            if rest.hasPrefix("*.") { rest = rest.dropFirst(2) }
            let labels = rest.split(separator: ".", omittingEmptySubsequences: false)
            return text.utf8.count <= 260 && labels.allSatisfy { label in
                !label.isEmpty && Characters.all(label) { Characters.isLower($0) || Characters.isDigit($0) || $0 == 0x2d }
            }
        }
        return [
            Field("name", .text(.name(1...100)), required: !merging),
            optional("description", .text(.prose(0...500))),
            optional("systemPrompt", .text(.prose(0...10_000))),
            optional("triggerPattern", .text(.line(1...100))),
            optional("providerId", .text(.line(1...64))),
            optional("modelId", .text(.line(1...200))),
            optional("containerConfig", .record([
                Field("maxTurns", .integer(1...500)), Field("timeoutSeconds", .integer(30...28_800)),
                Field("maxRunTokens", .integer(10_000...1_000_000_000)),
            ])),
            optional("timezone", .text(.timezone)),
            optional("duringRun", .choice(["queue", "steer"])),
            optional("memoryOpenToGroups", .boolean),
            optional("engine", .choice(["native", "claude-code"])),
            optional("toolWhitelist", .record([
                Field("mcpToolsEnabled", .boolean, required: true), Field("skillsEnabled", .boolean, required: true),
                Field("allowedMcpTools", .list(.text(pattern), count: 0...100), required: true),
                Field("allowedSkills", .list(.text(skill), count: 0...100), required: true),
            ])),
            optional("egress", .record([
                Field("default", .choice(["allow", "deny"]), required: true),
                Field("allow", .list(.text(host), count: 0...100), required: true),
                Field("deny", .list(.text(host), count: 0...100), required: true),
            ])),
        ]
    }
    static let newBot = Shape.record(botFields(merging: false))
    static let botChanges = Shape.record(botFields(merging: true) + [Field("status", .choice(["active", "paused"]))], minimum: 1)

    static let newChannel = Shape.record([
        Field("channelType", .choice(ChannelType.allCases.map(\.rawValue)), required: true),
        Field("credentials", .anyObject), Field("config", .anyObject),
    ])
    static let channelChanges = Shape.record([Field("credentials", .anyObject), Field("config", .anyObject)], minimum: 1)

    static let groupChanges = Shape.record([Field("name", .text(.name(1...200))), Field("requiresTrigger", .boolean)], minimum: 1)

    static let groupJid = TextRule.grammar("a conversation id", pattern: "^(tg:|dc:|sl:|wa:|feishu#|dt:|web:)[!-$&-~]{1,180}$") { GroupJID($0).isWellFormed }
    static let newTask = Shape.record([
        Field("groupJid", .text(groupJid), required: true), Field("prompt", .text(.prose(1...5000)), required: true),
        Field("scheduleType", .choice(["cron", "interval", "once"]), required: true), Field("scheduleValue", .text(.line(1...200)), required: true),
        Field("timezone", .text(.timezone)), Field("contextMode", .choice(["group", "isolated"])),
    ])
    static let taskChanges = Shape.record([
        Field("prompt", .text(.prose(1...5000))), Field("scheduleType", .choice(["cron", "interval", "once"])),
        Field("scheduleValue", .text(.line(1...200))), Field("timezone", .text(.timezone)), Field("contextMode", .choice(["group", "isolated"])),
        Field("status", .choice(["active", "paused"])),
    ], minimum: 1)

    static let memory = Shape.record([Field("content", .text(.content(bytes: 0...102_400)), required: true)])

    static let conversation = TextRule.grammar("1 to 64 letters, digits, _ or -", pattern: "^[A-Za-z0-9_-]{1,64}$") { $0.utf8.count <= 64 && Characters.all($0, Characters.isWord) }
    static let chat = Shape.record([
        Field("content", .text(.prose(0...32_000))),
        Field("conversationId", .text(conversation)),
        Field("attachments", .list(.record([
            Field("key", .text(.grammar("a file key", pattern: "^[A-Za-z0-9_-]{1,20}(/[A-Za-z0-9_-]{1,20}){0,3}$") { ObjectKey.isWellFormed($0) }), required: true)
        ]), count: 0...10)),
    ])

    static let login = Shape.record([
        Field("email", .text(.line(1...254)), required: true),
        Field("password", .text(TextRule(scalars: 1...128, verbatim: true, allowsBlank: true)), required: true),
    ])
    private static let token = TextRule(bytes: 1...2000, verbatim: true)
    /// Length is a rule about the new password, said in the same words as the others: the issuer checks it.
    private static let password = TextRule(scalars: 1...1000, verbatim: true, allowsBlank: true)
    static let refresh = Shape.record([
        Field("refreshToken", .text(token), required: true),
        Field("retryKey", .text(.grammar("16 to 128 letters, digits, - and _", pattern: "^[A-Za-z0-9_-]{16,128}$") {
            (16...128).contains($0.utf8.count) && Characters.all($0, Characters.isWord)
        })),
    ])
    static let logout = Shape.record([Field("refreshToken", .text(token), required: true), Field("everywhere", .boolean)])
    static let changePassword = Shape.record([
        Field("currentPassword", .text(password)), Field("challengeToken", .text(token)), Field("newPassword", .text(password), required: true),
    ])

    private static let oneTimeCode = TextRule(scalars: 1...64)
    static let secondFactor = Shape.record([Field("challengeToken", .text(token), required: true), Field("code", .text(oneTimeCode), required: true)])
    static let secondFactorEnrolment = Shape.record([Field("challengeToken", .text(token)), Field("currentPassword", .text(password))])
    static let secondFactorCode = Shape.record([Field("code", .text(oneTimeCode), required: true)])
    static let secondFactorRemoval = Shape.record([Field("currentPassword", .text(password), required: true), Field("code", .text(oneTimeCode), required: true)])

    static let empty = Shape.record([])
    static let newAccount = Shape.record([
        Field("email", .text(.email), required: true), Field("displayName", .text(.name(1...100))), Field("isAdmin", .boolean),
    ])
    static let newUser = Shape.record([
        Field("email", .text(.email), required: true), Field("displayName", .text(.name(1...100))),
        Field("plan", .choice(Plan.allCases.map(\.rawValue))), Field("isAdmin", .boolean),
    ])
    static let plan = Shape.record([Field("plan", .choice(Plan.allCases.map(\.rawValue)), required: true)])
    static let userStatus = Shape.record([Field("status", .choice(["active", "suspended"]), required: true)])
    static let quotaChanges = Shape.record(
        ["maxBots", "maxGroupsPerBot", "maxTasksPerBot", "maxConcurrentAgents", "maxMonthlyTokens"].map { Field($0, .integer(0...1_000_000_000_000)) }, minimum: 1)

    private static let quota = Shape.record(
        ["maxBots", "maxGroupsPerBot", "maxTasksPerBot", "maxConcurrentAgents", "maxMonthlyTokens"].map { Field($0, .integer(0...1_000_000_000_000), required: true) })
    static let plans = Shape.record(Plan.allCases.map { Field($0.rawValue, quota, required: true) })

    private static func proxyRuleFields(merging: Bool) -> [Field] {
        let prefix = TextRule.grammar("/ and 1 to 64 lower-case letters, digits or -", pattern: "^/[a-z0-9-]{1,64}$") { text in
            text.hasPrefix("/") && (2...65).contains(text.utf8.count)
                && Characters.all(text.dropFirst()) { Characters.isLower($0) || Characters.isDigit($0) || $0 == 0x2d }
        }
        return [
            Field("name", .text(.name(1...100)), required: !merging), Field("prefix", .text(prefix), required: !merging),
            Field("target", .text(.line(1...500)), required: !merging),
            Field("authType", .choice(ProxyRule.Authentication.allCases.map(\.rawValue)), required: !merging),
            Field("headerName", .text(proxyHeader), nullable: merging), Field("value", .text(.secret), required: !merging),
        ]
    }
    private static let proxyHeader = TextRule.grammar("a header name that is not the connection's own", pattern: "^X-[A-Za-z0-9-]{1,60}$") { name in
        let lower = name.lowercased()
        return name.utf8.count <= 100 && name.utf8.allSatisfy { Characters.isWord($0) || "!#$%&'*+.^`|~".utf8.contains($0) }
            && !["host", "content-length", "transfer-encoding", "connection"].contains(lower) && !lower.hasPrefix("proxy-")
    }
    static let newProxyRule = Shape.record(proxyRuleFields(merging: false))
    static let proxyRuleChanges = Shape.record(proxyRuleFields(merging: true), minimum: 1)

    private static let mediaType = TextRule.grammar("type/subtype, at most 127 characters", pattern: "^(text/plain|image/png|application/pdf)$") { text in
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        return text.utf8.count <= 127 && parts.count == 2 && parts.allSatisfy { part in
            !part.isEmpty && part.utf8.allSatisfy { Characters.isWord($0) || "!#$&^.+".utf8.contains($0) }
        }
    }
    /// The limit of a size is a matter of 413, not of 400.
    static let uploadLink = Shape.record([
        Field("key", .text(API.fileKeyRule), required: true), Field("size", .integer(0...1_000_000_000_000), required: true), Field("contentType", .text(mediaType)),
    ])

    private static let headerName = TextRule.grammar("a header name that is not the connection's own", pattern: "^X-[A-Za-z0-9-]{1,60}$") { name in
        let lower = name.lowercased()
        return name.utf8.count <= 100 && name.utf8.allSatisfy { Characters.isWord($0) || "!#$%&'*+.^`|~".utf8.contains($0) }
            && !["host", "content-length", "transfer-encoding", "connection", "authorization", "x-api-key"].contains(lower) && !lower.hasPrefix("proxy-")
    }
    private static func providerFields(merging: Bool) -> [Field] {
        func optional(_ name: String, _ shape: Shape) -> Field { Field(name, shape, nullable: merging) }
        let type = Field("providerType", .choice(["anthropic-compatible-api", "bedrock", "openai-compatible-api", "demo"]), required: true)
        return (merging ? [] : [type]) + [
            Field("providerName", .text(.name(1...100)), required: !merging),
            optional("baseUrl", .text(.line(1...500))),
            optional("region", .text(.grammar("a region name", pattern: "^[a-z0-9-]{1,40}$") { $0.utf8.count <= 40 && Characters.all($0) { Characters.isLower($0) || Characters.isDigit($0) || $0 == 0x2d } })),
            optional("apiKey", .text(.secret)),
            optional("authType", .choice(["api-key", "bearer"])),
            optional("headers", .map(names: headerName, .text(TextRule(bytes: 0...2000, verbatim: true, allowsBlank: true)), count: 0...20)),
            Field("modelIds", .list(.text(.line(1...200)), count: 1...50, unique: true), required: !merging),
            optional("fallbackModelId", .text(.line(1...200))),
            optional("maxConcurrency", .integer(1...10_000)),
            optional("isDefault", .boolean),
        ]
    }
    static let newProvider = Shape.record(providerFields(merging: false))
    static let providerChanges = Shape.record(providerFields(merging: true), minimum: 1)
    static let providerTest = Shape.record([Field("modelId", .text(.line(1...200)))])
}

/// Credentials and settings of a channel, by type (API.md §3.4). A type that is not here cannot be connected yet.
enum ChannelShapes {
    typealias Field = Shape.Field

    static func credentials(_ type: ChannelType) -> Shape? {
        switch type {
        case .telegram:
            .record([Field("botToken", .text(.grammar("a bot token as BotFather gives it (123456:ABC…)") { text in
                let parts = text.split(separator: ":", omittingEmptySubsequences: false)
                return parts.count == 2 && (5...15).contains(parts[0].utf8.count) && Characters.all(parts[0], Characters.isDigit)
                    && (30...60).contains(parts[1].utf8.count) && Characters.all(parts[1], Characters.isWord)
            }), required: true)])
        case .web: .record([])
        default: nil
        }
    }

    static func config(_ type: ChannelType) -> Shape? {
        let common = [
            Field("storeContext", .boolean, nullable: true), Field("sessionPerThread", .boolean, nullable: true),
            Field("streaming", .choice(["off", "final-edit"]), nullable: true),
        ]
        switch type {
        case .telegram:
            return .record(common + [Field("connectionMode", .choice(["webhook", "polling"]), nullable: true), Field("rich", .boolean, nullable: true)])
        case .web: return .record(common)
        default: return nil
        }
    }
}
