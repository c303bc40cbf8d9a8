import ControlPlane
import Foundation
import HTTPTypes
import Pace
import Platform
import Testing

@testable import WebAPI

@Suite("Contract", .paced)
struct ContractTests {
    /// API.md §2 and §3, written out; without those of MCP servers and further channels, which come with their features.
    private static let table = """
        GET /api/config
        GET /.well-known/openid-configuration
        GET /auth/.well-known/jwks.json
        POST /auth/login /auth/refresh /auth/logout /auth/change-password /auth/totp /auth/totp/enrol /auth/totp/confirm
        GET /auth/session /auth/totp
        DELETE /auth/totp
        GET /api/me /api/usage /api/providers /api/bots/available-tools
        GET POST /api/bots
        GET PUT PATCH DELETE /api/bots/{botId}
        GET /api/bots/{botId}/denials /api/bots/{botId}/failures
        GET POST /api/bots/{botId}/channels
        GET PUT PATCH DELETE /api/bots/{botId}/channels/{channelType}
        POST /api/bots/{botId}/channels/{channelType}/test
        GET /api/bots/{botId}/groups
        GET PUT PATCH /api/bots/{botId}/groups/{groupJid}
        GET /api/bots/{botId}/groups/{groupJid}/messages /api/bots/{botId}/groups/{groupJid}/messages/{messageId}
        GET POST /api/bots/{botId}/tasks
        GET PUT PATCH DELETE /api/bots/{botId}/tasks/{taskId}
        GET PUT /api/shared-memory /api/bots/{botId}/memory /api/bots/{botId}/groups/{groupJid}/memory
        GET /api/shared-memory/versions /api/bots/{botId}/memory/versions /api/bots/{botId}/groups/{groupJid}/memory/versions
        GET /api/shared-memory/versions/{versionId} /api/bots/{botId}/memory/versions/{versionId} /api/bots/{botId}/groups/{groupJid}/memory/versions/{versionId}
        GET DELETE /api/bots/{botId}/files
        GET /api/bots/{botId}/files/content
        GET PUT /api/bots/{botId}/files/raw
        POST /api/bots/{botId}/files/upload-url
        GET /api/bots/{botId}/files/download-url
        GET PUT /blob/{token}
        GET POST /api/proxy-rules
        PUT PATCH DELETE /api/proxy-rules/{id}
        GET POST /api/admin/users
        GET DELETE /api/admin/users/{userId}
        PUT PATCH /api/admin/users/{userId}/quota
        PUT /api/admin/users/{userId}/plan /api/admin/users/{userId}/status
        POST /api/admin/users/{userId}/reset-password
        GET PUT /api/admin/plans
        GET /api/admin/usage
        GET POST /api/admin/providers
        GET PUT PATCH DELETE /api/admin/providers/{providerId}
        POST /api/admin/providers/{providerId}/test
        GET PUT /api/bots/{botId}/skills
        GET /api/admin/skills
        POST /api/admin/skills/upload /api/admin/skills/git
        GET PUT PATCH DELETE /api/admin/skills/{skillId}
        GET /api/admin/dead-letters
        POST /api/admin/dead-letters/{id}/redrive
        DELETE /api/admin/dead-letters/{id}
        GET /api/admin/audit
        POST /api/bots/{botId}/chat
        GET /api/bots/{botId}/chat/events
        """

    private static var expected: Set<String> {
        Set(table.split(separator: "\n").flatMap { line -> [String] in
            let words = line.split(separator: " ").map(String.init)
            let methods = words.filter { !$0.hasPrefix("/") }
            return words.filter { $0.hasPrefix("/") }.flatMap { path in methods.map { "\($0) \(path)" } }
        })
    }

    /// Prefixes of what other features bring; their own tests hold those.
    private static func isElsewhere(_ path: String) -> Bool {
        ["/webhook/", "/agent/", "/auth/admin/"].contains { path.hasPrefix($0) } || path.contains("mcp-servers")
            || ["/health", "/ready", "/metrics", "/api/openapi.json", "/invocations", "/stop", "/ping"].contains(path)
    }

    @Test("the OpenAPI document tells the routes of API.md, no fewer and no more")
    func routes() async throws {
        let world = try await World()
        let paths = try #require(try await world.send(.get, "/api/openapi.json", as: nil).json["paths"]?.object)
        let told = Set(paths.flatMap { path, operations in (operations.object ?? [:]).keys.map { "\($0.uppercased()) \(path)" } })
        #expect(Self.expected.subtracting(told).isEmpty)
        #expect(told.filter { !Self.isElsewhere(String($0.split(separator: " ")[1])) }.subtracting(Self.expected).isEmpty)
    }

