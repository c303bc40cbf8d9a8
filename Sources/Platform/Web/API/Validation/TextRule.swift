import Foundation
import Platform

/// What a text may be. Length counts Unicode scalars, or UTF-8 bytes where a rule says so.
public struct TextRule: Sendable {
    struct Wrong: Error { var sentence: String }

    var scalars: ClosedRange<Int>?
    var bytes: ClosedRange<Int>?
    var multiline = false
    /// Trimmed, NFC, no bidirectional overrides or zero-width characters: what people see as a name (SEC-32).
    var isName = false
    /// As sent: no trimming.
    var verbatim = false
    var allowsBlank = false
    /// Grammar as shown to callers and in the OpenAPI document, with its test. The pattern (ECMA 262) is for readers of that document
    /// and may allow more than the test; nothing is ever matched against it here.
    var grammar: (shown: String, pattern: String?, holds: @Sendable (String) -> Bool)?

    public static func line(_ scalars: ClosedRange<Int>) -> TextRule { TextRule(scalars: scalars, allowsBlank: scalars.lowerBound == 0) }
    public static func name(_ scalars: ClosedRange<Int>) -> TextRule { TextRule(scalars: scalars, isName: true) }
    public static func prose(_ scalars: ClosedRange<Int>) -> TextRule {
        TextRule(scalars: scalars, multiline: true, verbatim: true, allowsBlank: scalars.lowerBound == 0)
    }
    public static func content(bytes: ClosedRange<Int>) -> TextRule { TextRule(bytes: bytes, multiline: true, verbatim: true, allowsBlank: true) }
    /// 1..2000 bytes without CR, LF and NUL.
    public static let secret = TextRule(bytes: 1...2000, verbatim: true, grammar: ("no line breaks", nil, { !$0.utf8.contains { $0 == 13 || $0 == 10 || $0 == 0 } }))
    public static func grammar(_ shown: String, pattern: String? = nil, _ holds: @escaping @Sendable (String) -> Bool) -> TextRule {
        TextRule(scalars: 1...2000, grammar: (shown, pattern, holds))
    }
    public static let email = TextRule(
        scalars: 3...EmailAddress.maximumBytes, grammar: ("an e-mail address", EmailAddress.pattern, { EmailAddress.isValid($0) }))
    public static let timezone = TextRule.grammar("an IANA time zone", pattern: "^(UTC|[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){1,2})$") { name in
        name.utf8.count <= 64 && !name.hasPrefix("/") && !name.contains("..") && (name == "UTC" || TimeZone.knownTimeZoneIdentifiers.contains(name) || name.contains("/") && TimeZone(identifier: name) != nil)
    }

    func check(_ text: String) -> Result<String, Wrong> {
        var text = text
        if !verbatim { text = text.trimmingCharacters(in: .whitespacesAndNewlines) }
        if isName { text = text.precomposedStringWithCanonicalMapping }
        for scalar in text.unicodeScalars {
            if scalar.value < 0x20 || (0x7f...0x9f).contains(scalar.value) {
                if multiline, scalar == "\n" || scalar == "\t" || scalar == "\r" { continue }
                return .failure(Wrong(sentence: "Has a control character."))
            }
            if isName, Self.misleading.contains(scalar.value) { return .failure(Wrong(sentence: "Has an invisible or direction-changing character.")) }
        }
        if let scalars, !scalars.contains(text.unicodeScalars.count) {
            return .failure(Wrong(sentence: "Must have \(scalars.lowerBound) to \(scalars.upperBound) characters."))
        }
        if let bytes, !bytes.contains(text.utf8.count) {
            return .failure(Wrong(sentence: "Must have \(bytes.lowerBound) to \(bytes.upperBound) bytes."))
        }
        if !allowsBlank, text.allSatisfy(\.isWhitespace) { return .failure(Wrong(sentence: "May not be blank.")) }
        if let grammar, !grammar.holds(text) { return .failure(Wrong(sentence: "Must be \(grammar.shown).")) }
        return .success(text)
    }

    /// Zero-width characters, bidirectional marks, embeddings, overrides and isolates, byte-order mark.
    private static let misleading: Set<UInt32> = [0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2060, 0xfeff, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069, 0x061c]
}

/// Character tests for grammars, without regular expressions: linear and unsurprising.
enum Characters {
    static func all(_ text: some StringProtocol, _ allowed: (UInt8) -> Bool) -> Bool { text.utf8.allSatisfy(allowed) }
    static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    static func isLower(_ byte: UInt8) -> Bool { (0x61...0x7a).contains(byte) }
    static func isLetter(_ byte: UInt8) -> Bool { isLower(byte | 0x20) }
    static func isWord(_ byte: UInt8) -> Bool { isDigit(byte) || isLetter(byte) || byte == 0x5f || byte == 0x2d }
}
