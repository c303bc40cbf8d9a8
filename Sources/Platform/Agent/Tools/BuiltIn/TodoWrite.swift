import Platform
import Synchronization

/// The plan of a session: what is to do, being done, and done.
public final class TodoList: Sendable {
    public struct Item: Sendable, Hashable {
        public enum Status: String, Sendable, CaseIterable { case pending, inProgress = "in_progress", completed }
        public var content: String
        public var status: Status
        /// How it is said while it is being done: "Reading the report".
        public var activeForm: String
    }
    private let state = Mutex<[Item]>([])
    public init() {}
    public var items: [Item] {
        get { state.withLock { $0 } }
        set { state.withLock { $0 = newValue } }
    }
}

/// Replaces the plan.
struct TodoWriteTool: AgentTool {
    let name = "TodoWrite"
    let isReadOnly = false
    let description = """
        Keeps a list of tasks for work of several steps. Give the whole list each time.
        Mark exactly one task in_progress before you begin it, and completed as soon as it is done.
        """
    let inputSchema = Schema.object(
        [
            "todos": .object([
                "type": "array",
                "description": "The whole list",
                "items": Schema.object(
                    [
                        "content": Schema.string("The task: Run the tests"),
                        "status": Schema.choice(TodoList.Item.Status.allCases.map(\.rawValue), "How far it is"),
                        "activeForm": Schema.string("The task while it is done: Running the tests"),
                    ], required: ["content", "status", "activeForm"]),
            ])
        ], required: ["todos"])

    private static let maxItems = 200

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let list = try ToolInput(input).list("todos")
        guard list.count <= Self.maxItems else { throw ToolError("At most \(Self.maxItems) tasks fit into the list.") }
        var items: [TodoList.Item] = []
        for value in list {
            let fields = try ToolInput(value)
            let content = try fields.text("content")
            guard !content.isEmpty, content.count <= 1000 else { throw ToolError("A task's `content` must have 1 to 1000 characters.") }
            guard let status = try fields.choice("status", TodoList.Item.Status.self) else { throw ToolError("The parameter `status` is missing.") }
            items.append(.init(content: content, status: status, activeForm: try fields.optionalText("activeForm") ?? content))
        }
        context.todos.items = items
        if let current = items.first(where: { $0.status == .inProgress }) { context.progress(current.activeForm) }
        let lines = items.map { item in
            switch item.status {
            case .pending: "[ ] \(item.content)"
            case .inProgress: "[>] \(item.content)"
            case .completed: "[x] \(item.content)"
            }
        }
        return .text(items.isEmpty ? "The list is empty now." : "The list is now:\n" + lines.joined(separator: "\n"))
    }
}
