import Foundation
import Platform

/// What a server answers, as the model may see it: bounded, and without what it cannot take.
enum MCPContent {
    private static let imageTypes: Set = ["image/png", "image/jpeg", "image/gif", "image/webp"]

    /// The result of `tools/call` (https://modelcontextprotocol.io/specification/2025-11-25/server/tools).
    static func result(_ answer: Value, _ limits: MCPLimits, imageBytes: Int) -> ToolResult {
        guard answer["resultType"]?.string ?? "complete" == "complete" else {
            return .error("The server asked for more input, which is not supported here.")
        }
        guard answer["content"]?.array != nil || answer["structuredContent"] != nil else { return .error("The server's answer holds no content.") }
        var parts: [ToolResult.Part] = []
        var room = limits.resultBytes, images = 0, imageRoom = limits.resultImageBytes, leftOut = 0
        func add(_ text: String) {
            guard room > 0 else { leftOut += 1; return }
            let cut = Self.text(text, most: room)
            room -= cut.utf8.count
            if !cut.isEmpty { parts.append(.text(cut)) }
        }
        func addImage(_ type: String, _ data: String?) {
            guard images < limits.resultImages, imageTypes.contains(type), let bytes = data.flatMap({ Data(base64Encoded: $0) }), !bytes.isEmpty,
                bytes.count <= min(imageBytes, imageRoom)
            else { return add("(an image of type \(ToolSummary.oneLine(type, most: 60)) that cannot be shown)") }
            images += 1
            imageRoom -= bytes.count
            parts.append(.image(mediaType: type, data: bytes))
        }
        for block in answer["content"]?.array ?? [] {
            switch block["type"]?.string {
            case "text": add(block["text"]?.string ?? "")
            case "image": addImage(block["mimeType"]?.string ?? "", block["data"]?.string)
            case "audio": add("(audio of type \(ToolSummary.oneLine(block["mimeType"]?.string ?? "unknown", most: 60)), which cannot be heard here)")
            case "resource":
                let resource = block["resource"], uri = ToolSummary.oneLine(resource?["uri"]?.string ?? "", most: 500)
                let type = resource?["mimeType"]?.string ?? ""
                if let text = resource?["text"]?.string { add("Resource \(uri):\n\(text)") }
                else if imageTypes.contains(type) { addImage(type, resource?["blob"]?.string) }
                else { add("(resource \(uri) of type \(ToolSummary.oneLine(type, most: 60)), which cannot be shown)") }
            case "resource_link":
                let words = ["name", "uri", "description"].compactMap { block[$0]?.string }.map { ToolSummary.oneLine($0, most: 500) }
                add("Link: " + words.joined(separator: ", "))
            default: leftOut += 1
            }
        }
        // Servers should say the same in words too; where one does not, the data are the answer.
        if !parts.contains(where: { if case .text = $0 { true } else { false } }), let data = answer["structuredContent"], data != .null {
            add((try? JSON.text(data)) ?? "")
        }
        if leftOut > 0 { parts.append(.text("(\(leftOut) further parts of the answer were left out.)")) }
        if parts.isEmpty { parts = [.text("(no content)")] }
        return ToolResult(content: parts, isError: answer["isError"]?.bool ?? false)
    }

    /// Cut at a character, with a note; control characters but newline and tab left out.
    static func text(_ text: String, most: Int) -> String {
        let clean = text.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" && $0 != "\t" || $0.value == 0x7f }
            ? String(String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f || $0 == "\n" || $0 == "\t" })) : text
        guard clean.utf8.count > most else { return clean }
        var end = clean.utf8.index(clean.startIndex, offsetBy: most)
        while end > clean.startIndex, clean.utf8[end] & 0xC0 == 0x80 { end = clean.utf8.index(before: end) }
        return String(clean[..<end]) + "… (cut, \(clean.utf8.count) bytes)"
    }
}
