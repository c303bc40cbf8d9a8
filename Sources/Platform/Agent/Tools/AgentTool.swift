import Foundation
import Platform

/// Something that the model can ask for.
///
/// A tool is one file: its name and schema as models know them, its description, its run. What goes wrong in the ordinary
/// way (no such file, a command that failed) is a result with `isError`, whose sentence the model reads and acts on.
public protocol AgentTool: Sendable {
    var name: String { get }
    var description: String { get }
    /// JSON schema of the input, an object.
    var inputSchema: Value { get }
    /// Changes nothing: may run at the same time as other read-only tools.
    var isReadOnly: Bool { get }
    /// May run at the same time as others of its kind; what only reads may, unless a tool says otherwise.
    var runsBesideOthers: Bool { get }
    /// Other names that models know it by; not offered, but understood.
    var aliases: [String] { get }
    /// - Throws: ``ToolError`` for the model, `CancellationError` when the run is stopped. Callers use ``outcome(of:in:)``.
    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult
}

/// What a tool gives back to the model.
public struct ToolResult: Sendable, Hashable {
    public enum Part: Sendable, Hashable {
        case text(String)
        case image(mediaType: String, data: Data)
        /// A PDF, for models that take them.
        case document(mediaType: String, data: Data, title: String?)
    }
    public var content: [Part]
    public var isError: Bool
    public init(content: [Part], isError: Bool = false) { self.content = content; self.isError = isError }

    public static func text(_ text: String) -> ToolResult { ToolResult(content: [.text(text)]) }
    public static func error(_ sentence: String) -> ToolResult { ToolResult(content: [.text(sentence)], isError: true) }

    /// The text parts, joined by newlines.
    public var text: String { content.compactMap { if case .text(let text) = $0 { text } else { nil } }.joined(separator: "\n") }

    /// The result as the answer to a call.
    public func block(for use: ToolUse) -> ToolResultContent {
        let blocks = content.map { part -> ContentBlock in
            switch part {
            case .text(let text): .text(text)
            case .image(let mediaType, let data): .image(.base64(mediaType: mediaType, data: data.base64EncodedString()))
            case .document(let mediaType, let data, let title): .document(.base64(mediaType: mediaType, data: data.base64EncodedString()), title: title)
            }
        }
        return ToolResultContent(toolUseID: use.id, content: blocks, isError: isError)
    }
}

/// Why a tool could not do its work, as a sentence for the model.
public struct ToolError: Error, Sendable, Hashable, CustomStringConvertible {
    public let sentence: String
    public init(_ sentence: String) { self.sentence = sentence }
    public var description: String { sentence }
}

extension AgentTool {
    public var runsBesideOthers: Bool { isReadOnly }
    public var aliases: [String] { [] }

    /// Runs the tool; every failure but a cancellation becomes a result.
    public func outcome(of input: Value, in context: ToolContext) async throws(CancellationError) -> ToolResult {
        do {
            return try await run(input, in: context)
        } catch let error as ToolError {
            return .error(error.sentence)
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            if Task.isCancelled { throw CancellationError() }
            return .error("The tool \(name) failed for a reason of its own. Try another way.")
        }
    }
}

/// The tools that every agent has (AGENT.md §3), in a fixed order: the prompt cache holds only while it does.
public enum BuiltInTools {
    public static let all: [any AgentTool] = [
        BashTool(), BashOutputTool(), KillShellTool(), ReadTool(), WriteTool(), EditTool(), NotebookEditTool(), GlobTool(), GrepTool(), WebFetchTool(),
        TodoWriteTool(),
    ]
}
