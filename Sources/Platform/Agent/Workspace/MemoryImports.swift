import Foundation

/// Finds `@path` in a memory file, as Claude Code has it: not in code, not inside a word.
enum MemoryImports {
    /// The paths as written, each once, in order.
    static func paths(in text: String) -> [String] {
        var found: [String] = []
        var fence: (mark: Character, length: Int)?
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let trimmed = line.drop { $0 == " " || $0 == "\t" }
            if let mark = trimmed.first, mark == "`" || mark == "~" {
                let length = trimmed.prefix { $0 == mark }.count
                if let open = fence {
                    if mark == open.mark, length >= open.length, trimmed.dropFirst(length).allSatisfy(\.isWhitespace) {
                        fence = nil
                        continue
                    }
                } else if length >= 3 {
                    fence = (mark, length)
                    continue
                }
            }
            guard fence == nil else { continue }
            for path in mentions(in: withoutCodeSpans(line)) where !found.contains(path) { found.append(path) }
        }
        return found
    }

    private static func mentions(in line: String) -> [String] {
        var found: [String] = []
        var previous: Character = " "
        var index = line.startIndex
        while index < line.endIndex {
            let character = line[index]
            index = line.index(after: index)
            defer { previous = character }
            guard character == "@", previous.isWhitespace || previous == "(" else { continue }
            var path = ""
            while index < line.endIndex, !line[index].isWhitespace {
                // `\ ` is a space in a name.
                if line[index] == "\\", let next = line[line.index(after: index)...].first, next == " " { index = line.index(after: index) }
                path.append(line[index])
                index = line.index(after: index)
            }
            if !path.isEmpty { found.append(path) }
        }
        return found
    }

    /// The line with its code spans blanked. A run of backticks closes with one of the same length.
    private static func withoutCodeSpans(_ line: Substring) -> String {
        var out = ""
        var rest = line
        while let tick = rest.firstIndex(of: "`") {
            out += rest[..<tick]
            let run = rest[tick...].prefix { $0 == "`" }
            var search = rest[run.endIndex...]
            var close: Substring?
            while let next = search.firstIndex(of: "`") {
                let other = search[next...].prefix { $0 == "`" }
                if other.count == run.count {
                    close = other
                    break
                }
                search = search[other.endIndex...]
            }
            if let close {
                out += "`"
                rest = rest[close.endIndex...]
            } else {
                out += run
                rest = rest[run.endIndex...]
            }
        }
        return out + rest
    }
}
