import ControlPlane
import Foundation
import Platform

/// `McpDef` of API.md §3.9, and what goes with it.
enum MCPShapes {
    typealias Field = Shape.Field

    private static let command = TextRule.grammar("1 to 200 letters, digits, ., _, / or -", pattern: "^[A-Za-z0-9._/-]{1,200}$") { text in
        (1...200).contains(text.utf8.count) && Characters.all(text) { Characters.isWord($0) || $0 == 0x2e || $0 == 0x2f }
    }
    private static let argument = TextRule(scalars: 0...1000, multiline: true, verbatim: true, allowsBlank: true)
    static let package = TextRule.grammar("an npm package, such as @scope/name@1.2.3", pattern: "^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*(@[A-Za-z0-9.^~*+-]{1,40})?$") { text in
        guard text.utf8.count <= 214 else { return false }
        var rest = text[...]
        func isName(_ part: Substring) -> Bool {
            guard let first = part.utf8.first, Characters.isLower(first) || Characters.isDigit(first) else { return false }
            return Characters.all(part) { Characters.isLower($0) || Characters.isDigit($0) || $0 == 0x2e || $0 == 0x5f || $0 == 0x2d }
        }
        if rest.hasPrefix("@") {
            guard let slash = rest.firstIndex(of: "/"), isName(rest[rest.index(after: rest.startIndex)..<slash]) else { return false }
            rest = rest[rest.index(after: slash)...]
        }
        guard let at = rest.firstIndex(of: "@") else { return isName(rest) }
        let version = rest[rest.index(after: at)...]
        return isName(rest[..<at]) && (1...40).contains(version.utf8.count)
            && Characters.all(version) { Characters.isDigit($0) || Characters.isLetter($0) || ".^~*+-".utf8.contains($0) }
    }
    private static let header = TextRule.grammar("a header name that is not the connection's own", pattern: "^X-[A-Za-z0-9-]{1,60}$") { name in
        let lower = name.lowercased()
        return name.utf8.count <= 100 && name.utf8.allSatisfy { Characters.isWord($0) || "!#$%&'*+.^`|~".utf8.contains($0) }
            && !["host", "content-length", "transfer-encoding", "connection", "accept", "content-type", "last-event-id"].contains(lower)
            && !lower.hasPrefix("proxy-") && !lower.hasPrefix("mcp-")
    }
    private static let variable = TextRule.grammar("upper-case letters, digits and _, beginning with a letter", pattern: "^[A-Z][A-Z0-9_]{0,63}$") { name in
        guard (1...64).contains(name.utf8.count), let first = name.utf8.first, (0x41...0x5a).contains(first) else { return false }
        return Characters.all(name) { (0x41...0x5a).contains($0) || Characters.isDigit($0) || $0 == 0x5f }
    }

    private static func fields(merging: Bool) -> [Field] {
        func optional(_ name: String, _ shape: Shape) -> Field { Field(name, shape, nullable: merging) }
        return [
            Field("name", .text(.name(1...100)), required: !merging),
            optional("description", .text(.prose(0...500))), optional("version", .text(.line(1...50))),
            Field("type", .choice(MCPDefinition.Kind.allCases.map(\.rawValue)), required: !merging),
            optional("command", .text(command)),
            optional("args", .list(.text(argument), count: 0...50)),
            optional("npmPackages", .list(.text(package), count: 0...10)),
            optional("url", .text(.line(1...500))),
            optional("headers", .map(names: header, .text(TextRule(bytes: 0...2000, verbatim: true, allowsBlank: true)), count: 0...20)),
            optional("envVars", .list(.record([
                Field("name", .text(variable), required: true), Field("description", .text(.prose(0...500))), Field("required", .boolean),
                Field("template", .text(TextRule(scalars: 0...1000, verbatim: true, allowsBlank: true))),
            ]), count: 0...30)),
            optional("tools", .list(.record([Field("name", .text(.line(1...100)), required: true), Field("description", .text(.prose(0...500)))]), count: 0...100)),
        ]
    }
    static let library = Shape.record(fields(merging: false))
    static let libraryChanges = Shape.record(
        fields(merging: true) + [Field("status", .choice(MCPServer.Status.allCases.map(\.rawValue)))], minimum: 1)
    static let custom = Shape.record(fields(merging: false) + [Field("enabled", .boolean)])
    static let customChanges = Shape.record(fields(merging: true) + [Field("enabled", .boolean)], minimum: 1)
    static let selection = Shape.record([Field("mcpServers", .list(.text(.line(1...64)), count: 0...BotMCPServers.most, unique: true), required: true)])
    /// Which names it has is the server's affair: `null` removes one.
    static let secrets = Shape.record(
        [Field("secrets", .anyObject), Field("agentVisible", .list(.text(.line(1...64)), count: 0...30, unique: true))], minimum: 1)
}

