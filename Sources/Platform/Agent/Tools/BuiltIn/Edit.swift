import Foundation
import Platform

/// Replaces a text in a file, exactly and where it is the only one.
struct EditTool: AgentTool {
    let name = "Edit"
    let isReadOnly = false
    let description = """
        Replaces `old_string` by `new_string` in a file.
        - The file must have been read with Read first, and not have changed since.
        - `old_string` must be exactly as in the file, white space included, without Read's line numbers.
        - It must be there once: give more lines around it, or set `replace_all`.
        - An empty `old_string` makes a new file.
        """
    let inputSchema = Schema.object(
        [
            "file_path": Schema.string("The path of the file, absolute or relative to the working directory"),
            "old_string": Schema.string("The text to replace"),
            "new_string": Schema.string("The text to put in its place"),
            "replace_all": Schema.flag("Replace every occurrence (false when not given)"),
        ], required: ["file_path", "old_string", "new_string"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let fields = try ToolInput(input)
        let path = try context.resolve(try fields.text("file_path"))
        let old = Array(try fields.text("old_string").utf8)
        let new = Array(try fields.text("new_string").utf8)
        let all = try fields.flag("replace_all") ?? false
        guard old != new else { throw ToolError("`old_string` and `new_string` are the same: nothing to change.") }
        let files = context.files
        let limit = context.limits.editBytes
        if old.isEmpty {
            if let status = FileAccess.status(path), status.stamp.size > 0 || status.kind != .file {
                throw ToolError("`old_string` is empty, but \(path) exists and is not empty.")
            }
            if FileAccess.status(path) != nil { files.noteRead(path) }
            return try await WriteTool().run(
                .object(["file_path": .string(path), "content": .string(String(decoding: new, as: UTF8.self))]), in: context)
        }
        return try await blocking { signal in
            guard try files.checkSeen(path) != nil else { throw ToolError("\(path) does not exist.") }
            let (bytes, _) = try FileAccess.contents(path, limit: limit)
            guard !FileAccess.looksBinary(bytes) else { throw ToolError("\(path) is a binary file.") }
            var (old, new) = (old, new)
            var places = Self.places(of: old, in: bytes)
            if places.isEmpty, bytes.contains(0x0d) {
                // The model sees lines; the file ends them as Windows does.
                (old, new) = (Self.withReturns(old), Self.withReturns(new))
                places = Self.places(of: old, in: bytes)
            }
            guard let first = places.first else { throw ToolError("`old_string` is not in \(path). Read the file again and copy the text exactly.") }
            guard all || places.count == 1 else {
                throw ToolError("`old_string` is in \(path) \(places.count) times. Give more of the text around it, or set `replace_all`.")
            }
            var result: [UInt8] = []
            result.reserveCapacity(bytes.count + places.count * max(0, new.count - old.count))
            var from = 0
            for place in places {
                result += bytes[from..<place]
                result += new
                from = place + old.count
            }
            result += bytes[from...]
            try signal.check()
            try FileAccess.replace(path, with: result)
            files.noteRead(path)
            let times = places.count == 1 ? "" : " (\(places.count) places)"
            return .text("Changed \(path)\(times). It now reads:\n" + Self.snippet(result, around: first, length: new.count))
        }
    }

    /// Offsets of all occurrences, none overlapping. Bytes, since Swift's strings would also find other spellings of the same characters.
    private static func places(of needle: [UInt8], in bytes: [UInt8]) -> [Int] {
        bytes.withUnsafeBytes { haystack in
            needle.withUnsafeBytes { needle in
                var found: [Int] = []
                guard let base = haystack.baseAddress, let pattern = needle.baseAddress, let first = needle.first else { return found }
                var from = 0
                let last = haystack.count - needle.count
                while from <= last, let hit = memchr(base + from, Int32(first), last - from + 1) {
                    let place = UnsafeRawPointer(hit) - base
                    if memcmp(hit, pattern, needle.count) == 0 {
                        found.append(place)
                        from = place + needle.count
                    } else {
                        from = place + 1
                    }
                }
                return found
            }
        }
    }

    private static func withReturns(_ bytes: [UInt8]) -> [UInt8] {
        var out: [UInt8] = []
        for byte in bytes {
            if byte == 0x0a, out.last != 0x0d { out.append(0x0d) }
            out.append(byte)
        }
        return out
    }

    /// The changed lines with three around them, at most 60.
    private static func snippet(_ bytes: [UInt8], around place: Int, length: Int) -> String {
        let lines = bytes.split(separator: 0x0a, omittingEmptySubsequences: false)
        let firstLine = bytes[..<place].count { $0 == 0x0a }
        let lastLine = firstLine + bytes[place..<min(bytes.count, place + length)].count { $0 == 0x0a }
        let from = max(0, firstLine - 3)
        let to = min(lines.count - 1, lastLine + 3, from + 59)
        guard from <= to else { return "" }
        return (from...to).map { index in
            let number = String(index + 1)
            return String(repeating: " ", count: max(0, 6 - number.count)) + number + "\t"
                + String(CapturedOutput.text(Array(lines[index])).prefix(500))
        }.joined(separator: "\n")
    }
}
