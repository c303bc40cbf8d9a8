import ControlPlane
import Foundation
import Platform

extension API {
    var bootstrapRoutes: [Route] {
        [
            Route(.get, "/api/config", "What this deployment is and can do.", access: .anyone, answers: [.ok(Schemas.config)]) { _ in .json(configuration, headers: [.cacheControl: "public, max-age=60"]) }
        ]
    }

    private var configuration: Value {
        .object([
            "version": .string(facts.version), "authMode": .string(facts.usesCognito ? "cognito" : "oidc"),
            "issuer": .string(facts.issuer.absoluteString), "region": .string(facts.region),
            "channelTypes": .array(services.channels.types.filter { ChannelShapes.credentials($0) != nil }.map { .string($0.rawValue) }),
            "features": .object([
                "webChat": true, "liveDeltas": .bool(services.live != nil), "scheduler": .bool(facts.hasScheduler), "skills": true, "mcp": true,
                "feishuWebhook": false, "sandboxed": .bool(facts.sandboxed),
            ]),
            "limits": .object([
                "maxFileBytes": .int(FileService.maximumBytes), "maxAttachmentBytes": .int(20 << 20), "maxMemoryBytes": .int(MemoryService.maximumBytes),
                "maxChatChars": 32_000,
            ]),
        ])
    }
}
