import Foundation
import Logging
import Platform

/// Runs the tool calls of one turn: neighbours that may run beside others do so, everything else in order; results keep the order of the
/// calls and are bounded, one by one and together.
struct ToolExecutor: Sendable {
    static let mostAtOnce = 8

    private let tools: [String: any AgentTool]
    private let whitelist: ToolWhitelist
    private let context: ToolContext
    private let logger: Logger

    init(tools: [any AgentTool], whitelist: ToolWhitelist, context: ToolContext, logger: Logger) {
        self.tools = Dictionary(tools.map { ($0.name, $0) } + tools.flatMap { tool in tool.aliases.map { ($0, tool) } }, uniquingKeysWith: { first, _ in first })
        self.whitelist = whitelist; self.context = context; self.logger = logger
    }

    /// One result per call, also when the task is cancelled meanwhile: what did not run says so.
    /// - Parameter broken: calls whose arguments were no JSON object.
    func run(_ calls: [ToolUse], broken: Set<String>, emit: @escaping @Sendable (EngineEvent) -> Void) async -> [ToolResultContent] {
        var results: [ToolResultContent] = []
        var index = 0
        while index < calls.count {
            var end = index
            while end < calls.count, end - index < Self.mostAtOnce, runsBesideOthers(calls[end]) { end += 1 }
            if end > index + 1 {
                results += await together(Array(calls[index..<end]), broken: broken, emit: emit)
                index = end
            } else {
                results.append(await one(calls[index], isBroken: broken.contains(calls[index].id), emit: emit))
                index += 1
            }
        }
        return await ResultBounds(limits: context.limits).applied(to: results)
    }

    private func runsBesideOthers(_ call: ToolUse) -> Bool { tools[call.name]?.runsBesideOthers ?? false }

    private func together(_ calls: [ToolUse], broken: Set<String>, emit: @escaping @Sendable (EngineEvent) -> Void) async -> [ToolResultContent] {
        await withTaskGroup(of: (Int, ToolResultContent).self) { group in
            for (index, call) in calls.enumerated() {
                group.addTask { (index, await one(call, isBroken: broken.contains(call.id), emit: emit)) }
            }
            var results = [ToolResultContent?](repeating: nil, count: calls.count)
            for await (index, result) in group { results[index] = result }
            return results.compactMap { $0 }
        }
    }

    private func one(_ call: ToolUse, isBroken: Bool, emit: @Sendable (EngineEvent) -> Void) async -> ToolResultContent {
        guard !Task.isCancelled else { return .error(call.id, "Not run: the work on this message was stopped.") }
        // The gateway refuses too (SEC-87); here the model is only told why, and nothing runs in doubt.
        guard whitelist.allows(tool: call.name) else {
            emit(.toolDenied(id: call.id, name: Self.shown(call.name)))
            logger.notice("tool denied", metadata: ["tool": "\(Self.shown(call.name))"])
            return .error(call.id, "The tool \(call.name) is not allowed for this bot.")
        }
        guard let tool = tools[call.name] else { return .error(call.id, "There is no tool \(Self.shown(call.name)).") }
        guard !isBroken else { return .error(call.id, "The arguments were not a complete JSON object. Call the tool again.") }
        emit(.toolStart(id: call.id, name: call.name, summary: ToolSummary.text(call)))
        let started = ContinuousClock.now
        let result = await result(of: call, tool)
        emit(.toolEnd(id: call.id, name: call.name, isError: result.isError, duration: ContinuousClock.now - started))
        return result
    }

    private func result(of call: ToolUse, _ tool: any AgentTool) async -> ToolResultContent {
        do {
            return try await tool.outcome(of: call.input, in: context).block(for: call)
        } catch {
            return .error(call.id, "Stopped before it was done.")
        }
    }

    /// Names come from the model: bounded, one line.
    private static func shown(_ name: String) -> String { ToolSummary.oneLine(name, most: 100) }
}

/// What a watching person may read about a call: a description or a file's name, never contents or output.
enum ToolSummary {
    static let limit = 200

    static func text(_ call: ToolUse) -> String? {
        func field(_ name: String) -> String? { call.input[name]?.string.map { oneLine($0, most: limit) } }
        let file = field("file_path") ?? field("notebook_path") ?? field("path")
        let text: String? =
            switch call.name {
            case "Bash": field("description")
            case "Grep", "Glob": field("pattern").map { oneLine("for \(masked($0))", most: limit) }
            case "TodoWrite": call.input["todos"]?.array.map { "\($0.count) steps" }
            default: file.map { String($0.split(separator: "/").last ?? "") }
            }
        guard let text, !text.isEmpty else { return nil }
        return masked(text)
    }

    static func oneLine(_ text: String, most: Int) -> String {
        let clean = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? " " : Character($0) }
        return clean.count <= most ? String(clean) : String(clean.prefix(most - 1)) + "…"
    }

    /// Long unbroken strings of key characters, and what follows `Bearer`, `token=` and their like.
    static func masked(_ text: String) -> String {
        text.split(separator: " ", omittingEmptySubsequences: false).map { word in
            let lower = word.lowercased()
            if let mark = ["token=", "key=", "secret=", "password=", "passwd="].first(where: lower.contains), let range = lower.range(of: mark) {
                let length = lower.distance(from: lower.startIndex, to: range.upperBound)
                return String(word.prefix(length)) + "‹redacted›"
            }
            let looksRandom = word.utf8.count >= 24 && word.contains(where: \.isNumber) && word.contains(where: \.isLetter)
                && word.utf8.allSatisfy { $0 != UInt8(ascii: "/") && $0 != UInt8(ascii: ".") }
            return looksRandom ? "‹redacted›" : String(word)
        }.joined(separator: " ")
    }
}
