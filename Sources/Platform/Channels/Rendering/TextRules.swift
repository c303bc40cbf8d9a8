import Foundation

/// Which link targets may become links.
enum LinkTarget {
    /// The address when its scheme is http, https, mailto or tg and it holds no space or control character; else nil (then it is text).
    static func checked(_ url: String) -> String? {
        guard let colon = url.firstIndex(of: ":"), ["http", "https", "mailto", "tg"].contains(url[..<colon].lowercased()), url.utf8.count <= 2048,
            url.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7f })
        else { return nil }
        return url
    }
}

/// Characters that no channel shows and some refuse.
enum Sanitizer {
    /// Without control characters other than line feed and tab; carriage returns become line feeds.
    static func clean(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnwanted) else { return text }
        var out = String.UnicodeScalarView()
        var afterReturn = false
        for scalar in text.unicodeScalars {
            if scalar == "\r" { out.append("\n") } else if scalar == "\n", afterReturn {} else if !isUnwanted(scalar) { out.append(scalar) }
            afterReturn = scalar == "\r"
        }
        return String(out)
    }
    private static func isUnwanted(_ scalar: Unicode.Scalar) -> Bool { scalar.value < 0x20 && scalar != "\n" && scalar != "\t" || (0x7f...0x9f).contains(scalar.value) }

    /// Whether a reader would see anything at all.
    static func isVisible(_ text: String) -> Bool {
        text.unicodeScalars.contains { !$0.properties.isWhitespace && !$0.properties.isDefaultIgnorableCodePoint && $0.properties.generalCategory != .format && $0.properties.generalCategory != .control }
    }
}

/// Model text can never ping a crowd (CHANNELS.md §1.5).
public enum CrowdPing {
    private static let mark = "\u{200b}"
    private static let openers = ["!channel", "!here", "!everyone", "!subteam", "@&", "at ", "at>", "/at>"]
    private static let names = ["everyone", "here", "channel", "all"]

    /// Puts a zero-width space behind the `@` of `@everyone`, `@here`, `@channel`, `@all` and behind the `<` of `<!channel>`, `<@&…>`, `<at …>`
    /// and their like. Linear; text without them is returned as it is.
    public static func neutralised(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "@") || $0 == UInt8(ascii: "<") }) else { return text }
        var out = ""
        var rest = text[...]
        while let index = rest.unicodeScalars.firstIndex(where: { $0 == "@" || $0 == "<" }) {
            let next = rest.unicodeScalars.index(after: index)
            out += rest[..<next]
            let candidates = rest.unicodeScalars[index] == "@" ? names : openers
            let ahead = String(rest.unicodeScalars[next...].prefix(9)).lowercased()
            if candidates.contains(where: ahead.hasPrefix) { out += mark }
            rest = rest[next...]
        }
        return out + rest
    }
}
