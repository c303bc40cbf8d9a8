import Foundation
import Platform

/// A PDF as the model can take it: whole, as a document, where its endpoint reads them; else as the text that `pdftotext` finds in it.
struct PDFFile {
    var path: String
    var size: Int
    var title: String

    /// - Parameter pages: `3` or `2-5`; these pages only, as text.
    func read(pages: String?, in context: ToolContext) async throws -> ToolResult {
        let range = try pages.map(Self.range)
        if range == nil, context.takesDocuments, size <= context.limits.documentBytes {
            let path = path, limit = context.limits.documentBytes
            let bytes = try await blocking { _ in try FileAccess.contents(path, limit: limit).bytes }
            return ToolResult(content: [
                .text("\(path), a PDF of \(FileAccess.sizeText(bytes.count))"), .document(mediaType: "application/pdf", data: Data(bytes), title: title),
            ])
        }
        guard let program = Programs.find("pdftotext", in: context) else {
            throw ToolError(
                range == nil && context.takesDocuments
                    ? "\(path) is a PDF of \(FileAccess.sizeText(size)); without pdftotext, which is not installed here, only those up to \(FileAccess.sizeText(context.limits.documentBytes)) can be read."
                    : "\(path) is a PDF, and pdftotext, which would read it, is not installed here.")
        }
        return try await text(by: program, range, context)
    }

    private static func range(_ text: String) throws(ToolError) -> ClosedRange<Int> {
        let ends = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0.trimmingCharacters(in: .whitespaces)) }
        guard let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 1, last >= first else {
            throw ToolError("The parameter `pages` must be a page or a range, such as 3 or 2-5.")
        }
        return first...last
    }

    private func text(by program: String, _ range: ClosedRange<Int>?, _ context: ToolContext) async throws -> ToolResult {
        let limits = context.limits
        let first = range?.lowerBound ?? 1
        try? FileManager.default.createDirectory(
            atPath: limits.outputDirectory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let target = "\(limits.outputDirectory)/pdf-\(ULID.make()).txt"
        var arguments = ["-layout", "-enc", "UTF-8", "-f", "\(first)"]
        if let range { arguments += ["-l", "\(range.upperBound)"] }
        let said = CapturedOutput(limit: 2000, fileLimit: 0, directory: limits.outputDirectory)
        let command = Command(
            executable: program, arguments: arguments + ["--", path, target], environment: ["LANG": "C.UTF-8"], directory: context.directory.path)
        switch try await command.run(into: said, timeout: context.timeLeft(.seconds(60))) {
        case .exited(0): break
        case .cancelled: throw CancellationError()
        case .timedOut: throw ToolError("\(path) is a PDF that could not be read within a minute; name fewer `pages`.")
        default: throw ToolError("\(path) is a PDF that cannot be read: \(said.text.prefix(300).trimmingCharacters(in: .whitespacesAndNewlines))")
        }
        let room = limits.readBytes, fileLimit = limits.outputFileBytes
        return try await blocking { signal in
            let (bytes, _) = try FileAccess.contents(target, limit: fileLimit)
            var text = "", shownTo = first - 1, isCut = false
            // Each page ends with a form feed.
            for (index, page) in bytes.split(separator: 0x0c, omittingEmptySubsequences: false).enumerated() {
                try signal.check()
                let words = CapturedOutput.text(Array(page)).trimmingCharacters(in: .newlines)
                guard words.contains(where: { !$0.isWhitespace }) else { continue }
                if !text.isEmpty, text.utf8.count + words.utf8.count > room {
                    isCut = true
                    break
                }
                text += "--- Page \(first + index) ---\n" + words.prefix(room) + "\n\n"
                shownTo = first + index
            }
            guard !text.isEmpty else { return .text("(\(path) has no text on these pages; they may be scanned pictures.)") }
            if isCut { text += "(There is more: go on with `pages` from \(shownTo + 1). The whole text is in \(target).)" } else { unlink(target) }
            return .text(text.trimmingCharacters(in: .newlines))
        }
    }
}

/// Programs that an agent's machine may or may not have.
enum Programs {
    static func find(_ name: String, in context: ToolContext) -> String? {
        (context.environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin").split(separator: ":").map { "\($0)/\(name)" }
            .first { access($0, X_OK) == 0 && FileAccess.status($0)?.kind == .file }
    }
}