    @Test("every route says what it does and what it answers, and what it takes idempotently it creates or accepts")
    func declarations() async throws {
        let world = try await World()
        for route in world.server.routes.map(\.declaration) + GatewayContract.declarations + AgentRuntimeContract.declarations {
            let place = "\(route.method) \(route.template)"
            #expect(route.summary.count >= 5 && route.summary.hasSuffix("."), "\(place) has no summary")
            #expect(!route.answers.isEmpty && route.answers.contains { (200..<300).contains($0.status) }, "\(place) declares no answer")
            #expect(Set(route.answers.map(\.status)).count == route.answers.count, "\(place) declares a status twice")
            // What somebody else's API answers is passed on as it comes.
            if route.method == .delete, !route.template.hasPrefix("/agent/v1/proxy/") { #expect(route.answers.map(\.status) == [204], "\(place)") }
            if route.idempotent { #expect(route.answers.contains { $0.status == 201 || $0.status == 202 }, "\(place)") }
            if route.answers.contains(where: { $0.status == 201 && $0.headers.contains("Location") }) { #expect(route.method == .post, "\(place)") }
        }
    }

    @Test("what needs a token says 401 without one, whatever else is sent, and administrators' routes 403 to others")
    func access() async throws {
        let world = try await World(limits: [.open: 100_000, .api: 100_000])
        for route in world.server.routes where [.user, .admin].contains(route.declaration.access) {
            let path = RouteTable.segments(of: route.template).map { RouteTable.isPlaceholder($0) ? ULID.make() : $0 }.reduce("") { $0 + "/" + $1 }
            for token in [nil, UserID("nonsense")] {
                let reply = try await world.send(route.method, path, as: token, json: #"{"unknown":1}"#)
                #expect(reply.status == 401 && reply.headers[.wwwAuthenticate] != nil, "\(route.method) \(path)")
            }
            if route.declaration.access == .admin { #expect(try await world.send(route.method, path, as: World.alice, json: #"{"unknown":1}"#).slug == "forbidden") }
        }
    }

    @Test("SEC-30 each JSON route names an unknown field, and each of its fields when it has the wrong type or is too long")
    func SEC_30_fields() async throws {
        let world = try await World(limits: [.api: 100_000, .provider: 100_000, .chat: 100_000, .signIn: 100_000, .open: 100_000])
        let bot = try await world.bot()
        let group = try await world.conversation(bot, messages: 1)
        let task = try await world.api.services.tasks.create(
            TaskDraft(groupJid: group.groupJid, prompt: "x", scheduleType: .interval, scheduleValue: "60000"), .bot(World.alice, bot.botId))
        let provider = try await world.api.services.providers.create(["providerName": "P", "providerType": "demo", "modelIds": .array(["m"])], apiKey: nil, by: .system)
        let rule = try await world.api.services.proxyRules.create(
            World.root, ["name": "n", "prefix": "/p", "target": "https://api.example.com", "authType": "basic"], value: Secret("v"), by: .system)
        _ = try await world.api.services.channels.connect(bot, .telegram, credentials: ["botToken": Secret("x")], config: [:], by: .system)
        let library = try await world.api.services.mcpLibrary.create(["name": "lib", "type": "stdio", "command": "a"], by: .system)
        let custom = try await world.api.services.mcpServers.createCustom(bot, ["name": "own", "type": "stdio", "command": "a"], by: .system)
        let skill = try await world.api.services.skills.add(zip: SampleArchive.skill("pdf"), .init(name: "PDF"), by: .system)
        var tried = 0
        for route in world.server.routes {
            guard case .json(let shape, _) = route.declaration.body, case .record(let fields, let minimum) = shape else { continue }
            let user = route.declaration.access == .admin || route.template.contains("proxy-rules") ? World.root : World.alice
            let ids = [
                "{botId}": bot.botId.rawValue, "{groupJid}": "web%3Amain", "{taskId}": task.taskId.rawValue, "{channelType}": "telegram",
                "{skillId}": skill.skillId.rawValue, "{providerId}": provider.providerId.rawValue, "{userId}": World.bob.rawValue, "{id}": rule.ruleId,
                "{mcpServerId}": (route.declaration.access == .admin ? library.mcpServerId : custom.use.mcpServerId).rawValue,
            ]
            let path = ids.reduce(route.template) { $0.replacingOccurrences(of: $1.key, with: $1.value) }
            if path.contains("dead-letters") { continue }
            func refused(_ body: Document) async throws -> [String] {
                let reply = try await world.send(route.method, path, as: user, json: String(decoding: try JSON.data(.object(body)), as: UTF8.self))
                #expect(reply.slug == "validation-failed", "\(route.method) \(path) \(body.keys) → \(reply.status)")
                return reply.errorFields
            }
            #expect(try await refused(["nonsense": 1]).contains("nonsense"), "\(path)")
            if minimum > 0 { #expect(try await refused([:]) == ["body"], "\(path)") }
            for field in fields {
                let wrong: Value = if case .list = field.shape { "no list" } else { .array([.array([])]) }
                #expect(try await refused([field.name: wrong]).contains { $0.hasPrefix(field.name) }, "\(path) \(field.name)")
                if case .text = field.shape {
                    #expect(try await refused([field.name: .string(String(repeating: "x", count: 110_000))]).contains(field.name), "\(path) \(field.name)")
                }
            }
            tried += 1
        }
        #expect(tried > 25)
        #expect(try await world.send(.get, "/api/bots").items.count == 1)
    }
}
