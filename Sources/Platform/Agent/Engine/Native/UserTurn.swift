import Foundation
import Platform

/// The message that a run answers: the prompt as the control plane built it, and its attachments as the model can take them.
enum UserTurn {
    /// Larger files are only named. Limits of the Messages API: 5 MB per image, 32 MB per request.
    static let imageLimit = 5 << 20
    static let documentLimit = 10 << 20
    static let inlineTotal = 20 << 20
    private static let imageTypes: Set = ["image/jpeg", "image/png", "image/gif", "image/webp"]

    /// - Parameter attachments: the directory of this conversation's attachments on this machine.
    static func content(_ payload: InvocationPayload, attachments directory: String) -> [ContentBlock] {
        var content: [ContentBlock] = []
        var notes: [String] = []
        var inlined = 0
        let root = ObjectLayout(userId: payload.userId, botId: payload.botId).attachments(payload.groupJid)
        for file in payload.attachments ?? [] {
            let key = file.objectKey.text
            guard key.hasPrefix(root) else {
                notes.append("\(quoted(file.fileName)) (\(file.mimeType)) could not be made available")
                continue
            }
            let path = directory + "/" + key.dropFirst(root.count)
            let block = block(for: file, at: path, room: inlineTotal - inlined)
            if let block {
                content.append(block)
                inlined += file.size
            }
            let exists = FileManager.default.fileExists(atPath: path)
            // The prompt names the files itself, by the path that they have in a sandbox.
            if exists, payload.prompt.contains("/workspace/attachments/" + key.dropFirst(root.count)) { continue }
            let state = block != nil ? "shown here" : exists ? "read it with your tools" : "the file is missing"
            notes.append("\(quoted(file.fileName)) (\(file.mimeType), \(file.size) bytes): \(path), \(state)")
        }
        content.append(.text(payload.prompt))
        if !notes.isEmpty {
            content.append(.text("<attachments>\n" + notes.map { XMLText.escape($0) }.joined(separator: "\n") + "\n</attachments>"))
        }
        return content
    }

    private static func block(for file: InvocationPayload.File, at path: String, room: Int) -> ContentBlock? {
        let type = file.mimeType.lowercased()
        let isImage = imageTypes.contains(type)
        guard isImage || type == "application/pdf" else { return nil }
        let limit = min(room, isImage ? imageLimit : documentLimit)
        // The size on disk counts, not the claimed one.
        guard let size = try? FileManager.default.attributesOfItem(atPath: path)[.size] as? Int, size > 0, size <= limit,
            let data = FileManager.default.contents(atPath: path)
        else { return nil }
        let source = MediaSource.base64(mediaType: type, data: data.base64EncodedString())
        return isImage ? .image(source) : .document(source, title: file.fileName)
    }

    private static func quoted(_ name: String) -> String { "\"" + String(name.unicodeScalars.filter { $0.value >= 0x20 }.prefix(200).map(Character.init)) + "\"" }
}
