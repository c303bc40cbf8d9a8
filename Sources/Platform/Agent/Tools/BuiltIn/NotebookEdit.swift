import Foundation
import Platform

/// Changes a cell of a Jupyter notebook.
struct NotebookEditTool: AgentTool {
    let name = "NotebookEdit"
    let isReadOnly = false
    let description = """
        Replaces, inserts or deletes one cell of a Jupyter notebook (.ipynb).
        - The notebook must have been read with Read first, which shows the ids of its cells, and not have changed since.
        - `edit_mode` insert puts a new cell after the one with `cell_id`, or at the beginning without one; it needs `cell_type`.
        - A changed code cell loses its outputs.
        """
    private enum Mode: String, CaseIterable { case replace, insert, delete }
    let inputSchema = Schema.object(
        [
            "notebook_path": Schema.string("The path of the notebook, absolute or relative to the working directory"),
            "cell_id": Schema.string("The id of the cell, as Read shows it"),
            "new_source": Schema.string("The cell's new text; not used for delete"),
            "cell_type": Schema.choice(Notebook.Kind.allCases.map(\.rawValue), "The kind of the cell; as it is when not given"),
            "edit_mode": Schema.choice(Mode.allCases.map(\.rawValue), "What to do; replace when not given"),
        ], required: ["notebook_path", "new_source"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let path = try context.resolve(try fields.text("notebook_path"))
        let mode = try fields.choice("edit_mode", Mode.self) ?? .replace
        let kind = try fields.choice("cell_type", Notebook.Kind.self)
        let id = try fields.optionalText("cell_id").flatMap { $0.isEmpty ? nil : $0 }
        let source = mode == .delete ? "" : try fields.text("new_source")
        guard path.hasSuffix(".ipynb") else { throw ToolError("\(path) is no notebook: use Edit for other files.") }
        let files = context.files
        let limit = context.limits.editBytes
        return try await blocking { signal in
            guard try files.checkSeen(path) != nil else { throw ToolError("\(path) does not exist.") }
            var notebook = try Notebook(path, limit: limit)
            let index = try id.map { id in
                guard let index = notebook.index(of: id) else { throw ToolError("There is no cell \(id) in \(path).") }
                return index
            }
            let done: String
            switch mode {
            case .replace:
                guard let index else { throw ToolError("The parameter `cell_id` is missing.") }
                notebook.replace(at: index, source: source, kind: kind)
                done = "Replaced cell \(notebook.id(at: index))"
            case .insert:
                guard let kind else { throw ToolError("The parameter `cell_type` is missing: an inserted cell needs it.") }
                done = "Inserted cell \(notebook.insert(at: index.map { $0 + 1 } ?? 0, source: source, kind: kind))"
            case .delete:
                guard let index else { throw ToolError("The parameter `cell_id` is missing.") }
                done = "Deleted cell \(notebook.id(at: index))"
                notebook.remove(at: index)
            }
            try signal.check()
            try FileAccess.replace(path, with: try notebook.bytes())
            files.noteRead(path)
            return .text("\(done) in \(path), which now has \(notebook.cells.count) cells.")
        }
    }
}