extension Schemas {
    private static let mcpVariable: Schema = .object([("name", .text)], optional: [("description", .text), ("required", .boolean), ("template", .text)])
    private static let mcpTool: Schema = .object([("name", .text)], optional: [("description", .text)])
    private static let mcpCommon: [(String, Schema)] = [
        ("mcpServerId", .text), ("slug", .text), ("name", .text), ("type", .choice(MCPDefinition.Kind.allCases.map(\.rawValue))), ("tools", .list(mcpTool)),
        ("envVars", .list(mcpVariable)),
    ]
    private static let mcpTarget: [(String, Schema)] = [
        ("command", .text), ("args", .list(.text)), ("npmPackages", .list(.text)), ("url", .text), ("headers", .map(.text)), ("description", .text), ("version", .text),
    ]
    static let mcpServer = Schema.named("McpServer", .object(
        mcpCommon + [("status", .choice(MCPServer.Status.allCases.map(\.rawValue))), ("createdAt", .time), ("updatedAt", .time), ("createdBy", .text)],
        optional: mcpTarget))
    static let botMCPServer = Schema.named("BotMcpServer", .object(
        mcpCommon + [
            ("source", .choice(["platform", "custom"])), ("enabled", .boolean), ("configuredSecrets", .list(.text)), ("missingSecrets", .list(.text)),
            ("agentVisible", .list(.text)),
        ], optional: mcpTarget + [("lastFailure", .object([("reason", .text), ("at", .time)]))]))
    static let mcpSelection = Schema.object([("mcpServers", .list(.text))])
    static let mcpSecrets = Schema.object([("configuredSecrets", .list(.text)), ("missingSecrets", .list(.text)), ("agentVisible", .list(.text))])
}

extension Views {
    private static func common(_ id: MCPServerID, _ definition: MCPDefinition) throws -> [String: Value?] {
        [
            "mcpServerId": .string(id.rawValue), "slug": .string(definition.slug), "name": .string(definition.name),
            "description": definition.description.map(Value.string), "version": definition.version.map(Value.string),
            "type": .string(definition.type.rawValue), "tools": try Value(encoding: definition.tools ?? []), "envVars": try Value(encoding: definition.envVars ?? []),
        ]
    }
    private static func target(_ definition: MCPDefinition) -> [String: Value?] {
        [
            "command": definition.command.map(Value.string), "args": definition.args.map { .array($0.map(Value.string)) },
            "npmPackages": definition.npmPackages.map { .array($0.map(Value.string)) }, "url": definition.url.map(Value.string),
            "headers": definition.headers.map { .object($0.mapValues(Value.string)) },
        ]
    }

    static func mcpServer(_ server: MCPServer) throws -> Value {
        var fields = try common(server.mcpServerId, server.definition).merging(target(server.definition)) { $1 }
        fields["status"] = .string(server.status.rawValue)
        fields["createdAt"] = .time(server.createdAt)
        fields["updatedAt"] = .time(server.updatedAt)
        fields["createdBy"] = .string(server.createdBy.rawValue)
        return .fields(fields)
    }

    /// How a server of the library is reached is the platform's affair and not shown.
    static func botMCPServer(_ view: BotMCPServers.View) throws -> Value {
        var fields = try common(view.use.mcpServerId, view.definition)
        if view.isCustom { fields.merge(target(view.definition)) { $1 } }
        fields["source"] = .string(view.isCustom ? "custom" : "platform")
        fields["enabled"] = .bool(view.use.enabled)
        fields["lastFailure"] = view.use.lastFailure.map { .object(["reason": .string($0.reason), "at": .time($0.at)]) }
        fields.merge(mcpSecretFields(view)) { $1 }
        return .fields(fields)
    }
    static func mcpSecrets(_ view: BotMCPServers.View) -> Value { .fields(mcpSecretFields(view)) }

    private static func mcpSecretFields(_ view: BotMCPServers.View) -> [String: Value?] {
        [
            "configuredSecrets": .array(view.use.configuredSecrets.map(Value.string)), "missingSecrets": .array(view.missingSecrets.map(Value.string)),
            "agentVisible": .array(view.use.agentVisible.map(Value.string)),
        ]
    }
}
