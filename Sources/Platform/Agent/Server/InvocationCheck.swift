import Foundation
import Platform

/// Reads and checks the body of `POST /invocations` (table in API.md §6.1): what is wrong here starts nothing.
enum InvocationCheck {
    struct Invalid: Error { var field: String; var message: String }

    /// The payload, and the grant as it presents itself (only the gateway can check its signature).
    static func read(_ body: Data) throws(Invalid) -> (InvocationPayload, Grant) {
        let payload: InvocationPayload
        do {
            payload = try JSON.decode(InvocationPayload.self, from: body)
        } catch let error as DecodingError {
            throw invalid(error)
        } catch {
            throw Invalid(field: "", message: "The body is not a valid invocation.")
        }
        try check(payload)
        return (payload, try grant(in: payload))
    }

    private static func invalid(_ error: DecodingError) -> Invalid {
        func path(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            (context.codingPath + (last.map { [$0] } ?? [])).map(\.stringValue).joined(separator: ".")
        }
        return switch error {
        case .keyNotFound(let key, let context): Invalid(field: path(context, key), message: "This field is missing.")
        case .typeMismatch(_, let context), .valueNotFound(_, let context): Invalid(field: path(context), message: "This field has the wrong type.")
        case .dataCorrupted(let context) where !context.codingPath.isEmpty: Invalid(field: path(context), message: "This value is not allowed.")
        default: Invalid(field: "", message: "The body is not valid JSON.")
        }
    }

    private static func check(_ payload: InvocationPayload) throws(Invalid) {
        func require(_ condition: Bool, _ field: String, _ message: String = "This value is not allowed.") throws(Invalid) {
            guard condition else { throw Invalid(field: field, message: message) }
        }
        try require(ULID.isWellFormed(payload.invocationId.rawValue), "invocationId")
        try require(ULID.isWellFormed(payload.botId.rawValue), "botId")
        try require((1...64).contains(payload.userId.rawValue.utf8.count) && !payload.userId.rawValue.contains("/"), "userId")
        try require(payload.groupJid.isWellFormed, "groupJid")
        try require((1...100).contains(payload.botName.unicodeScalars.count), "botName")
        try require(!payload.prompt.isEmpty && payload.prompt.unicodeScalars.count <= 200_000, "prompt", "1 to 200 000 characters.")
        try require((payload.systemPrompt?.unicodeScalars.count ?? 0) <= 10_000, "systemPrompt", "At most 10 000 characters.")
        try require((1...200).contains(payload.model.unicodeScalars.count), "model")
        try require(GatewayAddress(payload.gatewayUrl) != nil, "gatewayUrl", "An https URL, or unix: and a socket path.")
        try require((1...100).contains(payload.timezone.utf8.count), "timezone")
        try require((1...10_000).contains(payload.maxTurns), "maxTurns")
        let layout = ObjectLayout(userId: payload.userId, botId: payload.botId)
        try require(isPrefix(payload.sessionPath, under: layout.botRoot + "sessions/"), "sessionPath")
        try require(isPrefix(payload.memoryPaths.sharedClaude, under: layout.sharedRoot), "memoryPaths.sharedClaude")
        try require(isPrefix(payload.memoryPaths.botClaude, under: layout.botRoot), "memoryPaths.botClaude")
        try require(isPrefix(payload.memoryPaths.groupPrefix, under: layout.botRoot), "memoryPaths.groupPrefix")
        try require(isPrefix(payload.memoryPaths.learnings, under: layout.botRoot), "memoryPaths.learnings")
        let files = payload.attachments ?? []
        try require(files.count <= 10, "attachments", "At most 10.")
        for (index, file) in files.enumerated() {
            try require(file.objectKey.text.hasPrefix(layout.botRoot), "attachments[\(index)].objectKey")
            try require(file.size >= 0 && !file.fileName.isEmpty, "attachments[\(index)]")
        }
        try check(payload.mcpConfigs ?? [])
        let prefixes = payload.proxyPrefixes ?? []
        try require(prefixes.count <= 100 && prefixes.allSatisfy { $0.hasPrefix("/") && (2...65).contains($0.utf8.count) }, "proxyPrefixes")
        try require((payload.resumeSessionId?.utf8.count ?? 0) <= 128, "resumeSessionId")
        try require(payload.forceNewSession != true || payload.resumeSessionId == nil, "forceNewSession", "Not together with resumeSessionId.")
    }

    private static func check(_ servers: [MCPConfig]) throws(Invalid) {
        func require(_ condition: Bool, _ field: String) throws(Invalid) {
            guard condition else { throw Invalid(field: "mcpConfigs" + field, message: "This value is not allowed.") }
        }
        try require(servers.count <= MCPServers.most, "")
        try require(Set(servers.map(\.name)).count == servers.count && Set(servers.map(\.mcpServerId)).count == servers.count, "")
        for (index, server) in servers.enumerated() {
            try require(MCPToolName.isSlug(server.name), "[\(index)].name")
            try require((1...64).contains(server.mcpServerId.rawValue.utf8.count), "[\(index)].mcpServerId")
            let texts = (server.args ?? []) + (server.npmPackages ?? []) + (server.envVars ?? [:]).flatMap { [$0.key, $0.value] } + [server.command ?? ""]
            try require(texts.allSatisfy { !$0.utf8.contains(0) && $0.utf8.count <= 8192 }, "[\(index)]")
            try require((server.envVars ?? [:]).keys.allSatisfy { !$0.isEmpty && !$0.contains("=") }, "[\(index)].envVars")
            try require((server.npmPackages ?? []).allSatisfy { !$0.hasPrefix("-") }, "[\(index)].npmPackages")
            try require(server.type != .stdio || server.command != nil || server.unavailable != nil, "[\(index)].command")
        }
    }

    /// A relative, clean path that begins with `root`; a trailing slash is allowed.
    private static func isPrefix(_ text: String, under root: String) -> Bool {
        let bare = text.hasSuffix("/") ? String(text.dropLast()) : text
        return text.hasPrefix(root) && ObjectKey.isWellFormed(bare)
    }

    private static func grant(in payload: InvocationPayload) throws(Invalid) -> Grant {
        let parts = payload.grant.split(separator: ".", omittingEmptySubsequences: false)
        guard payload.grant.utf8.count <= 2048, parts.count == 3, parts[0] == "v1", let data = Digest.fromBase64URL(parts[1]),
            let grant = try? JSON.decode(Grant.self, from: data)
        else { throw Invalid(field: "grant", message: "This is not a grant.") }
        return grant
    }
}
