import Foundation
import Platform

/// Searches the web. Absent where neither the model's provider nor the platform has a search.
struct WebSearchTool: AgentTool {
    /// Who searches.
    enum Source: Sendable {
        /// The model's provider, in a model call of its own (its server-side tool).
        case provider
        /// The platform's search engine, through the gateway.
        case platform(GatewayClient)
    }
    let source: Source
    let name = "WebSearch"
    let isReadOnly = true
    let description = """
        Searches the web and returns results with titles and URLs. Use it for what is newer than your knowledge or must be exact; read a result \
        with WebFetch. Name the pages you relied on in your answer.
        """
    let inputSchema = Schema.object(
        [
            "query": Schema.string("What to search for"),
            "allowed_domains": .object(["type": "array", "items": .object(["type": "string"]), "description": "Only results from these domains"]),
            "blocked_domains": .object(["type": "array", "items": .object(["type": "string"]), "description": "No results from these domains"]),
        ], required: ["query"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let query = try fields.text("query").trimmingCharacters(in: .whitespacesAndNewlines)
        guard (2...400).contains(query.unicodeScalars.count) else { throw ToolError("`query` must have 2 to 400 characters.") }
        let allowed = try Self.domains("allowed_domains", input), blocked = try Self.domains("blocked_domains", input)
        guard allowed.isEmpty || blocked.isEmpty else { throw ToolError("Give `allowed_domains` or `blocked_domains`, not both.") }
        switch source {
        case .provider:
            guard let model = context.sideModel else { throw ToolError("The web cannot be searched here.") }
            return try await ask(model, query, allowed, blocked)
        case .platform(let gateway): return try await ask(gateway, query, allowed, blocked)
        }
    }

    private static func domains(_ name: String, _ input: Value) throws(ToolError) -> [String] {
        guard let value = input[name], value != .null else { return [] }
        guard let list = value.array, list.count <= 50 else { throw ToolError("`\(name)` must be a list of at most 50 domains.") }
        var domains: [String] = []
        for item in list {
            guard let domain = item.string?.lowercased(), domain.wholeMatch(of: /[a-z0-9.-]{1,253}/) != nil else { throw ToolError("`\(name)` must hold domains such as example.org.") }
            domains.append(domain)
        }
        return domains
    }

    // MARK: The provider's

    private func ask(_ model: SideModel, _ query: String, _ allowed: [String], _ blocked: [String]) async throws -> ToolResult {
        // https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool
        var tool: [String: Value] = ["type": "web_search_20250305", "name": "web_search", "max_uses": 8]
        if !allowed.isEmpty { tool["allowed_domains"] = .array(allowed.map(Value.string)) }
        if !blocked.isEmpty { tool["blocked_domains"] = .array(blocked.map(Value.string)) }
        let answer: ChatMessage
        do {
            answer = try await model.ask("Perform a web search for the query: \(query)\n\nThen say in a few sentences what the results hold, with figures and dates.", [.object(tool)])
        } catch let failure as ModelFailure {
            throw ToolError("The search failed: \(failure.sentence)")
        }
        var links: [String] = []
        var trouble: String?
        for case .other(let block) in answer.content where block["type"] == "web_search_tool_result" {
            for result in block["content"]?.array ?? [] {
                guard let url = result["url"]?.string, !links.contains(where: { $0.hasSuffix(": " + url) }) else { continue }
                let age = result["page_age"]?.string.map { " (\($0))" } ?? ""
                links.append("- \(ToolSummary.oneLine(result["title"]?.string ?? url, most: 300))\(age): \(url)")
            }
            if let code = block["content"]?["error_code"]?.string { trouble = code }
        }
        if links.isEmpty, let trouble { throw ToolError("The search failed: \(trouble).") }
        let text = answer.text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !links.isEmpty || !text.isEmpty else { return .text("Nothing was found for “\(query)”.") }
        return .text("Results for “\(query)”:\n\(links.joined(separator: "\n"))\n\n\(text)".trimmingCharacters(in: .whitespacesAndNewlines))
    }

    // MARK: The platform's

    private func ask(_ gateway: GatewayClient, _ query: String, _ allowed: [String], _ blocked: [String]) async throws -> ToolResult {
        let found = try await platformCall { try await gateway.searchWeb(query, allowed: allowed, blocked: blocked) }
        guard !found.isEmpty else { return .text("Nothing was found for “\(query)”.") }
        let lines = found.map { result in
            let snippet = ToolSummary.oneLine(result["snippet"]?.string ?? "", most: 500)
            return "- \(ToolSummary.oneLine(result["title"]?.string ?? "", most: 300)): \(result["url"]?.string ?? "")" + (snippet.isEmpty ? "" : "\n  \(snippet)")
        }
        return .text("Results for “\(query)”:\n" + lines.joined(separator: "\n"))
    }
}
