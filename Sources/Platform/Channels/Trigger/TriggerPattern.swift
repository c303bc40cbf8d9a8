import Foundation

/// A literal that starts the bot, matched without regard to case at word boundaries (SEC-37). Never a regular expression:
/// the search is one pass (Knuth, Morris and Pratt), so its time is bounded by the lengths of text and pattern.
public struct TriggerPattern: Sendable, Hashable {
    /// Only this many characters of a message are searched.
    public static let searchedCharacters = 4096
    private let folded: [Unicode.Scalar]
    /// For each prefix the length of its longest border.
    private let borders: [Int]

    /// nil unless the text, trimmed, has 1..100 characters.
    public init?(_ text: String) {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard (1...100).contains(trimmed.count) else { return nil }
        let folded = Self.fold(trimmed[...]).map(\.scalar)
        var borders = [Int](repeating: 0, count: folded.count)
        var length = 0
        for index in folded.indices.dropFirst() {
            while length > 0, folded[index] != folded[length] { length = borders[length - 1] }
            if folded[index] == folded[length] { length += 1 }
            borders[index] = length
        }
        self.folded = folded
        self.borders = borders
    }

    public func matches(_ text: String) -> Bool {
        var steps = 0
        return matches(text, steps: &steps)
    }

    /// As ``matches(_:)``, counting comparisons: at most two per folded character of the text.
    func matches(_ text: String, steps: inout Int) -> Bool {
        let text = Self.fold(text.prefix(Self.searchedCharacters))
        var length = 0
        for index in text.indices {
            while length > 0, text[index].scalar != folded[length] {
                steps += 1
                length = borders[length - 1]
            }
            steps += 1
            if text[index].scalar == folded[length] { length += 1 }
            guard length == folded.count else { continue }
            let start = index - length + 1
            if text[start].opens, text[index].closes, isBoundary(before: start, in: text), isBoundary(after: index, in: text) { return true }
            length = borders[length - 1]
        }
        return false
    }

    /// One scalar of folded text; `opens` and `closes` tell where the original character begins and ends.
    private struct Folded {
        var scalar: Unicode.Scalar
        var opens: Bool
        var closes: Bool
    }

    /// Canonical composition and case folding (upper, then lower: `ß` meets `SS`, final sigma meets sigma).
    private static func fold(_ text: Substring) -> [Folded] {
        var out = [Folded]()
        for scalar in String(text).precomposedStringWithCanonicalMapping.unicodeScalars {
            if scalar.isASCII {
                let value = scalar.value
                out.append(Folded(scalar: (65...90).contains(value) ? Unicode.Scalar(UInt8(value + 32)) : scalar, opens: true, closes: true))
                continue
            }
            let parts = scalar.properties.uppercaseMapping.lowercased().unicodeScalars
            for (index, part) in parts.enumerated() { out.append(Folded(scalar: part, opens: index == 0, closes: index == parts.count - 1)) }
        }
        return out
    }

    private func isBoundary(before index: Int, in text: [Folded]) -> Bool { index == 0 || !Self.standsInTheWay(text[index - 1].scalar) }

    private func isBoundary(after index: Int, in text: [Folded]) -> Bool {
        guard index + 1 < text.count else { return true }
        let next = text[index + 1].scalar
        switch next.properties.generalCategory {
        // A mark belongs to the letter before it, so that letter is another one than the pattern's.
        case .nonspacingMark, .spacingMark, .enclosingMark: return next.properties.isVariationSelector
        default: return !Self.standsInTheWay(next)
        }
    }

    private static func standsInTheWay(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber, .letterNumber, .otherNumber:
            return !isWrittenWithoutSpaces(scalar)
        case .nonspacingMark, .spacingMark: return !isWrittenWithoutSpaces(scalar)
        default: return false
        }
    }

    /// Han, kana, bopomofo, Yi, Thai, Lao, Tibetan, Myanmar, Khmer, Tai, Javanese, Balinese: words are not set apart by spaces.
    private static func isWrittenWithoutSpaces(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0e00...0x0eff, 0x0f00...0x0fff, 0x1000...0x109f, 0x1780...0x17ff, 0x1950...0x19df, 0x1a20...0x1aaf, 0x1b00...0x1b7f,
            0x2e80...0x2fdf, 0x3005...0x3007, 0x3021...0x3029, 0x3031...0x3035, 0x3038...0x312f, 0x31a0...0x31bf, 0x31f0...0x31ff, 0x3400...0x4dbf, 0x4e00...0xa4cf,
            0xa980...0xa9df, 0xa9e0...0xa9ff, 0xaa60...0xaadf, 0xf900...0xfaff, 0xff66...0xff9f, 0x1aff0...0x1b2ff, 0x20000...0x3ffff:
            true
        default: false
        }
    }
}

extension Unicode.Scalar.Properties {
    fileprivate var isVariationSelector: Bool { isDefaultIgnorableCodePoint }
}
