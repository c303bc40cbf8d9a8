import Foundation
import Platform

/// The OpenAPI 3.1 document of the routes that are served, made from their declarations.
struct OpenAPIDocument: Sendable {
    let data: Data
    let etag: String

    /// - Parameter elsewhere: routes of the same contract that another listener serves (the agent runtime), marked as such.
    init(_ declarations: [RouteDeclaration], elsewhere: [RouteDeclaration] = [], version: String) throws {
        var builder = Builder()
        for declaration in declarations { builder.add(declaration) }
        for declaration in elsewhere { builder.add(declaration, tag: "agent-runtime") }
        data = try JSON.data(builder.document(version: version))
        etag = String(Digest.sha256Hex(data).prefix(24))
    }

    private struct Builder {
        private var paths: [String: Document] = [:]
        private var schemas: [String: Value] = [:]
        private var problems: Set<Int> = []

        mutating func add(_ declaration: RouteDeclaration, tag: String? = nil) {
            var operation: Document = [
                "operationId": .string(Self.operationId(declaration)), "summary": .string(declaration.summary),
                "tags": .array([.string(tag ?? Self.tag(declaration.template))]), "responses": .object(responses(of: declaration)),
            ]
            let parameters = Self.parameters(of: declaration)
            if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
            if let body = Self.body(of: declaration) { operation["requestBody"] = body }
            switch declaration.access {
            case .user, .admin: operation["security"] = .array([["bearer": .array([])]])
            case .grant: operation["security"] = .array([["grant": .array([])]])
            case .anyoneOrUser: operation["security"] = .array([[:], ["bearer": .array([])]])
            case .anyone, .ownProof: operation["security"] = .array([])
            }
            if declaration.access == .admin { operation["description"] = "Needs the role clawbot-admins." }
            paths[Self.path(declaration.template), default: [:]][declaration.method.rawValue.lowercased()] = .object(operation)
        }

        private mutating func responses(of declaration: RouteDeclaration) -> Document {
            var all: Document = [:]
            for outcome in declaration.answers {
                var response: Document = ["description": .string(Self.phrase(outcome.status))]
                switch outcome.content {
                case .none: break
                case .json(let schema): response["content"] = ["application/json": ["schema": schema.json(&schemas)]]
                case .bytes(let type): response["content"] = .object([type: ["schema": ["type": "string"]]])
                }
                let headers = outcome.headers + (declaration.idempotent ? ["Idempotency-Replayed"] : [])
                if !headers.isEmpty {
                    response["headers"] = .object(Dictionary(uniqueKeysWithValues: headers.map { ($0, ["schema": ["type": "string"]]) }))
                }
                all[String(outcome.status)] = .object(response)
            }
            for status in Self.refusals(of: declaration) where all[String(status)] == nil {
                if declaration.refusesAsModel {
                    all[String(status)] = [
                        "description": .string(Self.phrase(status)), "content": ["application/json": ["schema": Schemas.modelError.json(&schemas)]],
                    ]
                    continue
                }
                problems.insert(status)
                all[String(status)] = ["$ref": .string("#/components/responses/problem-\(status)")]
            }
            return all
        }

        /// Statuses of the check order (API.md §1.4) that this declaration can meet, and those it names itself.
        private static func refusals(of declaration: RouteDeclaration) -> [Int] {
            var statuses: Set<Int> = [400, 403, 413, 414, 429, 431, 500, 503]
            switch declaration.access {
            case .user, .admin, .grant: statuses.insert(401)
            case .anyoneOrUser: statuses.insert(401)
            case .anyone, .ownProof: break
            }
            if declaration.template.contains("{") { statuses.insert(404) }
            if case .none = declaration.body {} else { statuses.insert(415) }
            if declaration.idempotent { statuses.formUnion([409, 422]) }
            statuses.formUnion(declaration.problems.map(\.status))
            return statuses.sorted()
        }

        private static func parameters(of declaration: RouteDeclaration) -> [Value] {
            var parameters: [Value] = RouteTable.segments(of: declaration.template).filter(RouteTable.isPlaceholder).map { placeholder in
                let name = name(of: placeholder)
                return ["name": .string(name), "in": "path", "required": true, "schema": pathSchema(name)]
            }
            for parameter in declaration.query.parameters {
                let schema: Value = switch parameter.rule {
                case .choice(let words): ["type": "string", "enum": .array(words.map(Value.string))]
                case .integer(let range): ["type": "integer", "minimum": .int(range.lowerBound), "maximum": .int(range.upperBound)]
                case .text(let rule): rule.json
                }
                parameters.append([
                    "name": .string(parameter.name), "in": "query", "description": .string(parameter.about), "required": .bool(parameter.required), "schema": schema,
                ])
            }
            if declaration.idempotent {
                parameters.append([
                    "name": "Idempotency-Key", "in": "header", "description": "A repeat of the same request with the same key gets the first answer again.",
                    "required": false, "schema": ["type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$"],
                ])
            }
            return parameters
        }

