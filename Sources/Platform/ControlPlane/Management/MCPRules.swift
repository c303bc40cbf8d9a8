import Foundation
import Platform

/// What holds for every definition of an MCP server beyond the form of its single fields (API.md §3.9).
enum MCPRules {
    private static let reservedNames: Set = ["PATH", "HOME", "SHELL", "TMPDIR", "NODE_OPTIONS"]
    private static let reservedPrefixes = ["LD_", "DYLD_", "AWS_", "ANTHROPIC_", "CLAUDE_", "CLAWBOT_"]

    /// - Parameter egress: what is checked of a URL here is advice, the connection decides (SEC-45).
    static func check(_ definition: MCPDefinition, _ egress: EgressGuard) throws {
        var errors: [FieldProblem] = []
        func wrong(_ field: String, _ message: String) { errors.append(FieldProblem(field, message)) }
        if !MCPToolName.isSlug(definition.slug) { wrong("name", "The name must leave 1 to 64 letters or digits, and may not be clawbot.") }
        if definition.type == .stdio {
            if definition.command == nil { wrong("command", "A stdio server needs a command.") }
            if definition.url != nil { wrong("url", "Only for sse and http.") }
            if definition.headers?.isEmpty == false { wrong("headers", "Only for sse and http.") }
        } else {
            if let url = definition.url { if !isReachable(url, egress) { wrong("url", EgressGuard.Refusal.sentence) } } else { wrong("url", "This type needs a URL.") }
            if definition.command != nil { wrong("command", "Only for stdio.") }
            if definition.args?.isEmpty == false { wrong("args", "Only for stdio.") }
            if definition.npmPackages?.isEmpty == false { wrong("npmPackages", "Only for stdio.") }
        }
        let variables = definition.envVars ?? []
        if Set(variables.map(\.name)).count != variables.count { wrong("envVars", "Has a name twice.") }
        let declared = Set(definition.secretNames)
        for (index, variable) in variables.enumerated() {
            if isReserved(variable.name) { wrong("envVars[\(index)].name", "This name is reserved.") }
            guard let template = variable.template else { continue }
            let names = SecretTemplate.names(in: template)
            if template.contains("${"), names.count != 1 || template != "${secret:\(names[0])}" {
                wrong("envVars[\(index)].template", "Must be a literal, or ${secret:NAME} and nothing else.")
            } else if let name = names.first, !declared.contains(name) {
                wrong("envVars[\(index)].template", "There is no variable of that name that takes a secret.")
            }
        }
        for (name, value) in (definition.headers ?? [:]).sorted(by: { $0.key < $1.key }) {
            if hasOtherTemplate(value) { wrong("headers.\(name)", "Only ${secret:NAME} can be filled in.") }
            if SecretTemplate.names(in: value).contains(where: { !declared.contains($0) }) {
                wrong("headers.\(name)", "There is no variable of that name that takes a secret.")
            }
        }
        if !errors.isEmpty { throw ManagementError.invalid(errors) }
    }

    private static func isReachable(_ text: String, _ egress: EgressGuard) -> Bool {
        guard let url = WebAddress(text) else { return false }
        do { try egress.check(url, for: .mcpServer) } catch { return false }
        return true
    }

    static func isReserved(_ name: String) -> Bool { reservedNames.contains(name) || reservedPrefixes.contains(where: name.hasPrefix) }

    /// `${` that begins no secret.
    private static func hasOtherTemplate(_ text: String) -> Bool {
        let marks = text.components(separatedBy: "${").count - 1
        return marks != SecretTemplate.names(in: text).count
    }

    /// The definition with validated changes merged in: absent = unchanged, null = cleared.
    static func merged(_ fields: Document, into definition: MCPDefinition) throws -> MCPDefinition {
        var document = try DocumentCoder.encode(definition)
        for (name, value) in fields where names.contains(name) { document[name] = value == .null ? nil : value }
        return try DocumentCoder.decode(MCPDefinition.self, from: document)
    }
    private static let names: Set = [
        "name", "description", "version", "type", "command", "args", "npmPackages", "url", "headers", "envVars", "tools",
    ]
    static func new(_ fields: Document) throws -> MCPDefinition {
        guard let name = fields["name"]?.string, let type = fields["type"]?.string.flatMap(MCPDefinition.Kind.init) else {
            throw ManagementError.invalid("type", "A server needs a name and a type.")
        }
        var definition = MCPDefinition(name: name, type: type)
        definition.version = "1.0.0"
        return try merged(fields, into: definition)
    }
}
