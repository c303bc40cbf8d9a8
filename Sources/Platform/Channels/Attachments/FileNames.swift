import Foundation

/// File names from outside, made safe to show and to store (CHANNELS.md §1.7).
public enum FileName {
    private static let maxBytes = 120
    private static let maxExtensionBytes = 16
    /// Names that Windows reserves, with any extension.
    private static let reserved: Set<String> = {
        var names: Set<String> = ["con", "prn", "aux", "nul", "conin$", "conout$"]
        for digit in ["1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"] { names.formUnion(["com\(digit)", "lpt\(digit)"]) }
        return names
    }()

    /// The name as people and the agent see it: last path component, NFC, no control or format characters, `: * ? " < > |` → `_`,
    /// no leading dots, at most 120 UTF-8 bytes with the extension kept; `file` when nothing is left.
    public static func shown(_ name: String) -> String {
        var component = name.unicodeScalars[...]
        // A trailing separator ends an empty name: `a/` names nothing.
        if let separator = component.lastIndex(where: { $0 == "/" || $0 == "\\" }) { component = component[component.index(after: separator)...] }
        var scalars = String.UnicodeScalarView()
        // Longer than any name: bounds the work on hostile ones.
        for scalar in String(String.UnicodeScalarView(component.prefix(4096))).precomposedStringWithCanonicalMapping.unicodeScalars {
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate: continue
            default: break
            }
            switch scalar {
            case ":", "*", "?", "\"", "<", ">", "|": scalars.append("_")
            case "\u{fffd}": continue
            default: scalars.append(scalar)
            }
        }
        var text = String(scalars)[...]
        while let first = text.unicodeScalars.first, first == "." || first.properties.isWhitespace { text.unicodeScalars.removeFirst() }
        text = trimmedEnd(text)
        if text.isEmpty { return "file" }
        let stem = text.prefix { $0 != "." }
        var name = String(text)
        if reserved.contains(trimmedEnd(stem).lowercased()) { name = "_" + name }
        return shortened(name)
    }

    /// The name in an object key: what is shown, with characters outside `[A-Za-z0-9._-]` as `_`.
    public static func keySafe(_ name: String) -> String {
        String(shown(name).map { character in
            character.isASCII && (character.isLetter || character.isNumber || character == "." || character == "_" || character == "-") ? character : "_"
        })
    }

    /// Names of one message made different: the second `a.txt` becomes `a (2).txt`.
    public static func distinct(_ names: [String]) -> [String] {
        var taken = Set<String>()
        return names.map { name in
            var candidate = name
            var number = 2
            while !taken.insert(candidate.lowercased()).inserted {
                let (stem, ending) = parts(name)
                let mark = " (\(number))"
                candidate = prefix(stem, bytes: maxBytes - ending.utf8.count - mark.utf8.count) + mark + ending
                number += 1
            }
            return candidate
        }
    }

    private static func trimmedEnd(_ text: Substring) -> Substring {
        var text = text
        while let last = text.unicodeScalars.last, last == "." || last.properties.isWhitespace { text.unicodeScalars.removeLast() }
        return text
    }

    /// Stem and extension with its dot; an overlong one is no extension.
    private static func parts(_ name: String) -> (stem: String, ending: String) {
        guard let dot = name.lastIndex(of: "."), dot > name.startIndex else { return (name, "") }
        let ending = name[dot...]
        guard (2...maxExtensionBytes + 1).contains(ending.utf8.count) else { return (name, "") }
        return (String(name[..<dot]), String(ending))
    }

    private static func shortened(_ name: String) -> String {
        guard name.utf8.count > maxBytes else { return name }
        let (stem, ending) = parts(name)
        return String(trimmedEnd(prefix(stem, bytes: maxBytes - ending.utf8.count)[...])) + ending
    }

    /// The longest prefix of whole characters within `bytes` (of scalars, where the first character alone is longer).
    private static func prefix(_ text: String, bytes: Int) -> String {
        var out = ""
        for character in text {
            if out.utf8.count + character.utf8.count > bytes { break }
            out.append(character)
        }
        if !out.isEmpty { return out }
        for scalar in text.unicodeScalars {
            if out.utf8.count + UTF8.width(scalar) > bytes { break }
            out.unicodeScalars.append(scalar)
        }
        return out
    }
}