        private static func body(of declaration: RouteDeclaration) -> Value? {
            switch declaration.body {
            case .none: return nil
            case .json(let shape, _):
                if case .record(let fields, _) = shape, fields.isEmpty { return nil }
                // A `{}` may be left out.
                let required: Bool = if case .record(let fields, let minimum) = shape { minimum > 0 || fields.contains(where: \.required) } else { true }
                return ["required": .bool(required), "content": ["application/json": ["schema": shape.json]]]
            case .raw, .stream: return ["required": true, "content": ["application/octet-stream": ["schema": ["type": "string", "format": "binary"]]]]
            }
        }

        func document(version: String) -> Value {
            var schemas = schemas
            schemas["Problem"] = Schemas.problem
            let answers = problems.map { status in
                ("problem-\(status)", [
                    "description": .string(Self.phrase(status)), "content": ["application/problem+json": ["schema": ["$ref": "#/components/schemas/Problem"]]],
                ] as Value)
            }
            return [
                "openapi": "3.1.0",
                "info": [
                    "title": "ClawBot Cloud", "version": .string(version),
                    "description": "Every answer carries X-Request-Id. Errors are problem+json (RFC 9457). GET routes answer HEAD; another method on a known path is 405.",
                    "license": ["name": "MIT", "identifier": "MIT"],
                ],
                "servers": .array([["url": "/"]]),
                "paths": .object(paths.mapValues(Value.object)),
                "components": [
                    "schemas": .object(schemas), "responses": .object(Dictionary(uniqueKeysWithValues: answers)),
                    "securitySchemes": [
                        "bearer": ["type": "http", "scheme": "bearer", "bearerFormat": "JWT"],
                        "grant": ["type": "http", "scheme": "bearer", "description": "The grant of an invocation; only agents have one."],
                    ],
                ],
            ]
        }

        /// `{objectKey…}` spans segments: OpenAPI knows only one, percent-encoded.
        private static func path(_ template: String) -> String { template.replacingOccurrences(of: "…}", with: "}") }
        private static func name(of placeholder: String) -> String { placeholder.dropFirst().dropLast().replacingOccurrences(of: "…", with: "") }

        private static func operationId(_ declaration: RouteDeclaration) -> String {
            let parts = RouteTable.segments(of: declaration.template).filter { !$0.isEmpty }.map { part in
                RouteTable.isPlaceholder(part) ? "by-" + name(of: part) : part
            }
            return ([declaration.method.rawValue.lowercased()] + parts).joined(separator: "-")
        }

        private static func tag(_ template: String) -> String {
            let parts = RouteTable.segments(of: template)
            switch parts.first {
            case "api" where parts.dropFirst().first == "admin": return "administration"
            case "api" where parts.dropFirst().first == "bots": return parts.count > 3 ? parts[3] : "bots"
            case "api": return "account"
            case "auth", ".well-known": return "sign-in"
            case "agent": return "agent-gateway"
            case "webhook": return "webhooks"
            case "blob": return "files"
            default: return "operations"
            }
        }

        private static func pathSchema(_ name: String) -> Value {
            switch name {
            case "channelType", "type": ["type": "string", "enum": .array(ChannelType.allCases.map { .string($0.rawValue) })]
            case "botId", "taskId", "providerId", "versionId": ["type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"]
            case "token": ["type": "string", "minLength": 1, "maxLength": 4096]
            default: ["type": "string", "minLength": 1, "maxLength": 200]
            }
        }

        private static func phrase(_ status: Int) -> String {
            [
                200: "OK", 201: "Created", 202: "Accepted", 204: "Done", 206: "A part of the bytes", 304: "Not modified", 400: "Bad request", 401: "Not signed in",
                403: "Forbidden", 404: "Not found", 409: "Conflict", 412: "Precondition failed", 413: "Too large", 414: "URL too long", 415: "Unsupported media type",
                416: "Range not satisfiable", 422: "Not acceptable", 429: "Too many requests", 431: "Headers too large", 500: "Internal error", 502: "Upstream failed",
                503: "Unavailable", 504: "Upstream timed out",
            ][status] ?? "Answer \(status)"
        }
    }
}
