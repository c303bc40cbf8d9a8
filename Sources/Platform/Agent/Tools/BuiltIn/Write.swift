import Foundation
import Platform

/// Makes a file or replaces its whole content.
struct WriteTool: AgentTool {
    let name = "Write"
    let isReadOnly = false
    let description = """
        Writes a file, replacing what is there; directories on the way are made.
        - A file that exists must have been read with Read first, and not have changed since.
        - Prefer Edit for changes to files that exist.
        """
    let inputSchema = Schema.object(
        [
            "file_path": Schema.string("The path of the file, absolute or relative to the working directory"),
            "content": Schema.string("The whole content"),
        ], required: ["file_path", "content"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let input = try ToolInput(input)
        let path = try context.resolve(try input.text("file_path"))
        let bytes = Array(try input.text("content").utf8)
        let files = context.files
        return try await blocking { _ in
            let present = try files.checkSeen(path)
            let folder = (path as NSString).deletingLastPathComponent
            if present == nil, FileAccess.status(folder) == nil {
                do {
                    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                } catch {
                    throw ToolError("The directory \(folder) cannot be made: it may be read-only here, or a part of it is a file.")
                }
            }
            try FileAccess.replace(path, with: bytes)
            files.noteRead(path)
            return .text("\(present == nil ? "Made" : "Replaced") \(path) (\(bytes.count) bytes).")
        }
    }
}

extension ReadFileRegistry {
    /// What may not be overwritten unseen.
    /// - Returns: the file as it is; nil when there is none.
    /// - Throws: when it is no plain file, was not read, or has changed since.
    func checkSeen(_ path: String) throws(ToolError) -> FileStatus? {
        guard let real = FileAccess.realPath(path), let status = FileAccess.status(real) else { return nil }
        switch status.kind {
        case .file: break
        case .folder: throw ToolError("\(path) is a directory.")
        default: throw ToolError("\(path) is no plain file but a pipe, socket or device.")
        }
        guard let seen = stamp(real) else { throw ToolError("\(path) has not been read yet. Read it first.") }
        guard seen == status.stamp else { throw ToolError("\(path) has changed since it was read. Read it again.") }
        return status
    }
}
