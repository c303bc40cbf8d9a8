import Foundation
import Platform

/// Reads a text file with line numbers, an image, a PDF or a notebook.
struct ReadTool: AgentTool {
    let name = "Read"
    let isReadOnly = true
    let description = """
        Reads a file. Text comes with line numbers as `cat -n` has them; PNG, JPEG, GIF and WebP images are shown, PDFs are read, Jupyter \
        notebooks come as their cells with outputs.
        - Up to 2000 lines from the beginning; use `offset` and `limit` for other parts of long files.
        - Lines over 2000 characters are cut.
        - For long PDFs name `pages`.
        - It reads files only; list directories with Glob or `ls`.
        """
    let inputSchema = Schema.object(
        [
            "file_path": Schema.string("The path of the file, absolute or relative to the working directory"),
            "offset": Schema.integer("The line to begin with, counted from 1"),
            "limit": Schema.integer("How many lines to read"),
            "pages": Schema.string("Pages of a PDF, such as 3 or 1-5"),
        ], required: ["file_path"])

    func run(_ input: Value, in context: ToolContext) async throws -> ToolResult {
        let input = try ToolInput(input)
        let path = try context.resolve(try input.text("file_path"))
        let first = max(1, try input.optionalInteger("offset") ?? 1)
        let count = try input.optionalInteger("limit", atLeast: 1) ?? context.limits.readLines
        let pages = try input.optionalText("pages").flatMap { $0.isEmpty ? nil : $0 }
        let limits = context.limits
        let files = context.files
        let found: Found = try await blocking { signal in
            let (descriptor, status) = try FileAccess.open(path)
            defer { close(descriptor) }
            let beginning = FileAccess.read(descriptor, upTo: 8192)
            if let mediaType = ImageFile.mediaType(beginning) {
                guard status.stamp.size <= limits.imageBytes else {
                    throw ToolError(
                        "\(path) is an image of \(FileAccess.sizeText(status.stamp.size)); images over \(FileAccess.sizeText(limits.imageBytes)) cannot be shown. Make it smaller first."
                    )
                }
                let data = Data(beginning + FileAccess.read(descriptor, upTo: limits.imageBytes))
                return .result(ToolResult(content: [.text("\(path), \(mediaType), \(data.count) bytes"), .image(mediaType: mediaType, data: data)]))
            }
            if beginning.starts(with: Array("%PDF-".utf8)) { return .pdf(status.stamp.size) }
            guard pages == nil else { throw ToolError("`pages` is for PDFs only; use `offset` and `limit`.") }
            guard !FileAccess.looksBinary(beginning) else {
                throw ToolError("\(path) is a binary file of \(FileAccess.sizeText(status.stamp.size)).")
            }
            if path.hasSuffix(".ipynb"), beginning.first(where: { ![0x20, 0x0a, 0x0d, 0x09].contains($0) }) == UInt8(ascii: "{") {
                let result = try Notebook(path, limit: limits.editBytes).shown(path, limits)
                files.note(FileAccess.realPath(path) ?? path, status.stamp)
                return .result(result)
            }
            var page = LinePage(first: first, count: count, maxLine: limits.lineCharacters, maxBytes: limits.readBytes)
            page.take(beginning)
            while !page.isFull {
                try signal.check()
                let chunk = FileAccess.read(descriptor, upTo: 1 << 18)
                if chunk.isEmpty { break }
                page.take(chunk)
            }
            let text = page.finish(path)
            files.note(FileAccess.realPath(path) ?? path, status.stamp)
            return .result(.text(text))
        }
        switch found {
        case .result(let result): return result
        case .pdf(let size): return try await PDFFile(path: path, size: size, title: (path as NSString).lastPathComponent).read(pages: pages, in: context)
        }
    }

    private enum Found { case result(ToolResult), pdf(Int) }
}

/// Collects a range of lines from chunks, in bounded memory whatever the file holds.
private struct LinePage {
    let first: Int
    let count: Int
    let maxLine: Int
    let maxBytes: Int
    private var number = 1
    private var line: [UInt8] = []
    private var lineLength = 0
    private var out = ""
    private var lastShown = 0
    private(set) var isFull = false
    private var isEmpty = true

    init(first: Int, count: Int, maxLine: Int, maxBytes: Int) {
        self.first = first; self.count = count; self.maxLine = maxLine; self.maxBytes = maxBytes
    }

    mutating func take(_ chunk: [UInt8]) {
        if !chunk.isEmpty { isEmpty = false }
        var rest = chunk[...]
        while !rest.isEmpty, !isFull {
            let end = rest.firstIndex(of: 0x0a)
            let part = rest[..<(end ?? rest.endIndex)]
            lineLength += part.count
            // Four bytes are the longest character.
            if number >= first, line.count < 4 * maxLine { line += part.prefix(4 * maxLine - line.count) }
            guard let end else { return }
            endLine()
            rest = rest[(end + 1)...]
        }
    }

    private mutating func endLine() {
        if number >= first {
            if number >= first + count || out.utf8.count >= maxBytes {
                isFull = true
                return
            }
            if line.last == 0x0d { line.removeLast() }
            var text = CapturedOutput.text(line)
            if text.count > maxLine { text = String(text.prefix(maxLine)) + "… (cut, \(lineLength) bytes)" }
            let digits = String(number)
            out += String(repeating: " ", count: max(0, 6 - digits.count)) + digits + "\t" + text + "\n"
            lastShown = number
        }
        number += 1
        line.removeAll(keepingCapacity: true)
        lineLength = 0
    }

    mutating func finish(_ path: String) -> String {
        if !isFull, lineLength > 0 { endLine() }
        if isEmpty { return "(\(path) is empty.)" }
        if lastShown == 0 { return "(\(path) has \(number - 1) lines: there is nothing at line \(first).)" }
        if isFull { out += "(There is more: read on with offset \(lastShown + 1).)\n" }
        return out
    }
}
