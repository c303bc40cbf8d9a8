import Foundation
import Platform

/// Sends a file of the workspace into the conversation.
struct SendFileTool: AgentTool {
    /// Largest file that a channel delivers (API.md §6.2).
    static let limit = 25 << 20
    let run: PlatformTools
    let name = PlatformTools.prefix + "send_file"
    let description = """
        Sends a file from the workspace to this conversation: a document, picture, recording, archive. At most 25 MiB. \
        People cannot open paths, so this is the only way to give them a file.
        """
    let inputSchema = Schema.object(
        [
            "file_path": Schema.string("The file, absolute or relative to the working directory."),
            "caption": Schema.string("A line that goes with the file. At most 1000 characters."),
            "file_name": Schema.string("The name under which it is sent; default its own."),
        ], required: ["file_path"])
    let isReadOnly = false

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let path = try input.text("file_path", most: 4096)
        let caption = try input.optionalText("caption", most: 1000)
        let name = Self.safeName(try input.optionalText("file_name", most: 255) ?? String(path.split(separator: "/").last ?? "file"))
        let content = try await read(path, context)
        let messageId = MessageID(ULID.make())
        let layout = ObjectLayout(userId: run.conversation.userId, botId: run.conversation.botId)
        let type = MediaType.of(name)
        // The extension stays readable in the key: some stores derive the type from it.
        let key = try ObjectKey(checking: layout.attachments(run.conversation.groupJid, messageId) + ObjectKey.segment(name))
        try await platformCall {
            try await run.gateway.putObject(key, content, contentType: type)
            var reply = AgentReply(messageId: messageId, kind: .file)
            reply.file = AgentReply.File(objectKey: key, fileName: name, mimeType: type, caption: caption)
            try await run.outbox.post(reply)
        }
        return .text("Sent \(name) (\(content.count) bytes).")
    }

    private func read(_ path: String, _ context: ToolContext) async throws -> Data {
        let (bytes, _) = try FileAccess.contents(context.resolve(path), limit: Self.limit)
        guard !bytes.isEmpty else { throw ToolError("\(path) is empty.") }
        return Data(bytes)
    }

    /// No path, no control characters, never empty.
    static func safeName(_ text: String) -> String {
        let name = String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f && $0 != "/" && $0 != "\\" }.prefix(200)))
            .precomposedStringWithCanonicalMapping
        return name.isEmpty || name == "." || name == ".." ? "file" : name
    }
}

/// Media types by file name, for what agents usually make.
enum MediaType {
    private static let known: [String: String] = [
        "txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "html": "text/html", "json": "application/json", "xml": "application/xml",
        "pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip", "tar": "application/x-tar", "png": "image/png",
        "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "svg": "image/svg+xml", "mp3": "audio/mpeg",
        "ogg": "audio/ogg", "wav": "audio/wav", "m4a": "audio/mp4", "mp4": "video/mp4", "webm": "video/webm", "ics": "text/calendar",
        "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ]
    static func of(_ name: String) -> String {
        guard let dot = name.lastIndex(of: ".") else { return "application/octet-stream" }
        return known[name[name.index(after: dot)...].lowercased()] ?? "application/octet-stream"
    }
}
