import Foundation

/// The head of a Markdown file between two lines of `---`: plain keys with texts, as skills have them. More tolerant than YAML, because
/// descriptions are written by people: a colon in a text needs no quotes.
public struct FrontMatter: Sendable {
    public private(set) var fields: [String: String] = [:]
    /// What follows the head.
    public private(set) var body: String

    public init(_ text: String) {
        let lines = text.replacingOccurrences(of: "\r\n", with: "\n").split(separator: "\n", omittingEmptySubsequences: false)
        func isFence(_ line: Substring) -> Bool { line.hasPrefix("---") && line.allSatisfy { $0 == "-" || $0.isWhitespace } }
        guard let first = lines.first, isFence(first), let end = lines.dropFirst().firstIndex(where: isFence) else {
            body = text
            return
        }
        body = lines[(end + 1)...].joined(separator: "\n").trimmingCharacters(in: .newlines)
        var key: String?
        for line in lines[1..<end] {
            if let current = key, line.first?.isWhitespace ?? true {
                // A folded or kept block, or a text that goes on.
                let more = line.trimmingCharacters(in: .whitespaces)
                if !more.isEmpty { fields[current] = ((fields[current] ?? "") + " " + more).trimmingCharacters(in: .whitespaces) }
                continue
            }
            guard let colon = line.firstIndex(of: ":"), !line.hasPrefix("#") else { continue }
            let name = line[..<colon].trimmingCharacters(in: .whitespaces)
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            key = name
            fields[name] = [">", "|", ">-", "|-", ">+", "|+"].contains(value) ? "" : Self.unquoted(value)
        }
    }

    private static func unquoted(_ text: String) -> String {
        guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote else { return text }
        let inner = text.dropFirst().dropLast()
        return quote == "'" ? inner.replacingOccurrences(of: "''", with: "'") : inner.replacingOccurrences(of: "\\\"", with: "\"").replacingOccurrences(of: "\\\\", with: "\\")
    }
}
