import Foundation

/// What follows the rule's prefix in a call of the credential proxy: goes on as it was written, when it can only mean what stands below
/// the rule's target (SEC-81).
struct ProxyPath: Sendable, Hashable {
    /// Without a leading slash, as sent.
    let path: String
    /// With its question mark; empty when there is none.
    let query: String

    /// nil for dot segments in any spelling, encoded slashes, a URL, and characters that no URL has.
    init?(_ rest: some StringProtocol, query: String?) {
        guard Self.isPlain(rest), Self.isPlain(query ?? ""), rest.utf8.count + (query?.utf8.count ?? 0) <= 8000 else { return nil }
        let segments = rest.split(separator: "/", omittingEmptySubsequences: false)
        for (index, segment) in segments.enumerated() {
            if segment.isEmpty, index < segments.count - 1 { return nil }
            // Some servers decode twice, and some drop what follows a semicolon before they look for dots.
            var text = String(segment)
            for _ in 0..<3 {
                guard let decoded = text.removingPercentEncoding else { return nil }
                if decoded.contains(where: { "/\\".contains($0) }) || decoded.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7f }) { return nil }
                let name = decoded.prefix { $0 != ";" }
                if name == "." || name == ".." { return nil }
                if decoded == text { break }
                text = decoded
                // What is a percent sign and no escape is itself.
                if text.removingPercentEncoding == nil { break }
            }
        }
        path = String(rest)
        self.query = query.map { "?\($0)" } ?? ""
    }

    private static func isPlain(_ text: some StringProtocol) -> Bool {
        text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !#"\"<>^`{|}#"#.utf8.contains($0) }
    }

    /// The whole URL: the target as it is, and this below it.
    func url(below target: String) -> String {
        var base = target[...]
        while base.hasSuffix("/") { base = base.dropLast() }
        return path.isEmpty ? target + query : "\(base)/\(path)\(query)"
    }
}
